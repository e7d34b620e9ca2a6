/* SPDX-License-Identifier: MIT */
/* Lines out of a byte stream: bytes are fed as they come, whole lines are pulled. Sans-I/O.
 *
 * A line longer than the limit is not kept: its bytes are dropped up to the next line feed and the
 * loss is told once, so that one bad peer costs one bounded buffer. */
#pragma once

#include "protocol/base/buffer.h"

#include <stdbool.h>

/* What one feed may add on top of a line that is not complete. */
#define NDJSON_FEED_MAX ((size_t)4 << 20)

typedef struct NdjsonReader {
    Buffer buffer;
    size_t line_max; /* bytes without the line feed */
    size_t start;    /* of the first line that was not pulled yet */
    size_t scanned;  /* up to here there is no line feed after start */
    bool is_skipping;
} NdjsonReader;

void ndjson_reader_init(NdjsonReader *reader, size_t line_max);
void ndjson_reader_done(NdjsonReader *reader);

/* Takes `n` bytes, at most NDJSON_FEED_MAX. -ENOMEM. Pull all lines before feeding again: the
 * buffer holds one long line and one feed; beyond that it is -ENOBUFS. */
int ndjson_reader_feed(NdjsonReader *reader, const char *data, size_t n) _must_check_;

/* 1 and a line without its line feed (borrowed until the next call of either function), 0 when more
 * bytes are needed, -EMSGSIZE once for each line that was too long. */
int ndjson_reader_next(NdjsonReader *reader, const char **ret_line, size_t *ret_len) _must_check_;

/* Bytes of a line that was not ended: what a hang-up cut. */
size_t ndjson_reader_pending(const NdjsonReader *reader);
