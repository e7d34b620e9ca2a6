/* SPDX-License-Identifier: MIT */
/* The two messages that carry bytes, read without building a JSON value.
 *
 * A log of a gigabyte is ten thousand `call/log` lines of which all but the text is the same; a
 * parser that allocates a value for each costs more than everything else on the way. These
 * functions know the exact shape that the agent writes. Anything else, also what merely has its
 * members in another order, is left to the full parser by answering 0: being fast is never a reason
 * to understand a line differently. */
#pragma once

#include "protocol/base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* A `call/log` event. Texts that are not NUL-terminated come with a length. */
typedef struct WireLog {
    const char *call; /* into the line */
    size_t call_len;
    uint64_t seq;
    const char *time; /* into the line */
    size_t time_len;
    bool is_stderr;
    int64_t offset;
    const char *params; /* the object's text, into the line */
    size_t params_len;
} WireLog;

/* The answer to `artifacts/read`. */
typedef struct WireChunk {
    int64_t id;
    int64_t offset;
    bool is_last;
} WireChunk;

/* 1: it is one, `data` (cleared first) has the decoded bytes. 0: look at it with the full parser.
 * -ENOMEM, -ENOBUFS. */
int wire_scan_log(const char *line, size_t n, WireLog *ret, Buffer *data) _must_check_;
int wire_scan_chunk(const char *line, size_t n, WireChunk *ret, Buffer *data) _must_check_;
