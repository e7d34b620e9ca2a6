/* SPDX-License-Identifier: MIT */
/* A line that the agent writes is taken by the fast path; whatever is taken means what the full
 * parser says (tests/fuzz/wire-property.h). Lines are made up from a seed, so a failure repeats. */
#include "tests/unit/cmocka.h"

#include "tests/fuzz/wire-property.h"

#include <errno.h>
#include <stdio.h>

#define ROUNDS 3000

static uint32_t random_state;

static uint32_t next_random(uint32_t below)
{
    random_state ^= random_state << 13; /* xorshift32, Marsaglia 2003 */
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % below;
}

static int64_t random_number(void)
{
    static const int64_t limits[] = {1, 10, 1000, 100000000, 999999999999999999};
    int64_t number = (int64_t)next_random(UINT32_MAX) << 31 | next_random(UINT32_MAX);

    return number % limits[next_random(ARRAY_SIZE(limits))];
}

/* Text as a log has it: plain runs, escapes, characters of each length. No NUL: that is sent as
 * base64. */
static void random_text(Buffer *b)
{
    static const char *const pieces[] = {"plain text of a line",
                                         "\n",
                                         "\r\n\t",
                                         "\x1b[32m",
                                         "\"",
                                         "\\",
                                         "/",
                                         "\x7f\x01\x1f",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "12345678"};
    uint32_t n = next_random(30);

    buffer_clear(b);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(buffer_append_text(b, pieces[next_random(ARRAY_SIZE(pieces))]), 0);
    }
}

static void random_bytes(Buffer *b)
{
    uint32_t n = next_random(50);

    buffer_clear(b);
    for (uint32_t i = 0; i < n; i++) {
        char byte = (char)next_random(256);

        assert_int_equal(buffer_append(b, &byte, 1), 0);
    }
}

static void append_base64_string(Buffer *line, const Buffer *bytes)
{
    assert_int_equal(buffer_append_text(line, "\"base64\":\""), 0);
    assert_int_equal(text_append_base64(line, buffer_text(bytes), bytes->len), 0);
    assert_int_equal(buffer_append_text(line, "\""), 0);
}

/* As agent/endpoint writes it. */
static void random_log(Buffer *line)
{
    _cleanup_buffer_ Buffer content = {0};

    buffer_clear(line);
    assert_int_equal(
        buffer_append_format(line,
                             "{\"jsonrpc\":\"2.0\",\"method\":\"call/log\",\"params\":{"
                             "\"call\":\"c%u-x\",\"seq\":%lld,\"time\":"
                             "\"2026-01-01T00:00:00.%06uZ\",\"stream\":\"%s\",\"offset\":%lld,",
                             next_random(1000), (long long)random_number(), next_random(1000000),
                             next_random(2) ? "stdout" : "stderr", (long long)random_number()),
        0);
    if (next_random(3) == 0) {
        random_bytes(&content);
        append_base64_string(line, &content);
    } else {
        random_text(&content);
        assert_int_equal(buffer_append_text(line, "\"text\":"), 0);
        assert_int_equal(text_append_json(line, buffer_text(&content), content.len), 0);
    }
    assert_int_equal(buffer_append_text(line, "}}"), 0);
}

static void random_chunk(Buffer *line)
{
    _cleanup_buffer_ Buffer content = {0};

    buffer_clear(line);
    random_bytes(&content);
    assert_int_equal(buffer_append_format(line,
                                          "{\"jsonrpc\":\"2.0\",\"id\":%lld,"
                                          "\"result\":{\"offset\":%lld,",
                                          (long long)random_number(), (long long)random_number()),
                     0);
    append_base64_string(line, &content);
    assert_int_equal(
        buffer_append_format(line, ",\"isLast\":%s}}", next_random(2) ? "true" : "false"), 0);
}

