/* SPDX-License-Identifier: MIT */
#include "plugin/cli/audit-log.h"

#include "protocol/base/text.h"
#include "tests/unit/cli/cli-fixture.h"

#include <errno.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define FIRST "{\"seq\":1,\"time\":\"t\",\"previous\":\"" ZEROS "\",\"event\":\"x\"}\n"

/* The agent answers its `n`th request with this piece of a log of that size. */
static void serve(CliFixture *f, unsigned n, const char *piece, size_t size)
{
    _cleanup_buffer_ Buffer line = {0};

    assert_int_equal(
        buffer_append_format(
            &line, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":{\"offset\":0,\"base64\":\"", n),
        0);
    assert_int_equal(text_append_base64(&line, piece, strlen(piece)), 0);
    assert_int_equal(buffer_append_format(&line, "\",\"isLast\":true,\"size\":%zu}}\n", size), 0);
    cli_agent_says(f, n, buffer_text(&line));
}

static int count_records(const SlipwayJson *record, void *userdata)
{
    (*(unsigned *)userdata)++;
    return 0;
}

static int end_with(const SlipwayJson *record, void *userdata)
{
    return *(int *)userdata;
}

static void test_the_agents_log(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *head = NULL;
    AuditLog log = {0};
    unsigned n = 0;

    serve(f, 2, "{", strlen(FIRST));
    serve(f, 3, FIRST, strlen(FIRST));
    cli_connect(f, "--color", "never");
    assert_int_equal(audit_log_open(&f->session, NULL, &log), EXIT_DONE);
    assert_true(*log.name);
    assert_int_equal(audit_log_walk(&f->session, &log, NULL, count_records, &n, &head), 0);
    assert_int_equal(n, 1);
    assert_int_equal(slipway_json_get_int(head, "/seq", 0), 1);
    assert_true(file_exists(AT_FDCWD, log.path));
    {
        _cleanup_free_ char *directory = strdup(log.directory);

        audit_log_done(&log);
        assert_false(file_exists(AT_FDCWD, directory)); /* the copy goes with it */
    }
    cli_expect_error(f, "");
    (void)slipway_json_unref(head);
}

/* A log that does not hold is a finding, not a mistake of the command line. */
static void test_a_log_that_is_wrong(void **state)
{
    static const char wrong[] = "{\"seq\":2,\"time\":\"t\",\"previous\":\"" ZEROS "\"}\n";
    CliFixture *f = *state;
    AuditLog log = {0};

    serve(f, 2, "{", strlen(wrong));
    serve(f, 3, wrong, strlen(wrong));
    cli_connect(f, "--color", "never");
    assert_int_equal(audit_log_open(&f->session, NULL, &log), EXIT_ACTION_FAILED);
    assert_null(log.path);
    cli_expect_error_has(f, "record 1 is missing: record 2 stands in its place");
}

static void test_an_agent_without_the_method(void **state)
{
    CliFixture *f = *state;
    AuditLog log = {0};

    cli_agent_says(
        f, 2,
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32601,\"message\":\"there is "
        "no method 'audit/read'\"}}\n");
    cli_connect(f, "--json");
    assert_int_equal(audit_log_open(&f->session, NULL, &log), EXIT_USAGE);
    cli_expect_error_has(f, "there is no method 'audit/read'");
}

static void test_a_file(void **state)
{
    CliFixture *f = *state;
    AuditLog log = {0};
    char path[128];
    int answer = 7;

    scratch_write_text(f->scratch->fd, "log", FIRST);
    (void)snprintf(path, sizeof(path), "%s/log", f->scratch->path);
    cli_begin(f, "--color", "never");
    assert_int_equal(audit_log_open(&f->session, path, &log), EXIT_DONE);
    assert_string_equal(log.name, path);
    assert_int_equal(audit_log_walk(&f->session, &log, NULL, end_with, &answer, NULL), 7);
    answer = -ENOMEM;
    assert_int_equal(audit_log_walk(&f->session, &log, NULL, end_with, &answer, NULL), -ENOMEM);
    cli_expect_error(f, "");
    audit_log_done(&log);
    assert_true(file_exists(f->scratch->fd, "log")); /* it is somebody's */

    (void)strcat(path, "-not");
    assert_int_equal(audit_log_open(&f->session, path, &log), EXIT_DONE);
    assert_int_equal(audit_log_walk(&f->session, &log, NULL, NULL, NULL, NULL), EXIT_ACTION_FAILED);
    cli_expect_error_has(f, "No such file");
    audit_log_done(&log);
}

static void test_no_place(void **state)
{
    CliFixture *f = *state;
    AuditLog log = {0};
    const char *before = getenv("TMPDIR");
    _cleanup_free_ char *kept = before ? strdup(before) : NULL;

    cli_begin(f, "--color", "never");
    assert_int_equal(setenv("TMPDIR", "/nowhere", 1), 0);
    assert_int_equal(audit_log_open(&f->session, NULL, &log), EXIT_ACTION_FAILED);
    cli_expect_error_has(f, "no place for a copy of the log");
    assert_int_equal(kept ? setenv("TMPDIR", kept, 1) : unsetenv("TMPDIR"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cli_test(test_the_agents_log),
        cli_test(test_a_log_that_is_wrong),
        cli_test(test_an_agent_without_the_method),
        cli_test(test_a_file),
        cli_test(test_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
