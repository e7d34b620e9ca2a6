/* SPDX-License-Identifier: MIT */
/* Any bytes, cut in any way: the reader gives the lines that a plain split gives, tells each line
 * that is too long once, and it makes no difference in which pieces the bytes came.
 *
 * The first byte sets the line limit, the second how the rest is cut. */
#include "protocol/ndjson.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#define TOO_LONG "(too long)"

static void note(Buffer *out, const char *line, size_t n)
{
    require(buffer_append_format(out, "%zu:", n) == 0 && buffer_append(out, line, n) == 0);
}

/* What the reader ought to give, in the simplest words. Returns the bytes that wait for their end.
 */
static size_t expect(const char *data, size_t n, size_t line_max, Buffer *out)
{
    const char *end;

    while ((end = n > 0 ? memchr(data, '\n', n) : NULL)) {
        size_t len = (size_t)(end - data);

        if (len > line_max) {
            note(out, TOO_LONG, strlen(TOO_LONG));
        } else {
            note(out, data, len);
        }
        n -= len + 1;
        data = end + 1;
    }
    if (n > line_max) {
        note(out, TOO_LONG, strlen(TOO_LONG));
        return 0;
    }
    return n;
}

static void pull(NdjsonReader *reader, Buffer *out)
{
    const char *line;
    size_t len;
    int r;

    while ((r = ndjson_reader_next(reader, &line, &len)) != 0) {
        require(r == 1 || r == -EMSGSIZE);
        if (r == 1) {
            require(len <= reader->line_max && memchr(line, '\n', len) == NULL);
            note(out, line, len);
        } else {
            note(out, TOO_LONG, strlen(TOO_LONG));
        }
    }
}

static size_t read_in_pieces(const char *data, size_t n, size_t line_max, unsigned seed,
                             Buffer *out)
{
    NdjsonReader reader;
    size_t pending;

    ndjson_reader_init(&reader, line_max);
    while (n > 0) {
        size_t piece = MIN(n, (size_t)1 + seed % 13);

        seed = seed * 1103515245u + 12345u;
        seed ^= seed >> 16;
        require(ndjson_reader_feed(&reader, data, piece) == 0);
        pull(&reader, out);
        require(ndjson_reader_pending(&reader) <= line_max);
        data += piece;
        n -= piece;
    }
    pending = ndjson_reader_pending(&reader);
    ndjson_reader_done(&reader);
    return pending;
}

static bool is_same(const Buffer *a, const Buffer *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buffer_ Buffer expected = {0}, whole = {0}, pieces = {0};
    const char *text = (const char *)data + 2;
    NdjsonReader reader;
    size_t line_max, pending;

    if (size < 2) {
        return 0;
    }
    size -= 2;
    line_max = data[0] % 32;
    pending = expect(text, size, line_max, &expected);

    ndjson_reader_init(&reader, line_max);
    require(ndjson_reader_feed(&reader, text, size) == 0);
    pull(&reader, &whole);
    require(is_same(&expected, &whole) && ndjson_reader_pending(&reader) == pending);
    ndjson_reader_done(&reader);

    require(read_in_pieces(text, size, line_max, data[1], &pieces) == pending);
    require(is_same(&expected, &pieces));
    return 0;
}