/* Something that the agent would not write: a byte changed, dropped or doubled. */
static void spoil(Buffer *line)
{
    static const char bytes[] = "\"\\{}[],:0129eE+-.u/=AZaz \n\t\x01\x7f\x80\xc3\xff";
    size_t at = next_random((uint32_t)line->len);

    switch (next_random(3)) {
    case 0:
        line->data[at] = bytes[next_random(sizeof(bytes))];
        break;
    case 1:
        memmove(line->data + at, line->data + at + 1, line->len - at);
        line->len--;
        break;
    default:
        assert_int_equal(buffer_append(line, "x", 1), 0);
        memmove(line->data + at + 1, line->data + at, line->len - at - 1);
        break;
    }
}

static void check_random_lines(void (*make)(Buffer *), bool (*take)(const char *, size_t))
{
    _cleanup_buffer_ Buffer line = {0};

    for (uint32_t round = 1; round <= ROUNDS; round++) {
        random_state = round;
        make(&line);
        if (!take(line.data, line.len)) {
            fail_msg("seed %u was left to the full parser: %s", round, buffer_text(&line));
        }
        for (uint32_t i = 0; i < 4; i++) {
            spoil(&line);
            (void)take(line.data, line.len);
        }
    }
}

static void logs_mean_what_the_full_parser_says(void **state)
{
    check_random_lines(random_log, wire_require_log);
}

static void chunks_mean_what_the_full_parser_says(void **state)
{
    check_random_lines(random_chunk, wire_require_chunk);
}

/* Every end of a line, and nothing after it is looked at. */
static void a_line_that_is_cut_is_left_alone(void **state)
{
    _cleanup_buffer_ Buffer log = {0}, chunk = {0};

    random_state = 42;
    random_log(&log);
    random_chunk(&chunk);
    for (size_t n = 0; n < log.len; n++) {
        char *exact = malloc(n ? n : 1);

        memcpy(exact, log.data, n);
        assert_false(wire_require_log(exact, n));
        free(exact);
    }
    for (size_t n = 0; n < chunk.len; n++) {
        assert_false(wire_require_chunk(chunk.data, n));
    }
}

#define HEAD "{\"jsonrpc\":\"2.0\",\"method\":\"call/log\",\"params\":"
#define FIELDS "{\"call\":\"c\",\"seq\":1,\"time\":\"t\",\"stream\":\"stdout\",\"offset\":0,"

/* JSON that is right, in a form that the agent does not write, or wrong in a way that only the full
 * parser can tell. */
static const char *const left_alone[] = {
    "",
    "{}",
    " " HEAD FIELDS "\"text\":\"x\"}}",
    HEAD FIELDS "\"text\":\"x\"}} ",
    HEAD FIELDS "\"text\":\"x\"},\"id\":1}",
    HEAD FIELDS "\"text\":\"x\",\"more\":1}}",
    HEAD FIELDS "\"text\":\"x\",\"text\":\"y\"}}",
    HEAD FIELDS "\"text\":1}}",
    HEAD FIELDS "\"text\":\"\\u00e9\"}}",
    HEAD FIELDS "\"text\":\"\\u0000\"}}",
    HEAD FIELDS "\"text\":\"\\u001B\"}}",
    HEAD FIELDS "\"text\":\"\\ud83d\\ude00\"}}",
    HEAD FIELDS "\"text\":\"\\x\"}}",
    HEAD FIELDS "\"text\":\"\n\"}}",
    HEAD FIELDS "\"text\":\"\xff\"}}",
    HEAD FIELDS "\"text\":\"\xed\xa0\x80\"}}",
    HEAD FIELDS "\"base64\":\"Zh==\"}}",
    HEAD FIELDS "\"base64\":\"Zg=\"}}",
    HEAD FIELDS "\"base64\":\"\\/\\/\\/\\/\"}}",
    HEAD
    "{\"seq\":1,\"call\":\"c\",\"time\":\"t\",\"stream\":\"stdout\",\"offset\":0,\"text\":\"\"}}",
    HEAD
    "{\"call\":\"\",\"seq\":1,\"time\":\"t\",\"stream\":\"stdout\",\"offset\":0,\"text\":\"\"}}",
    HEAD "{\"call\":\"a\\u0062\",\"seq\":1,\"time\":\"t\",\"stream\":\"stdout\",\"offset\":0,"
         "\"text\":\"\"}}",
    HEAD "{\"call\":\"c\",\"seq\":01,\"time\":\"t\",\"stream\":\"stdout\",\"offset\":0,"
         "\"text\":\"\"}}",
    HEAD "{\"call\":\"c\",\"seq\":-1,\"time\":\"t\",\"stream\":\"stdout\",\"offset\":0,"
         "\"text\":\"\"}}",
    HEAD "{\"call\":\"c\",\"seq\":1.0,\"time\":\"t\",\"stream\":\"stdout\",\"offset\":0,"
         "\"text\":\"\"}}",
    HEAD "{\"call\":\"c\",\"seq\":1,\"time\":\"t\",\"stream\":\"stdin\",\"offset\":0,"
         "\"text\":\"\"}}",
    HEAD "{\"call\":\"c\",\"seq\":1,\"time\":\"t\",\"stream\":\"stdout\",\"offset\":"
         "1000000000000000000,\"text\":\"\"}}",
};

