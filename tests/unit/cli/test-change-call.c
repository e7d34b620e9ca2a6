/* SPDX-License-Identifier: MIT */
#include "plugin/cli/change-call.h"

#include "tests/unit/cli/cli-fixture.h"

#define COMMIT "e3986927549ac60b14665b391267194a6751a849"
#define STARTED \
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"call\":\"c1\",\"state\":\"running\"}}\n"
#define LOG                                                                                        \
    "{\"jsonrpc\":\"2.0\",\"method\":\"call/log\",\"params\":{\"call\":\"c1\",\"seq\":1,\"time\":" \
    "\"2026-01-01T00:00:00.000000Z\",\"stream\":\"stdout\",\"offset\":0,\"text\":\"x\\n\"}}\n"
#define FINISHED(result)                                                             \
    "{\"jsonrpc\":\"2.0\",\"method\":\"call/finished\",\"params\":{\"call\":\"c1\"," \
    "\"seq\":2,\"time\":\"2026-01-01T00:00:00.000000Z\",\"result\":{\"action\":"     \
    "\"changes-prod\"," result "}}}\n"
#define OUTPUTS \
    "{\"to\":\"" COMMIT "\",\"relation\":\"forward\",\"commitCount\":1,\"text\":\"hello\\n\"}"
/* printf 'hello\n' | sha256sum */
#define HELLO_SHA256 "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

static const SourceCommit source = {
    .repository = (char *)"/srv/greeter.git",
    .commit = (char *)COMMIT,
    .ref = (char *)"refs/heads/main",
};

static void test_change(void **state)
{
    CliFixture *f = *state;
    _cleanup_free_ char *requests = NULL, *text = NULL;
    SlipwayJson *change = NULL;

    cli_agent_says(f, 2, STARTED LOG FINISHED("\"status\":\"succeeded\",\"outputs\":" OUTPUTS));
    cli_connect(f, "--color", "never");
    assert_int_equal(change_call(&f->session, "prod", &source, &change), EXIT_DONE);
    text = slipway_json_format(change);
    assert_string_equal(text, "{\"environment\":\"prod\",\"repository\":\"/srv/greeter.git\","
                              "\"isOneCommit\":true,\"to\":\"" COMMIT
                              "\",\"relation\":\"forward\",\"commitCount\":1,\"text\":\"hello\\n\","
                              "\"textSha256\":\"" HELLO_SHA256 "\"}");
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"action\":\"changes-prod\""));
    assert_non_null(strstr(requests, "\"source\":{\"git\":\"/srv/greeter.git\",\"commit\":\"" COMMIT
                                     "\",\"ref\":\"refs/heads/main\"}"));
    cli_expect_out(f, ""); /* neither the log, */
    assert_false(f->session.output.is_quiet);
    (void)slipway_json_unref(change);
}

/* nor, for a machine, the events: the change is what it reads. */
static void test_no_events_for_machines(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *change = NULL;

    cli_agent_says(f, 2, STARTED LOG FINISHED("\"status\":\"succeeded\",\"outputs\":" OUTPUTS));
    cli_connect(f, "--json");
    assert_int_equal(change_call(&f->session, "prod", &source, &change), EXIT_DONE);
    cli_expect_out(f, "");
    assert_true(f->session.output.is_json);
    (void)slipway_json_unref(change);
}

static void test_failure(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *change = NULL;

    cli_agent_says(
        f, 2, STARTED LOG FINISHED("\"status\":\"failed\",\"reason\":\"what runs is not known\""));
    cli_connect(f, "--color", "never");
    assert_int_equal(change_call(&f->session, "prod", &source, &change), EXIT_ACTION_FAILED);
    assert_null(change);
    cli_expect_error_has(f, "what runs is not known");
}

static void test_no_such_environment(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *change = NULL;

    cli_agent_says(f, 2,
                   "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32004,\"message\":"
                   "\"there is no action 'changes-prd'\"}}\n");
    cli_connect(f, "--color", "never");
    assert_int_equal(change_call(&f->session, "prd", &source, &change), EXIT_USAGE);
    cli_expect_error_has(f, "there is no action 'changes-prd'");
    assert_null(change);
}

static void test_one_commit(void **state)
{
    static const struct {
        const char *outputs;
        bool is_one;
    } rows[] = {
        {"{\"relation\":\"forward\",\"commitCount\":1}", true},
        {"{\"relation\":\"forward\",\"commitCount\":2}", false},
        {"{\"relation\":\"back\",\"commitCount\":1}", false},
        {"{\"relation\":\"first\",\"commitCount\":1}", false},
        {"{}", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        SlipwayJson *outputs = NULL, *change;

        assert_int_equal(slipway_json_parse(rows[i].outputs, strlen(rows[i].outputs), &outputs), 0);
        change = change_describe(outputs, "prod", "r");
        assert_int_equal(slipway_json_get_bool(change, "/isOneCommit", !rows[i].is_one),
                         rows[i].is_one);
        (void)slipway_json_unref(change);
        (void)slipway_json_unref(outputs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cli_test(test_change),
        cli_test(test_no_events_for_machines),
        cli_test(test_failure),
        cli_test(test_no_such_environment),
        cmocka_unit_test(test_one_commit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
