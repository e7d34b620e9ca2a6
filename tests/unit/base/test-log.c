/* SPDX-License-Identifier: MIT */
#include "protocol/base/buffer.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* stderr goes to a file in memory from begin() to end(), which gives what was written. */
typedef struct Capture {
    int file;
    int saved;
    char text[8192];
} Capture;

static void begin(Capture *c)
{
    c->file = memfd_create("stderr", MFD_CLOEXEC);
    c->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(c->file >= 0 && c->saved >= 0);
    assert_int_equal(dup2(c->file, STDERR_FILENO), STDERR_FILENO);
}

static const char *end(Capture *c)
{
    ssize_t n = fd_pread_full(c->file, c->text, sizeof(c->text) - 1, 0);

    assert_int_equal(dup2(c->saved, STDERR_FILENO), STDERR_FILENO);
    (void)fd_close(c->saved);
    (void)fd_close(c->file);
    assert_true(n >= 0);
    c->text[n] = '\0';
    return c->text;
}

static int reset(void **state)
{
    return unsetenv("JOURNAL_STREAM") || unsetenv("SLIPWAY_DEBUG");
}

static void lines_name_the_program(void **state)
{
    Capture c;

    begin(&c);
    log_open("prog");
    log_error("bad '%s'", "x");
    log_warning("odd");
    log_info("%d of %d", 1, 2);
    log_debug("hidden");
    assert_string_equal(end(&c), "prog: bad 'x'\nprog: odd\nprog: 1 of 2\n");
}

static void debug_is_asked_for_with_1(void **state)
{
    Capture c;

    assert_int_equal(setenv("SLIPWAY_DEBUG", "0", 1), 0);
    begin(&c);
    log_open("prog");
    log_debug("hidden");
    assert_string_equal(end(&c), "");

    assert_int_equal(setenv("SLIPWAY_DEBUG", "1", 1), 0);
    begin(&c);
    log_open("prog");
    log_debug("shown");
    assert_string_equal(end(&c), "prog: shown\n");
}

static void errno_ends_the_line_and_is_returned(void **state)
{
    char expected[200];
    Capture c;

    (void)snprintf(expected, sizeof(expected), "prog: cannot: %s\n", strerror(EACCES));
    begin(&c);
    log_open("prog");
    assert_int_equal(log_error_errno(-EACCES, "cannot"), -EACCES);
    assert_string_equal(end(&c), expected);
}

static void long_text_is_cut_but_keeps_its_end(void **state)
{
    char expected[100];
    char *text = malloc(100000);
    const char *line;
    Capture c;

    memset(text, 'x', 99999);
    text[99999] = '\0';
    begin(&c);
    log_open("prog");
    (void)log_error_errno(-EACCES, "%s", text);
    log_info("next");
    line = end(&c);
    free(text);
    (void)snprintf(expected, sizeof(expected), "xxx...: %s\nprog: next\n", strerror(EACCES));
    assert_true(strlen(line) < 2048 + 20);
    assert_string_equal(strstr(line, "xxx..."), expected);
}

/* Only a stderr that is the journal's own stream gets priorities: a service hands JOURNAL_STREAM on
 * to what it starts with another stderr. */
static void priorities_are_for_the_journal_only(void **state)
{
    char stream[64];
    struct stat st;
    Capture c;

    assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
    begin(&c);
    log_open("prog");
    log_warning("plain");
    assert_string_equal(end(&c), "prog: plain\n");

    begin(&c);
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    log_open("prog");
    log_warning("odd");
    log_error("bad");
    assert_string_equal(end(&c), "<4>odd\n<3>bad\n");

    assert_int_equal(setenv("JOURNAL_STREAM", "nonsense", 1), 0);
    begin(&c);
    log_open("prog");
    log_warning("plain");
    assert_string_equal(end(&c), "prog: plain\n");
}

static void closed_stderr_is_survived(void **state)
{
    Capture c;

    begin(&c);
    log_open("prog");
    (void)close(STDERR_FILENO);
    log_error("to nobody");
    assert_string_equal(end(&c), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lines_name_the_program, reset),
        cmocka_unit_test_setup(debug_is_asked_for_with_1, reset),
        cmocka_unit_test_setup(errno_ends_the_line_and_is_returned, reset),
        cmocka_unit_test_setup(long_text_is_cut_but_keeps_its_end, reset),
        cmocka_unit_test_setup(priorities_are_for_the_journal_only, reset),
        cmocka_unit_test_setup(closed_stderr_is_survived, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
