/* SPDX-License-Identifier: MIT */
#include "plugin/cli/follow.h"

#include "tests/unit/cli/cli-fixture.h"

#define EVENT(name, seq, more)                                                               \
    "{\"jsonrpc\":\"2.0\",\"method\":\"" name "\",\"params\":{\"call\":\"c1\",\"seq\":" #seq \
    ",\"time\":\"2026-01-01T00:00:00.000000Z\"" more "}}\n"
#define LOG(seq, stream, text) \
    EVENT("call/log", seq, ",\"stream\":\"" stream "\",\"offset\":0,\"text\":\"" text "\"")
#define FINISHED(seq, result) \
    EVENT("call/finished", seq, ",\"result\":{\"action\":\"build\"," result "}")
#define STARTED \
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"call\":\"c1\",\"state\":\"running\"}}\n"
#define SUCCEEDED "\"status\":\"succeeded\",\"durationSeconds\":1.25"

static int start(CliFixture *f, FollowResult *ret)
{
    SlipwayJson *params = slipway_json_new_object();
    int r;

    assert_int_equal(slipway_json_set_string(params, "/action", "build"), 0);
    r = follow_start(&f->session, params, "build", ret);
    (void)slipway_json_unref(params);
    return r;
}

static void test_success(void **state)
{
    CliFixture *f = *state;
    FollowResult result;
    _cleanup_free_ char *requests = NULL;

    cli_agent_says(f, 2,
                   STARTED EVENT("call/started", 1, ",\"pid\":7") LOG(2, "stdout", "one\\ntw")
                       LOG(3, "stdout", "o\\n") LOG(4, "stderr", "oh") FINISHED(5, SUCCEEDED));
    cli_connect(f, "--color", "never");
    assert_int_equal(start(f, &result), EXIT_DONE);
    assert_string_equal(result.call, "c1");
    assert_string_equal(slipway_json_get_string(result.result, "/status", ""), "succeeded");
    cli_expect_out(f, "build | one\nbuild | two\nbuild | oh\n");
    cli_expect_error(f, "build succeeded in 1.2 s\n");
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"method\":\"calls/start\""));
    assert_non_null(strstr(requests, "\"attach\":true"));
    follow_result_done(&result);
}

static void test_exit_codes(void **state)
{
    static const struct {
        const char *status;
        ExitCode code;
        const char *words;
    } rows[] = {{"failed", EXIT_ACTION_FAILED, "build failed in"},
                {"lost", EXIT_ACTION_FAILED, "build was lost in"},
                {"refused", EXIT_REFUSED, "build was refused in"},
                {"timed_out", EXIT_TIMED_OUT, "build timed out in"},
                {"cancelled", EXIT_CANCELLED, "build was cancelled in"},
                {"something-new", EXIT_ACTION_FAILED, "build something-new in"}};
    CliFixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_free_ char *lines = NULL;
        FollowResult result;

        assert_true(asprintf(&lines,
                             STARTED FINISHED(1, "\"status\":\"%s\",\"reason\":\"why not\""),
                             rows[i].status) > 0);
        cli_agent_says(f, 2, lines);
        cli_connect(f, "--color", "never");
        assert_int_equal(start(f, &result), rows[i].code);
        follow_result_done(&result);
        {
            _cleanup_free_ char *text = cli_error(f);

            assert_non_null(strstr(text, rows[i].words));
            assert_non_null(strstr(text, "\n  why not\n"));
        }
    }
}

static void test_details(void **state)
{
    CliFixture *f = *state;
    FollowResult result;

    cli_agent_says(f, 2,
                   STARTED FINISHED(1,
                                    "\"status\":\"failed\",\"durationSeconds\":61,\"leftovers\":1,"
                                    "\"survivors\":2,\"tests\":{\"passed\":3,\"failed\":1,"
                                    "\"skipped\":2,\"failures\":[{\"suite\":\"s\",\"name\":\"n\","
                                    "\"message\":\"m\"}]}"));
    cli_connect(f, "--color", "never");
    assert_int_equal(start(f, &result), EXIT_ACTION_FAILED);
    cli_expect_error(f, "build failed in 1 min 1 s: 3 passed, 1 failed, 2 skipped\n"
                        "  failed s / n: m\n"
                        "  1 process outlived the action and was ended\n"
                        "  2 processes could not be ended and still run on the agent's host\n");
    follow_result_done(&result);
}