static void anything_else_is_left_to_the_full_parser(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(left_alone); i++) {
        _cleanup_buffer_ Buffer data = {0};
        WireLog log;

        if (wire_scan_log(left_alone[i], strlen(left_alone[i]), &log, &data) != 0) {
            fail_msg("%s", left_alone[i]);
        }
    }
}

static void fields_point_into_the_line(void **state)
{
    static const char line[] = HEAD "{\"call\":\"c-1\",\"seq\":7,\"time\":\"now\",\"stream\":"
                                    "\"stderr\",\"offset\":999999999999999999,\"text\":\"a\\nb\"}}";
    _cleanup_buffer_ Buffer data = {0};
    WireLog log;

    assert_int_equal(buffer_append_text(&data, "old"), 0);
    assert_int_equal(wire_scan_log(line, strlen(line), &log, &data), 1);
    assert_int_equal(log.call_len, 3);
    assert_memory_equal(log.call, "c-1", 3);
    assert_int_equal(log.seq, 7);
    assert_int_equal(log.time_len, 3);
    assert_memory_equal(log.time, "now", 3);
    assert_true(log.is_stderr);
    assert_true(log.offset == 999999999999999999);
    assert_string_equal(buffer_text(&data), "a\nb");
    assert_ptr_equal(log.params, line + strlen(HEAD));
    assert_int_equal(log.params_len, strlen(line) - strlen(HEAD) - 1);
}

/* The buffer's limit is the client's; a line beyond it is a failure, not another parser's work. */
static void a_full_buffer_is_a_failure(void **state)
{
    static const char line[] = HEAD FIELDS "\"text\":\"0123456789\"}}";
    static const char chunk[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"offset\":0,"
                                "\"base64\":\"Zm9vYmFy\",\"isLast\":true}}";
    _cleanup_buffer_ Buffer data = BUFFER_INIT(5);
    WireChunk piece;
    WireLog log;

    assert_int_equal(wire_scan_log(line, strlen(line), &log, &data), -ENOBUFS);
    assert_int_equal(wire_scan_chunk(chunk, strlen(chunk), &piece, &data), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_mean_what_the_full_parser_says),
        cmocka_unit_test(chunks_mean_what_the_full_parser_says),
        cmocka_unit_test(a_line_that_is_cut_is_left_alone),
        cmocka_unit_test(anything_else_is_left_to_the_full_parser),
        cmocka_unit_test(fields_point_into_the_line),
        cmocka_unit_test(a_full_buffer_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
