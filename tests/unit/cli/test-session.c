/* SPDX-License-Identifier: MIT */
#include "tests/unit/cli/cli-fixture.h"

#include <errno.h>
#include <signal.h>

static void test_connect(void **state)
{
    CliFixture *f = *state;
    _cleanup_free_ char *requests = NULL;

    cli_connect(f, "--color", "never");
    assert_string_equal(
        slipway_json_get_string(slipway_client_get_agent(f->session.client), "/agent/name", ""),
        "fake");
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"name\":\"slipway\""));
    cli_expect_error(f, "");
}

static int connect_to(CliFixture *f, const char *address)
{
    cli_begin(f, "--color", "never", "--agent", address);
    return session_connect(&f->session);
}

static void test_unreachable(void **state)
{
    CliFixture *f = *state;

    assert_int_equal(connect_to(f, "unix:/nowhere/agent.sock"), EXIT_UNREACHABLE);
    cli_expect_error_has(f, "slipway: no agent: unix:/nowhere/agent.sock: No such file");
    assert_int_equal(connect_to(f, "stdio:exit 1"), EXIT_UNREACHABLE);
    cli_expect_error_has(f, "the agent hung up");
    assert_int_equal(connect_to(f, "stdio:echo hello"), EXIT_UNREACHABLE);
    cli_expect_error_has(f, "no message");
    cli_begin(f, "--color", "never", "--agent", "stdio:cat >/dev/null");
    assert_int_equal(session_connect_within(&f->session, 20), EXIT_UNREACHABLE);
    cli_expect_error_has(f, "does not answer");
    assert_int_equal(connect_to(f, "http://host"), EXIT_USAGE);
    cli_expect_error_has(f, "'http://host' is no agent's address");
}

static void test_request(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *params = slipway_json_new_object(), *result = NULL;
    _cleanup_free_ char *requests = NULL;

    cli_agent_says(f, 2, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"n\":7}}\n");
    cli_connect(f, "--color", "never");
    assert_int_equal(slipway_json_set_string(params, "/call", "c1"), 0);
    assert_int_equal(session_request(&f->session, "calls/result", params, &result), EXIT_DONE);
    assert_int_equal(slipway_json_get_int(result, "/n", 0), 7);
    (void)slipway_json_unref(params);
    (void)slipway_json_unref(result);
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"method\":\"calls/result\",\"params\":{\"call\":\"c1\"}"));
    cli_expect_error(f, "");
}

/* Each code of the protocol has its exit code, and the sentence names the method. */
static void test_errors(void **state)
{
    static const struct {
        int code;
        ExitCode expected;
    } rows[] = {
        {SLIPWAY_ERROR_NOT_FOUND, EXIT_USAGE},      {SLIPWAY_ERROR_INVALID_PARAMS, EXIT_USAGE},
        {SLIPWAY_ERROR_CONFLICT, EXIT_USAGE},       {SLIPWAY_ERROR_METHOD_NOT_FOUND, EXIT_USAGE},
        {SLIPWAY_ERROR_NOT_ALLOWED, EXIT_REFUSED},  {SLIPWAY_ERROR_BUSY, EXIT_ACTION_FAILED},
        {SLIPWAY_ERROR_STORAGE, EXIT_ACTION_FAILED}};
    CliFixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_free_ char *line = NULL;

        assert_true(asprintf(&line,
                             "{\"jsonrpc\":\"2.0\",\"id\":%u,\"error\":{\"code\":%d,\"message\":"
                             "\"because\"}}\n",
                             i + 2, rows[i].code) > 0);
        cli_agent_says(f, i + 2, line);
    }
    cli_connect(f, "--color", "never");
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(session_request(&f->session, "health", NULL, NULL), rows[i].expected);
        cli_expect_error(f, "slipway: health: because\n");
    }
}

static void test_error_as_json(void **state)
{
    CliFixture *f = *state;

    cli_agent_says(f, 2,
                   "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32004,\"message\":\"no\","
                   "\"data\":{\"x\":1}}}\n");
    cli_connect(f, "--json");
    assert_int_equal(session_request(&f->session, "health", NULL, NULL), EXIT_USAGE);
    cli_expect_out(f,
                   "{\"event\":\"error\",\"code\":-32004,\"message\":\"no\",\"data\":{\"x\":1}}\n");
}

