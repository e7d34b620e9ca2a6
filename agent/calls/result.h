/* SPDX-License-Identifier: MIT */
/* What a call came to: the reports of its runner, understood, and the result made of them. */
#pragma once

#include "agent/calls/calls.h"
#include "agent/calls/store/call-dir.h"
#include "agent/calls/store/journal.h"

/* Together with artifacts and reason a result stays well below a line of the protocol. */
#define RESULT_OUTPUTS_MAX ((size_t)256 << 10)
#define RESULT_ARTIFACTS_MAX 1000
#define RESULT_FAILURES_MAX 100
#define RESULT_REASON_MAX ((size_t)8 << 10)
#define RESULT_PROGRESS_TEXT_MAX ((size_t)512)

/* Gathered record by record. All members NULL (or -1) until something was reported. */
typedef struct Result {
    int64_t started_us;
    Json *outputs;
    size_t outputs_size;
    Json *tests;
    Json *artifacts; /* as in artifacts/list, and `file` */
    Json *progress;  /* the newest, as in call/progress */
    char *reason;
    int64_t reason_exit_code;
    Json *end; /* the finished record */
} Result;

#define RESULT_EMPTY ((Result){.reason_exit_code = -1})

void result_done(Result *result);
#define _cleanup_result_ _cleanup_(result_done)

/* -ENOMEM. A report that makes no sense changes nothing. */
int result_add(Result *result, const char *call, const JournalRecord *record) _must_check_;

/* Takes all records that `journal` has more; 1 once the finished record was among them. */
int result_read(Result *result, const char *call, Journal *journal, Error *err) _must_check_;

/* The result of a call that has its finished record. The caller's. */
int result_build(const Result *result, const char *call, const CallSpec *spec,
                 Json **ret) _must_check_;

/* result.json of a finished call, made from journal and spec where it is missing or torn. Includes
 * each artifact's `file`. The caller's. */
int result_load(int call_fd, const char *call, Json **ret, Error *err) _must_check_;

/* Writes result.json; losing it costs no more than making it again. */
int result_store(int call_fd, const Json *result, Error *err) _must_check_;

/* The event of a report: its type and members. What cannot be understood is a progress with a
 * message that says so. The caller's. */
int result_describe_report(const char *call, const JournalRecord *record, CallEventType *ret_type,
                           Json **ret_details) _must_check_;

/* A copy of `artifacts` without what is no business of a client. The caller's. */
int result_copy_artifacts(const Json *artifacts, Json **ret) _must_check_;
