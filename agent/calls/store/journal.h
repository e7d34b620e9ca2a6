/* SPDX-License-Identifier: MIT */
/* journal.ndjson of one call, read as it grows (README.md, "Journal records").
 *
 * Nearly all of a large journal is `log` records in the one form that the shim writes, so these are
 * taken apart by hand; whatever else comes goes through the JSON parser. A reader that has caught
 * up holds a descriptor and no memory. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>
#include <sys/types.h>

/* A report of 256 KiB may be six times that as a JSON string. */
#define JOURNAL_LINE_MAX ((size_t)2 << 20)

typedef enum JournalType {
    JOURNAL_STARTED,
    JOURNAL_LOG,
    JOURNAL_REPORT,
    JOURNAL_FINISHED,
    _JOURNAL_TYPE_MAX,
} JournalType;

/* Borrowed from the journal until its next function is called. */
typedef struct JournalRecord {
    JournalType type;
    uint64_t seq;
    int64_t time_us;
    const char *stream; /* log: "stdout" or "stderr" */
    int64_t offset;     /* log */
    int64_t length;     /* log */
    const Json *json;   /* all but log: the whole record */
} JournalRecord;

typedef struct Journal {
    int fd;
    off_t position; /* in the file, of the first byte that is not in the buffer */
    Buffer buffer;
    size_t start;   /* of the first record in the buffer that was not given yet */
    uint64_t after; /* records up to this one are passed over */
    uint64_t seq;   /* of the last record read; 0: none yet */
    Json *json;
} Journal;

#define JOURNAL_EMPTY ((Journal){.fd = -1, .buffer = BUFFER_INIT(JOURNAL_LINE_MAX)})

/* -ENOENT: the call has none yet; `journal` stays empty and may be opened again. */
int journal_open(Journal *journal, int call_fd, Error *err) _must_check_;
void journal_done(Journal *journal);
#define _cleanup_journal_ _cleanup_(journal_done)

/* The next record is the first with seq > `after`. Finds its place without reading what is before.
 */
int journal_seek(Journal *journal, uint64_t after, Error *err) _must_check_;

/* 1 and a record, 0 when there is no whole record more. -EBADMSG: it is damaged, and nothing after
 * that place can be trusted. */
int journal_next(Journal *journal, JournalRecord *ret, Error *err) _must_check_;

/* One line (without its line feed) on its own. -EBADMSG. *ret_json is the caller's, NULL for log
 * records, and ret->json borrows it. */
int journal_parse(const char *line, size_t n, JournalRecord *ret, Json **ret_json,
                  Error *err) _must_check_;

/* How a call ended, as the last record and status.json have it. */
typedef struct JournalEnd {
    const char *status;
    const char *reason; /* "" */
    int64_t leftovers;
    int64_t log_bytes;
} JournalEnd;

/* For a call that has no shim (any more); the caller holds its lock. Drops a torn last line,
 * appends the `finished` record, writes status.json. */
int journal_finish(int call_fd, const JournalEnd *end, Error *err) _must_check_;