static void test_json(void **state)
{
    CliFixture *f = *state;
    FollowResult result;

    cli_agent_says(f, 2, STARTED LOG(1, "stdout", "x\\n") FINISHED(2, SUCCEEDED));
    cli_connect(f, "--json");
    assert_int_equal(start(f, &result), EXIT_DONE);
    cli_expect_out(
        f, "{\"event\":\"call/created\",\"call\":\"c1\",\"state\":\"running\"}\n"
           "{\"event\":\"call/"
           "log\",\"call\":\"c1\",\"seq\":1,\"time\":\"2026-01-01T00:00:00.000000Z\","
           "\"stream\":\"stdout\",\"offset\":0,\"text\":\"x\\n\"}\n"
           "{\"event\":\"call/finished\",\"call\":\"c1\",\"seq\":2,"
           "\"time\":\"2026-01-01T00:00:00.000000Z\",\"result\":{\"action\":\"build\"," SUCCEEDED
           "}}\n");
    cli_expect_error(f, "");
    follow_result_done(&result);
}

static void test_quiet(void **state)
{
    CliFixture *f = *state;
    FollowResult result;

    cli_agent_says(f, 2, STARTED LOG(1, "stdout", "x\\n") FINISHED(2, SUCCEEDED));
    cli_connect(f, "--quiet", "--color", "never");
    assert_int_equal(start(f, &result), EXIT_DONE);
    cli_expect_out(f, "");
    cli_expect_error(f, "build succeeded in 1.2 s\n");
    follow_result_done(&result);
}

static void test_queued(void **state)
{
    CliFixture *f = *state;
    FollowResult result;

    cli_agent_says(f, 2,
                   "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"call\":\"c1\",\"state\":\"queued\","
                   "\"position\":2,\"waitsFor\":\"a free slot\"}}\n" FINISHED(1, SUCCEEDED));
    cli_connect(f, "--color", "never");
    assert_int_equal(start(f, &result), EXIT_DONE);
    cli_expect_error(f, "build waits for a free slot (position 2 in the queue)\n"
                        "build succeeded in 1.2 s\n");
    follow_result_done(&result);
}

/* Off a terminal: each phase once. On one: a line that changes, never in the middle of a log line.
 */
static void test_progress(void **state)
{
    static const char lines[] = STARTED EVENT("call/progress", 1, ",\"phase\":\"fetch\",\"done\":1")
        EVENT("call/progress", 2, ",\"phase\":\"fetch\",\"done\":2") LOG(3, "stdout", "half")
            EVENT("call/progress", 4, ",\"phase\":\"hidden\"") LOG(5, "stdout", " line\\n")
                EVENT("call/progress", 6, ",\"phase\":\"push\",\"message\":\"to there\"")
                    FINISHED(7, SUCCEEDED);
    CliFixture *f = *state;
    FollowResult result;

    cli_agent_says(f, 2, lines);
    cli_connect(f, "--color", "never");
    assert_int_equal(start(f, &result), EXIT_DONE);
    cli_expect_error(f, "build: fetch\nbuild: push: to there\nbuild succeeded in 1.2 s\n");
    cli_expect_out(f, "build | half line\n");
    follow_result_done(&result);
}

static void test_refused_start(void **state)
{
    CliFixture *f = *state;
    FollowResult result;

    cli_agent_says(f, 2,
                   "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32004,\"message\":\"there "
                   "is no action 'biuld'\"}}\n");
    cli_connect(f, "--color", "never");
    assert_int_equal(start(f, &result), EXIT_USAGE);
    assert_null(result.result);
    cli_expect_error(f, "slipway: build: there is no action 'biuld'\n");
    follow_result_done(&result);
}