static void test_hang_up(void **state)
{
    CliFixture *f = *state;

    /* Hangs up, and at the second start never greets. */
    cli_agent_runs(f, 2, "rm reply.1; echo nonsense >reply.1; exit 0");
    cli_connect(f, "--color", "never");
    assert_int_equal(session_request(&f->session, "health", NULL, NULL), EXIT_UNREACHABLE);
    cli_expect_error_has(f, "hung up; trying again\n");
}

static void test_usage(void **state)
{
    CliFixture *f = *state;

    cli_begin(f, "--color", "never");
    assert_int_equal(session_usage(&f->session, "no %s here", "x"), EXIT_USAGE);
    cli_expect_error(f, "slipway: no x here\nSee slipway test --help\n");
}

static void test_print_json(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *value = slipway_json_new_object();

    cli_begin(f, "--json");
    session_print_json(&f->session, NULL, NULL);
    session_print_json(&f->session, "e", value);
    assert_int_equal(slipway_json_set_int(value, "/a", 1), 0);
    session_print_json(&f->session, "e", value);
    session_print_json(&f->session, NULL, value);
    cli_expect_out(f, "null\n{\"event\":\"e\"}\n{\"event\":\"e\",\"a\":1}\n{\"a\":1}\n");
    (void)slipway_json_unref(value);
}

static void test_save_json(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *value = slipway_json_new_object();
    char path[] = "/tmp/slipway-test-session-XXXXXX", text[8] = "";
    _cleanup_fd_ int fd = mkstemp(path);

    assert_true(fd >= 0);
    cli_begin(f, "--color", "never");
    assert_int_equal(session_save_json(&f->session, value, path), EXIT_DONE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read(fd, text, sizeof(text)), 3);
    assert_string_equal(text, "{}\n");
    assert_int_equal(session_save_json(&f->session, value, "/nowhere/at-all"), EXIT_ACTION_FAILED);
    cli_expect_error_has(f, "'/nowhere/at-all': No such file");
    assert_int_equal(session_save_json(&f->session, value, "/dev/full"), EXIT_ACTION_FAILED);
    (void)slipway_json_unref(value);
}

static void test_random_id(void **state)
{
    char a[SESSION_ID_SIZE], b[SESSION_ID_SIZE];

    session_random_id(a);
    session_random_id(b);
    assert_int_equal(strspn(a, "0123456789abcdef"), SESSION_ID_SIZE - 1);
    assert_string_not_equal(a, b);
}

typedef struct Interrupts {
    unsigned n;
} Interrupts;

static void on_interrupt(Session *session, void *userdata)
{
    Interrupts *interrupts = userdata;

    interrupts->n++;
}

/* Once is told, twice leaves; and disarmed, a signal is what it always was. */
static void test_signals(void **state)
{
    CliFixture *f = *state;
    Interrupts interrupts = {0};
    sigset_t blocked;

    cli_connect(f, "--color", "never");
    f->session.on_interrupt = on_interrupt;
    f->session.userdata = &interrupts;
    session_arm_signals(&f->session);
    session_arm_signals(&f->session); /* once is enough */
    assert_int_equal(raise(SIGINT), 0);
    assert_int_equal(session_step(&f->session), 0);
    assert_int_equal(interrupts.n, 1);
    assert_int_equal(raise(SIGTERM), 0); /* a tree that is ended one by one */
    assert_int_equal(session_step(&f->session), 0);
    assert_int_equal(interrupts.n, 1);
    cli_expect_error(f, "");
    assert_int_equal(raise(SIGINT), 0);
    assert_int_equal(session_step(&f->session), EXIT_CANCELLED);
    assert_int_equal(interrupts.n, 1);
    cli_expect_error_has(f, "goes on there");
    session_disarm_signals(&f->session);
    session_disarm_signals(&f->session);
    assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &blocked), 0);
    assert_false(sigismember(&blocked, SIGINT));
    assert_false(sigismember(&blocked, SIGTERM));
}

static void test_nobody_reads(void **state)
{
    CliFixture *f = *state;
    _cleanup_fd_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    cli_connect(f, "--color", "never");
    f->session.output.out_fd = full;
    output_print(&f->session.output, "x");
    assert_int_equal(session_step(&f->session), EXIT_ACTION_FAILED);
    cli_expect_error_has(f, "nobody reads the output");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cli_test(test_connect),   cli_test(test_unreachable),   cli_test(test_request),
        cli_test(test_errors),    cli_test(test_error_as_json), cli_test(test_hang_up),
        cli_test(test_usage),     cli_test(test_print_json),    cmocka_unit_test(test_random_id),
        cli_test(test_save_json), cli_test(test_signals),       cli_test(test_nobody_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
