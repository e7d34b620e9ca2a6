/* SPDX-License-Identifier: MIT */
/* What becomes of a call, on disk: output.log, journal.ndjson, status.json (agent/calls/README.md).
 *
 * The first failure to write is kept: from then on nothing but the end is written, and what was
 * half written is taken back, so that the ranges of the records are always the whole log. */
#pragma once

#include "protocol/base/error.h"

#include <stdint.h>
#include <sys/types.h>

/* Bytes that one `log` record speaks of, so that a record is one event of the protocol. */
#define JOURNAL_LOG_MAX ((size_t)64 << 10)

typedef struct Journal {
    int dir_fd; /* borrowed */
    int log_fd;
    int fd;
    uint64_t seq;
    int64_t log_bytes;
    int64_t bytes;
    int error;                /* the first failure, -errno */
    const char *failed_write; /* the file that it was about */
} Journal;

#define JOURNAL_INIT ((Journal){.dir_fd = -1, .log_fd = -1, .fd = -1})

/* The last record. */
typedef struct JournalEnd {
    const char *status;
    int exit_code; /* -1: none */
    int signal;    /* 0: none */
    const char *reason;
    int survivors; /* -1: never started */
    int leftovers;
    int64_t user_us;
    int64_t system_us;
    int64_t max_rss_bytes;
} JournalEnd;

/* Opens both files in the call directory, which stays the caller's. A torn record without another
 * before it is dropped; -EEXIST if there is a whole one: the call has run already. */
int journal_open(Journal *journal, int dir_fd, Error *err) _must_check_;

/* On disk, synced, when it returns. -errno. */
int journal_started(Journal *journal, pid_t pid) _must_check_;

/* Appends to the log, then tells of it. `stream` is "stdout" or "stderr". Look at `error`. */
void journal_log(Journal *journal, const char *stream, const char *data, size_t n);

/* One line of the runner's, without its LF. Look at `error`. */
void journal_report(Journal *journal, const char *line, size_t n);

/* Even after a failure; log, record and status.json are synced when it returns. */
int journal_finished(Journal *journal, const JournalEnd *end, Error *err) _must_check_;

void journal_done(Journal *journal);
