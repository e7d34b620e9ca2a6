/* SPDX-License-Identifier: MIT */
#include "protocol/ndjson.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

/* What a script of pulls gives: each line with a '|' after it, "!|" for one that was too long. */
static void pull(NdjsonReader *reader, Buffer *out)
{
    const char *line;
    size_t len;
    int r;

    while ((r = ndjson_reader_next(reader, &line, &len)) != 0) {
        if (r == 1) {
            assert_int_equal(buffer_append(out, line, len), 0);
        } else {
            assert_int_equal(r, -EMSGSIZE);
            assert_int_equal(buffer_append_text(out, "!"), 0);
        }
        assert_int_equal(buffer_append_text(out, "|"), 0);
    }
}

static const struct {
    size_t line_max;
    const char *input;
    const char *lines;
    size_t pending;
} rows[] = {
    {10, "", "", 0},
    {10, "\n", "|", 0},
    {10, "a\nbb\n", "a|bb|", 0},
    {10, "a\nbb", "a|", 2},
    {10, "\n\n\n", "|||", 0},
    {10, "{}\r\n", "{}\r|", 0}, /* CR is JSON's white space */
    {5, "12345\n", "12345|", 0},
    {5, "123456\n", "!|", 0},
    {5, "12345", "", 5},
    {5, "123456", "!|", 0},
    {5, "123456\nok\n", "!|ok|", 0},
    {5, "123456789012345678901234567890\nok\n", "!|ok|", 0},
    {5, "a\n123456\nb\n1234567\nc\n", "a|!|b|!|c|", 0},
    {5, "123456\n\nx", "!||", 1},
    {0, "\na\n\n", "|!||", 0},
    {1, "a\nab\nb\n", "a|!|b|", 0},
};

static void lines_are_the_same_however_they_come(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t n = strlen(rows[i].input);

        for (size_t piece = 1; piece <= n + 1; piece++) {
            _cleanup_buffer_ Buffer out = {0};
            NdjsonReader reader;

            ndjson_reader_init(&reader, rows[i].line_max);
            for (size_t at = 0; at < n; at += piece) {
                assert_int_equal(
                    ndjson_reader_feed(&reader, rows[i].input + at, MIN(piece, n - at)), 0);
                pull(&reader, &out);
            }
            assert_string_equal(buffer_text(&out), rows[i].lines);
            assert_int_equal(ndjson_reader_pending(&reader), rows[i].pending);
            ndjson_reader_done(&reader);
        }
    }
}

static void any_byte_but_the_line_feed_is_content(void **state)
{
    _cleanup_buffer_ Buffer input = {0};
    NdjsonReader reader;
    const char *line;
    size_t len;

    for (int c = 0; c < 256; c++) {
        char byte = (char)c;

        assert_int_equal(buffer_append(&input, c == '\n' ? "x" : &byte, 1), 0);
    }
    assert_int_equal(buffer_append_text(&input, "\n"), 0);
    ndjson_reader_init(&reader, 1000);
    assert_int_equal(ndjson_reader_feed(&reader, input.data, input.len), 0);
    assert_int_equal(ndjson_reader_next(&reader, &line, &len), 1);
    assert_int_equal(len, 256);
    assert_memory_equal(line, input.data, 256);
    assert_int_equal(ndjson_reader_next(&reader, &line, &len), 0);
    ndjson_reader_done(&reader);
}

/* One that never sends a line feed costs one line and one feed, for as long as it likes. */
static void an_endless_line_takes_bounded_memory(void **state)
{
    enum { LINE = 1000, FEED = 500 };
    char bytes[FEED];
    NdjsonReader reader;
    const char *line;
    size_t len;
    int told = 0;

    memset(bytes, 'x', sizeof(bytes));
    ndjson_reader_init(&reader, LINE);
    for (int i = 0; i < 20000; i++) {
        int r;

        assert_int_equal(ndjson_reader_feed(&reader, bytes, sizeof(bytes)), 0);
        while ((r = ndjson_reader_next(&reader, &line, &len)) != 0) {
            assert_int_equal(r, -EMSGSIZE);
            told++;
        }
        assert_true(ndjson_reader_pending(&reader) <= LINE);
        assert_true(reader.buffer.allocated <= 4 * LINE);
    }
    assert_int_equal(told, 1);
    assert_int_equal(ndjson_reader_feed(&reader, "\nok\n", 4), 0);
    assert_int_equal(ndjson_reader_next(&reader, &line, &len), 1);
    assert_int_equal(len, 2);
    ndjson_reader_done(&reader);
}

/* A long line in small pieces: no byte is looked at twice. A quadratic reader would take minutes.
 */
static void a_long_line_in_small_pieces_is_read_in_time(void **state)
{
    enum { LINE = 4 << 20 };
    NdjsonReader reader;
    const char *line;
    size_t len;

    ndjson_reader_init(&reader, LINE);
    for (size_t i = 0; i < LINE / 8; i++) {
        assert_int_equal(ndjson_reader_feed(&reader, "12345678", 8), 0);
        assert_int_equal(ndjson_reader_next(&reader, &line, &len), 0);
    }
    assert_int_equal(ndjson_reader_feed(&reader, "\n", 1), 0);
    assert_int_equal(ndjson_reader_next(&reader, &line, &len), 1);
    assert_int_equal(len, LINE);
    ndjson_reader_done(&reader);
}

static void a_feed_has_a_limit(void **state)
{
    _cleanup_free_ char *bytes = calloc(1, NDJSON_FEED_MAX);
    NdjsonReader reader;
    const char *line;
    size_t len;

    ndjson_reader_init(&reader, 10);
    assert_int_equal(ndjson_reader_feed(&reader, "0123456789", 10), 0);
    assert_int_equal(ndjson_reader_next(&reader, &line, &len), 0);
    assert_int_equal(ndjson_reader_feed(&reader, bytes, NDJSON_FEED_MAX), 0);
    assert_int_equal(ndjson_reader_feed(&reader, "x", 1), -ENOBUFS); /* nothing was pulled */
    assert_int_equal(ndjson_reader_next(&reader, &line, &len), -EMSGSIZE);
    assert_int_equal(ndjson_reader_feed(&reader, "\nok\n", 4), 0);
    assert_int_equal(ndjson_reader_next(&reader, &line, &len), 1);
    ndjson_reader_done(&reader);
}

static void done_may_come_at_any_time(void **state)
{
    NdjsonReader reader;

    ndjson_reader_init(&reader, 10);
    ndjson_reader_done(&reader);
    ndjson_reader_init(&reader, 10);
    assert_int_equal(ndjson_reader_feed(&reader, "abc", 3), 0);
    ndjson_reader_done(&reader);
    ndjson_reader_done(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_however_they_come),
        cmocka_unit_test(any_byte_but_the_line_feed_is_content),
        cmocka_unit_test(an_endless_line_takes_bounded_memory),
        cmocka_unit_test(a_long_line_in_small_pieces_is_read_in_time),
        cmocka_unit_test(a_feed_has_a_limit),
        cmocka_unit_test(done_may_come_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
