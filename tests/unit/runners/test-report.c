/* SPDX-License-Identifier: MIT */
#include "agent/runners/report.h"

#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static Report report;

static int setup(void **state)
{
    int fd = memfd_create("reports", 0);

    return fd < 0 ? -1 : report_open(fd, &report, NULL);
}

static int teardown(void **state)
{
    report.fd = fd_close(report.fd);
    return 0;
}

static void expect_written(const char *wanted)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    ssize_t n;

    assert_int_equal(buffer_reserve(&text, 2 * REPORT_LINE_MAX), 0);
    n = fd_pread_full(report.fd, text.data, 2 * REPORT_LINE_MAX, 0);
    assert_true(n >= 0);
    text.data[n] = '\0';
    assert_string_equal(text.data, wanted);
}

static void test_progress(void **state)
{
    assert_int_equal(report_phase(&report, "fetch", NULL), 0);
    assert_int_equal(report_progress(&report, &(ReportProgress){.phase = "pack",
                                                                .message = "a \"b\"",
                                                                .done = 0,
                                                                .total = 10,
                                                                .unit = "files"}),
                     0);
    expect_written("{\"type\":\"progress\",\"phase\":\"fetch\"}\n"
                   "{\"type\":\"progress\",\"phase\":\"pack\",\"message\":\"a \\\"b\\\"\","
                   "\"done\":0,\"total\":10,\"unit\":\"files\"}\n");
}

static void test_output(void **state)
{
    assert_int_equal(report_output(&report, "absent", NULL), 0);
    assert_int_equal(report_output(&report, "commit", "abc"), 0);
    assert_int_equal(report_output_take(&report, "n", json_new_int(3)), 0);
    expect_written("{\"type\":\"output\",\"name\":\"commit\",\"value\":\"abc\"}\n"
                   "{\"type\":\"output\",\"name\":\"n\",\"value\":3}\n");
}

static void test_artifact(void **state)
{
    ArchiveSummary summary = {.size_bytes = 7, .entries = 2, .sha256 = "ab"};

    assert_int_equal(report_artifact(&report, "bin", "bin.tar.zst", "tar.zst", &summary), 0);
    assert_int_equal(report_artifact(&report, "log", "log.txt", "file", &summary), 0);
    expect_written("{\"type\":\"artifact\",\"name\":\"bin\",\"file\":\"bin.tar.zst\",\"size\":7,"
                   "\"sha256\":\"ab\",\"format\":\"tar.zst\",\"entries\":2}\n"
                   "{\"type\":\"artifact\",\"name\":\"log\",\"file\":\"log.txt\",\"size\":7,"
                   "\"sha256\":\"ab\",\"format\":\"file\"}\n");
}

static void test_reason(void **state)
{
    assert_int_equal(report_reason(&report, "two\nlines", -1), 0);
    assert_int_equal(report_reason(&report, "exited", 3), 0);
    expect_written("{\"type\":\"reason\",\"text\":\"two\\nlines\"}\n"
                   "{\"type\":\"reason\",\"text\":\"exited\",\"exitCode\":3}\n");
}

static void test_bytes_that_are_not_text(void **state)
{
    assert_int_equal(report_reason(&report, "caf\xe9", -1), 0);
    expect_written("{\"type\":\"reason\",\"text\":\"caf\xef\xbf\xbd\"}\n");
}

/* A reason is cut, at a character; anything else that is too long is refused whole. */
static void test_limits(void **state)
{
    _cleanup_free_ char *text = malloc(REPORT_LINE_MAX + 2);
    _cleanup_json_ Json *back = NULL;
    char line[32 << 10];
    const char *reason;
    ssize_t n;

    assert_non_null(text);
    for (size_t i = 0; i < REPORT_LINE_MAX; i += 2) {
        memcpy(text + i, "\xc3\xa4", 2);
    }
    text[REPORT_LINE_MAX] = '\0';
    assert_int_equal(report_output(&report, "x", text), -EMSGSIZE);
    expect_written("");

    text[0] = 'a'; /* now every character begins at an odd byte */
    memmove(text + 1, text + 2, REPORT_LINE_MAX - 1);
    assert_int_equal(report_reason(&report, text, -1), 0);
    n = fd_pread_full(report.fd, line, sizeof(line), 0);
    assert_in_range(n, 10000, 20000);
    assert_int_equal(json_parse(line, (size_t)n, &back, NULL), 0);
    reason = json_get_string(back, "text");
    assert_non_null(reason);
    assert_string_equal(reason + strlen(reason) - 2, "\xc3\xa4");
}

static void test_descriptor(void **state)
{
    _cleanup_error_ Error err = {0};
    Report closed = {.fd = -1};

    assert_true(fcntl(report.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(report_open(1023, &closed, &err), -EBADF);
    assert_non_null(strstr(error_text(&err), "fd 1023"));
    assert_int_equal(closed.fd, -1);
    closed.fd = 1023;
    assert_int_equal(report_phase(&closed, "x", NULL), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_progress, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output, setup, teardown),
        cmocka_unit_test_setup_teardown(test_artifact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_that_are_not_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptor, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
