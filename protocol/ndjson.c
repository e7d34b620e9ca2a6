/* SPDX-License-Identifier: MIT */
#include "protocol/ndjson.h"

#include <errno.h>
#include <string.h>

void ndjson_reader_init(NdjsonReader *reader, size_t line_max)
{
    *reader = (NdjsonReader){
        .buffer = BUFFER_INIT(line_max + NDJSON_FEED_MAX),
        .line_max = line_max,
    };
}

void ndjson_reader_done(NdjsonReader *reader)
{
    buffer_done(&reader->buffer);
}

int ndjson_reader_feed(NdjsonReader *reader, const char *data, size_t n)
{
    if (reader->start > 0) {
        buffer_consume(&reader->buffer, reader->start);
        reader->scanned -= reader->start;
        reader->start = 0;
    }
    return buffer_append(&reader->buffer, data, n);
}

int ndjson_reader_next(NdjsonReader *reader, const char **ret_line, size_t *ret_len)
{
    for (;;) {
        const char *data = buffer_text(&reader->buffer), *line = data + reader->start, *end;

        end = reader->buffer.len > reader->scanned
                  ? memchr(data + reader->scanned, '\n', reader->buffer.len - reader->scanned)
                  : NULL;
        if (!end) {
            reader->scanned = reader->buffer.len;
            if (reader->is_skipping || reader->buffer.len - reader->start > reader->line_max) {
                bool is_news = !reader->is_skipping;

                reader->is_skipping = true;
                reader->start = reader->scanned;
                return is_news ? -EMSGSIZE : 0;
            }
            return 0;
        }
        reader->start = reader->scanned = (size_t)(end - data) + 1;
        if (reader->is_skipping) { /* the rest of a line whose loss was told */
            reader->is_skipping = false;
            continue;
        }
        if ((size_t)(end - line) > reader->line_max) {
            return -EMSGSIZE;
        }
        *ret_line = line;
        *ret_len = (size_t)(end - line);
        return 1;
    }
}

size_t ndjson_reader_pending(const NdjsonReader *reader)
{
    return reader->buffer.len - reader->start;
}
