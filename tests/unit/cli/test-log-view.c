/* SPDX-License-Identifier: MIT */
#include "plugin/cli/log-view.h"

#include "tests/unit/cli/cli-fixture.h"

static void write_text(LogView *view, bool is_error, const char *text)
{
    log_view_write(view, is_error, text, strlen(text));
}

static void begin(CliFixture *f, LogView *view, const char *color)
{
    cli_begin(f, "--color", color);
    assert_int_equal(log_view_init(view, &f->session.output, "build"), 0);
}

static void test_lines(void **state)
{
    CliFixture *f = *state;
    LogView view;

    begin(f, &view, "never");
    write_text(&view, false, "one\ntwo\n");
    write_text(&view, true, "three\n");
    write_text(&view, false, "\n");
    write_text(&view, false, "");
    cli_expect_out(f, "build | one\nbuild | two\nbuild | three\nbuild | \n");
    log_view_done(&view);
}

/* A line that comes in parts has one prefix; one of the other stream never goes into its middle. */
static void test_parts(void **state)
{
    CliFixture *f = *state;
    LogView view;

    begin(f, &view, "never");
    write_text(&view, false, "first ");
    write_text(&view, false, "half");
    assert_true(view.is_mid_line);
    write_text(&view, true, "other\n");
    write_text(&view, false, "\nend");
    log_view_end_line(&view);
    log_view_end_line(&view); /* once is enough */
    cli_expect_out(f, "build | first half\nbuild | other\nbuild | \nbuild | end\n");
    assert_false(view.is_mid_line);
    log_view_done(&view);
}

static void test_bytes(void **state)
{
    CliFixture *f = *state;
    _cleanup_free_ char *text = NULL;
    LogView view;

    begin(f, &view, "never");
    log_view_write(&view, false, "a\0b\xff\n", 5);
    output_flush(&f->session.output);
    assert_int_equal(lseek(f->out_fd, 0, SEEK_END), 13);
    text = cli_out(f);
    assert_memory_equal(text, "build | a\0b\xff\n", 13);
    log_view_done(&view);
}

static void test_colors(void **state)
{
    CliFixture *f = *state;
    LogView view;

    begin(f, &view, "always");
    write_text(&view, false, "out\n");
    write_text(&view, true, "err\n");
    cli_expect_out(f, "\033[36mbuild |\033[0m out\n\033[33mbuild |\033[0m err\n");
    log_view_done(&view);
}

static void test_raw(void **state)
{
    CliFixture *f = *state;
    LogView view;

    cli_begin(f, "--raw");
    assert_int_equal(log_view_init(&view, &f->session.output, "build"), 0);
    write_text(&view, false, "half");
    write_text(&view, true, "other\n");
    write_text(&view, false, "end");
    log_view_end_line(&view);
    cli_expect_out(f, "halfother\nend");
    log_view_done(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cli_test(test_lines),  cli_test(test_parts), cli_test(test_bytes),
        cli_test(test_colors), cli_test(test_raw),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
