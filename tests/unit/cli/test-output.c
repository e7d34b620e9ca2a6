/* SPDX-License-Identifier: MIT */
#include "tests/unit/cli/cli-fixture.h"

#include <errno.h>

static void test_numbers(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {
        {0, "0 B"},          {999, "999 B"},         {1000, "1.0 kB"},           {9949, "9.9 kB"},
        {9960, "10 kB"},     {12345, "12 kB"},       {999000, "999 kB"},         {999999, "1.0 MB"},
        {3400000, "3.4 MB"}, {1000000000, "1.0 GB"}, {UINT64_MAX, "18446744 TB"}};
    static const struct {
        double seconds;
        const char *text;
    } durations[] = {{0, "0 ms"},          {0.0124, "12 ms"},   {0.9994, "999 ms"},
                     {0.9996, "1.0 s"},    {5.25, "5.2 s"},     {59.9, "59.9 s"},
                     {59.96, "1 min 0 s"}, {65.4, "1 min 5 s"}, {3599.6, "1 h 0 min"},
                     {7260, "2 h 1 min"}};
    char text[OUTPUT_TEXT_SIZE];

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_string_equal(output_size(sizes[i].bytes, text), sizes[i].text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        assert_string_equal(output_duration(durations[i].seconds, text), durations[i].text);
    }
}

static void test_table(void **state)
{
    static const char *const cells[] = {"NAME", "SIZE", "WHAT",          "a", "1 kB", "x",
                                        "näme", "",     "a longer text", "b", "",     ""};
    CliFixture *f = *state;

    cli_begin(f, "--color", "never");
    output_table(&f->session.output, cells, 4, 3);
    cli_expect_out(f, "NAME  SIZE  WHAT\n"
                      "a     1 kB  x\n"
                      "n\u00e4me        a longer text\n"
                      "b\n");
    cli_begin(f, "--color", "always");
    output_table(&f->session.output, cells, 1, 3);
    cli_expect_out(f, "\033[1mNAME\033[0m  \033[1mSIZE\033[0m  \033[1mWHAT\033[0m\n");
}

/* What was written before something is said stands before it. Both go to one place here. */
static void test_order(void **state)
{
    CliFixture *f = *state;

    cli_begin(f, "--color", "never");
    f->session.output.error_fd = f->out_fd;
    output_print(&f->session.output, "one %d\n", 1);
    output_say(&f->session.output, "two");
    output_write(&f->session.output, "three\n", 6);
    cli_expect_out(f, "one 1\ntwo\nthree\n");
}

/* Longer than the buffer, in pieces that do not fit it. */
static void test_long(void **state)
{
    CliFixture *f = *state;
    _cleanup_buffer_ Buffer expected = {0};
    _cleanup_free_ char *text = NULL;
    char piece[1001];

    cli_begin(f, "--color", "never");
    for (size_t i = 0; i < sizeof(piece); i++) {
        piece[i] = (char)('a' + i % 26);
    }
    for (int i = 0; i < 1000; i++) {
        output_write(&f->session.output, piece, sizeof(piece));
        assert_int_equal(buffer_append(&expected, piece, sizeof(piece)), 0);
    }
    text = cli_out(f);
    assert_string_equal(text, buffer_text(&expected));
}

static void test_broken(void **state)
{
    CliFixture *f = *state;
    _cleanup_fd_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    cli_begin(f, "--color", "never");
    f->session.output.out_fd = full;
    output_print(&f->session.output, "x");
    assert_false(f->session.output.is_broken);
    output_flush(&f->session.output);
    assert_true(f->session.output.is_broken);
    output_print(&f->session.output, "more"); /* no harm, no effect */
    output_flush(&f->session.output);
}

static void expect_color(CliFixture *f, const char *when, bool has_color)
{
    cli_begin(f, "--color", when);
    assert_int_equal(*output_style(&f->session.output, true, STYLE_BAD) != '\0', has_color);
    assert_int_equal(*output_plain(&f->session.output, true) != '\0', has_color);
    assert_int_equal(*output_style(&f->session.output, false, STYLE_GOOD) != '\0', has_color);
}

/* Under the test's harness nothing is a terminal. */
static void test_colors(void **state)
{
    CliFixture *f = *state;

    expect_color(f, "auto", false);
    expect_color(f, "never", false);
    expect_color(f, "always", true);
    /* JSON has none, whatever was asked for. */
    cli_begin(f, "--color", "always", "--json");
    assert_string_equal(output_style(&f->session.output, false, STYLE_GOOD), "");
}

static void test_progress(void **state)
{
    CliFixture *f = *state;
    Output *o;

    cli_begin(f, "--color", "never");
    o = &f->session.output;
    output_progress(o, "sending", 1, 2, "bytes"); /* no terminal */
    cli_expect_error(f, "");

    o->is_terminal = true;
    output_progress(o, "sending", 1000, 2000, "bytes");
    cli_expect_error(f, "\r\033[Ksending [============            ] 1.0 kB of 2.0 kB");
    output_progress(o, "sending", 1001, 2000, "bytes"); /* too soon after the last one */
    cli_expect_error(f, "");
    output_say(o, "done"); /* takes it away first */
    cli_expect_error(f, "\r\033[Kdone\n");
    output_progress(o, "tests", 7, 0, "tests");
    cli_expect_error(f, "\r\033[Ktests 7 tests");
    output_write(o, "log\n", 4);
    output_flush(o);
    cli_expect_error(f, "\r\033[K");
    output_clear_progress(o); /* there is none any more */
    cli_expect_error(f, "");
    output_progress(o, "more than all", 5, 4, "files");
    cli_expect_error(f, "\r\033[Kmore than all [========================] 5 of 4 files");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cli_test(test_table),
        cli_test(test_order),           cli_test(test_long),
        cli_test(test_broken),          cli_test(test_colors),
        cli_test(test_progress),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