/* The agent sends Ctrl-C's signal itself, as if the person had pressed it now. */
static void test_interrupt(void **state)
{
    CliFixture *f = *state;
    FollowResult result;
    _cleanup_free_ char *requests = NULL;

    cli_agent_says(f, 2, STARTED LOG(1, "stdout", "half"));
    cli_agent_runs(f, 2, "kill -INT $PPID");
    cli_agent_says(
        f, 3,
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"call\":\"c1\",\"state\":"
        "\"running\"}}\n" FINISHED(
            2, "\"status\":\"cancelled\",\"reason\":\"cancelled\",\"durationSeconds\":1"));
    cli_connect(f, "--color", "never");
    assert_int_equal(start(f, &result), EXIT_CANCELLED);
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"method\":\"calls/cancel\",\"params\":{\"call\":\"c1\"}"));
    cli_expect_error(f, "slipway: cancelling build; once more leaves at once\n"
                        "build was cancelled in 1.0 s\n");
    follow_result_done(&result);
}

static void test_interrupt_twice(void **state)
{
    CliFixture *f = *state;
    FollowResult result;

    cli_agent_says(f, 2, STARTED EVENT("call/started", 1, ""));
    cli_agent_runs(f, 2, "kill -INT $PPID");
    cli_agent_runs(f, 3, "kill -INT $PPID");
    cli_connect(f, "--color", "never");
    assert_int_equal(start(f, &result), EXIT_CANCELLED);
    assert_null(result.result);
    cli_expect_error(f, "slipway: cancelling build; once more leaves at once\n"
                        "slipway: leaving; what runs on the agent's host goes on there\n"
                        "Go on with: slipway attach c1 --after 1\n");
    follow_result_done(&result);
}

/* Ctrl-C before the call has a name: it is cancelled as soon as it has one. */
static void test_interrupt_early(void **state)
{
    CliFixture *f = *state;
    FollowResult result;

    cli_agent_runs(f, 2, "kill -INT $PPID; cat later");
    scratch_write_text(f->scratch->fd, "later", STARTED);
    cli_agent_says(
        f, 3,
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}\n" FINISHED(
            1, "\"status\":\"cancelled\",\"reason\":\"cancelled\",\"durationSeconds\":1"));
    cli_connect(f, "--color", "never");
    assert_int_equal(start(f, &result), EXIT_CANCELLED);
    assert_non_null(result.result);
    cli_expect_error(f, "slipway: cancelling build; once more leaves at once\n"
                        "build was cancelled in 1.0 s\n");
    follow_result_done(&result);
}

static void test_lost_agent(void **state)
{
    CliFixture *f = *state;
    FollowResult result;

    cli_agent_says(f, 2, STARTED LOG(1, "stdout", "x\\n") "nonsense\n");
    cli_connect(f, "--color", "never");
    assert_int_equal(start(f, &result), EXIT_UNREACHABLE);
    cli_expect_out(f, "build | x\n");
    cli_expect_error_has(f, "Go on with: slipway attach c1 --after 1\n");
    assert_null(f->session.client); /* nobody is left who could call back */
    follow_result_done(&result);
}

static void test_attach(void **state)
{
    CliFixture *f = *state;
    FollowResult result;
    _cleanup_free_ char *requests = NULL;

    cli_agent_says(f, 2,
                   "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"calls\":[{\"call\":\"c0\","
                   "\"action\":\"test\"},{\"call\":\"c1\",\"action\":\"build\"}]}}\n");
    cli_agent_says(
        f, 3,
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"call\":\"c1\",\"state\":\"running\"}}\n" LOG(
            8, "stdout", "x\\n") FINISHED(9, SUCCEEDED));
    cli_connect(f, "--color", "never");
    assert_int_equal(follow_attach(&f->session, "c1", 7, NULL, &result), EXIT_DONE);
    cli_expect_out(f, "build | x\n"); /* the label is the action's name */
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"calls/attach\",\"params\":{\"call\":\"c1\",\"after\":7}"));
    follow_result_done(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cli_test(test_success),         cli_test(test_exit_codes),
        cli_test(test_details),         cli_test(test_json),
        cli_test(test_quiet),           cli_test(test_queued),
        cli_test(test_progress),        cli_test(test_refused_start),
        cli_test(test_interrupt),       cli_test(test_interrupt_twice),
        cli_test(test_interrupt_early), cli_test(test_lost_agent),
        cli_test(test_attach),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
