/* SPDX-License-Identifier: MIT */
/* What a runner tells besides its log: one JSON object a line on fd 3 (README.md, "Reports").
 *
 * Each function writes its line whole before it returns, so what was reported survives whatever
 * happens to the runner next. Failing to report is failing: the caller hands the code on. */
#pragma once

#include "protocol/artifact/archive.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#define REPORT_FD 3

/* A line with its line feed; the shim drops longer ones. */
#define REPORT_LINE_MAX ((size_t)256 << 10)

typedef struct Report {
    int fd; /* borrowed: it is the process's own for its whole life */
} Report;

/* Makes `fd` close-on-exec, so that no step can speak for the runner. -EBADF, said so. */
int report_open(int fd, Report *ret, Error *err) _must_check_;

/* Any member may be left out: NULL text, negative numbers. */
typedef struct ReportProgress {
    const char *phase;
    const char *message;
    int64_t done;
    int64_t total;
    const char *unit; /* "bytes", "files", "tests", "instances" */
} ReportProgress;

int report_progress(Report *report, const ReportProgress *progress) _must_check_;

/* The short form: a phase begins. */
int report_phase(Report *report, const char *phase, const char *message) _must_check_;

/* NULL text reports nothing. -EMSGSIZE: larger than a line may be. */
int report_output(Report *report, const char *name, const char *text) _must_check_;
int report_output_take(Report *report, const char *name, Json *value) _must_check_;

/* `file` is in artifacts/ of the call, complete and synced. `format` is "tar.zst" or "file". */
int report_artifact(Report *report, const char *name, const char *file, const char *format,
                    const ArchiveSummary *summary) _must_check_;

/* Why the call will not succeed; text beyond a sensible length is cut. `exit_code` < 0: none. */
int report_reason(Report *report, const char *text, int exit_code) _must_check_;
