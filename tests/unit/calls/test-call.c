/* SPDX-License-Identifier: MIT */
/* Each way through the states, and each state that an agent can find after a restart. */
#include "tests/unit/calls/fixture.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ID "20260101t000000000-aaaa"
#define PATH(name) "state/calls/" ID "/" name
#define STARTED "{\"seq\":1,\"time\":1767225601000000,\"type\":\"started\",\"pid\":1}\n"

static void check_result(Call *call, const char *pointer, const char *expected)
{
    _cleanup_free_ char *value = fixture_result(call, pointer);

    assert_string_equal(value, expected);
}

static void runs_to_its_end(void **state)
{
    static const struct {
        const char *action, *status, *exit_code, *reason;
    } rows[] = {
        {"succeed", "\"succeeded\"", "0", "null"},
        {"fail", "\"failed\"", "3", "\"exited with status 3\""},
        {"report", "\"succeeded\"", "0", "null"},
    };
    Fixture f;

    fixture_init(&f, "");
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Call *call = fixture_start(&f, rows[i].action, rows[i].action, NULL);
        char path[128];

        assert_int_equal(call_state(call), CALL_RUNNING);
        fixture_wait_state(&f, call, CALL_FINISHED);
        check_result(call, "/status", rows[i].status);
        check_result(call, "/exitCode", rows[i].exit_code);
        check_result(call, "/reason", rows[i].reason);
        (void)snprintf(path, sizeof(path), "state/calls/%s/result.json", call_id(call));
        assert_true(fixture_exists(&f, path));
        (void)snprintf(path, sizeof(path), "state/calls/%s/control.sock", call_id(call));
        assert_false(fixture_exists(&f, path));
        (void)snprintf(path, sizeof(path), "state/runs/%s/workspace", call_id(call));
        assert_true(fixture_exists(&f, path));
    }
    fixture_done(&f);
}

static void is_cancelled_while_it_runs(void **state)
{
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_open(&f);
    call = fixture_start(&f, "wait", "k", NULL);
    assert_int_equal(calls_cancel(f.calls, call, NULL), 0);
    fixture_wait_state(&f, call, CALL_FINISHED);
    check_result(call, "/status", "\"cancelled\"");
    assert_int_equal(calls_cancel(f.calls, call, NULL), 0); /* changes nothing */
    check_result(call, "/status", "\"cancelled\"");
    fixture_done(&f);
}

/* The shim is killed while the agent watches: before and after its first record. */
static void is_lost_with_its_shim(void **state)
{
    static const struct {
        const char *action, *started;
    } rows[] = {{"die", "true"}, {"die-early", "false"}};
    Fixture f;

    fixture_init(&f, "");
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Call *call = fixture_start(&f, rows[i].action, rows[i].action, NULL);
        _cleanup_json_ Json *result = NULL;

        fixture_wait_state(&f, call, CALL_FINISHED);
        assert_int_equal(call_read_result(call, &result, NULL), 0);
        assert_string_equal(json_get_string(result, "status"), "lost");
        assert_non_null(strstr(json_get_string(result, "reason"), "supervisor"));
        assert_false(json_has(result, "survivors"));
        assert_int_equal(json_has(result, "startedAt"), strcmp(rows[i].started, "true") == 0);
    }
    fixture_done(&f);
}

static void fails_where_the_shim_cannot_start(void **state)
{
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    assert_int_equal(unlinkat(f.fd, "libexec/slipway-shim", 0), 0);
    fixture_open(&f);
    call = fixture_start(&f, "succeed", "k", NULL);
    assert_int_equal(call_state(call), CALL_FINISHED);
    check_result(call, "/status", "\"failed\"");
    {
        _cleanup_free_ char *reason = fixture_result(call, "/reason");

        assert_non_null(strstr(reason, "libexec/slipway-shim"));
        assert_non_null(strstr(reason, strerror(ENOENT)));
    }
    fixture_done(&f);
}

/* A disk that does not take a workspace: the call stays, the agent says so, and tries again. */
static void stays_queued_while_the_disk_fails(void **state)
{
    Fixture f;
    Call *call;
    _cleanup_json_ Json *health = NULL;

    fixture_init(&f, "");
    fixture_open(&f);
    fixture_write(&f, "state/runs/r/workspace", "in the way");
    call = fixture_start(&f, "succeed", "k", "r");
    assert_int_equal(call_state(call), CALL_QUEUED);
    assert_int_equal(calls_health(f.calls, &health, NULL), 0);
    assert_non_null(
        strstr(json_as_string(json_at(json_get(health, "problems"), 0)), "not a directory"));
    assert_int_equal(unlinkat(f.fd, "state/runs/r/workspace", 0), 0);
    calls_schedule(f.calls);
    assert_null(f.calls->problem);
    fixture_wait_state(&f, call, CALL_FINISHED);
    check_result(call, "/status", "\"succeeded\"");
    fixture_done(&f);
}

/* Nothing will mend it, so it holds up nobody. */
static void fails_where_its_spec_is_damaged(void **state)
{
    _cleanup_free_ char *path = NULL;
    Fixture f;
    Call *first, *damaged, *last;

    fixture_init(&f, "\"slots\":1");
    fixture_open(&f);
    first = fixture_start(&f, "wait", "k0", NULL);
    damaged = fixture_start(&f, "succeed", "k1", NULL);
    last = fixture_start(&f, "succeed", "k2", NULL);
    assert_true(asprintf(&path, "state/calls/%s/spec.json", call_id(damaged)) > 0);
    fixture_write(&f, path, "{\"call\":");
    assert_int_equal(calls_cancel(f.calls, first, NULL), 0);
    fixture_wait_state(&f, last, CALL_FINISHED);
    assert_int_equal(call_state(damaged), CALL_FINISHED);
    check_result(last, "/status", "\"succeeded\"");
    fixture_done(&f);
}

/* ---- after a restart --------------------------------------------------------------------------
 */

static void adopts_a_running_call(void **state)
{
    char id[CALL_ID_SIZE];
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_open(&f);
    call = fixture_start(&f, "wait", "k", "r");
    (void)snprintf(id, sizeof(id), "%s", call_id(call));
    fixture_close(&f);
    fixture_open(&f);
    call = calls_find(f.calls, id);
    assert_non_null(call);
    assert_int_equal(call_state(call), CALL_RUNNING);
    fixture_close(&f); /* and once more, before it was looked at */
    fixture_open(&f);
    call = calls_find(f.calls, id);
    assert_int_equal(call_state(call), CALL_RUNNING);
    while (call->live->control_fd < 0) {
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    }
    assert_int_equal(calls_cancel(f.calls, call, NULL), 0);
    fixture_wait_state(&f, call, CALL_FINISHED);
    check_result(call, "/status", "\"cancelled\"");
    check_result(call, "/run", "\"r\"");
    fixture_done(&f);
}

/* Asked to end before the agent had looked at it. */
static void cancels_what_it_adopts(void **state)
{
    char id[CALL_ID_SIZE];
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_open(&f);
    (void)snprintf(id, sizeof(id), "%s", call_id(fixture_start(&f, "wait", "k", NULL)));
    fixture_close(&f);
    fixture_open(&f);
    call = calls_find(f.calls, id);
    assert_int_equal(call->live->control_fd, -1);
    assert_int_equal(calls_cancel(f.calls, call, NULL), 0);
    fixture_wait_state(&f, call, CALL_FINISHED);
    check_result(call, "/status", "\"cancelled\"");
    fixture_done(&f);
}

static void finds_a_finished_call(void **state)
{
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_write_call(&f, ID, "succeed", "k", NULL);
    fixture_write(&f, PATH("journal.ndjson"), STARTED);
    fixture_write(&f, PATH("status.json"),
                  "{\"seq\":2,\"time\":1767225602000000,\"type\":\"finished\",\"status\":"
                  "\"succeeded\",\"exitCode\":0,\"survivors\":0}\n");
    fixture_open(&f);
    call = calls_find(f.calls, ID);
    assert_int_equal(call_state(call), CALL_FINISHED);
    check_result(call, "/status", "\"succeeded\"");
    assert_true(fixture_exists(&f, PATH("result.json"))); /* it was missing */
    fixture_done(&f);
}

static void settles_a_lost_call(void **state)
{
    _cleanup_free_ char *journal = NULL;
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_write_call(&f, ID, "succeed", "k", NULL);
    fixture_write(&f, PATH("journal.ndjson"), STARTED "{\"seq\":2,\"ti");
    fixture_write(&f, PATH("output.log"), "some output\n");
    fixture_write(&f, PATH("lock"), "");
    fixture_open(&f);
    call = calls_find(f.calls, ID);
    assert_int_equal(call_state(call), CALL_RUNNING); /* until it is settled */
    fixture_wait_state(&f, call, CALL_FINISHED);
    check_result(call, "/status", "\"lost\"");
    check_result(call, "/logBytes", "12");
    check_result(call, "/startedAt", "\"2026-01-01T00:00:01.000000Z\"");
    journal = fixture_read(&f, PATH("journal.ndjson"));
    assert_int_equal(strncmp(journal, STARTED "{\"seq\":2,\"time\":", strlen(STARTED) + 16), 0);
    assert_true(fixture_exists(&f, PATH("status.json")));
    fixture_done(&f);
}

static void queues_what_never_ran_again(void **state)
{
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_write_call(&f, ID, "succeed", "k", "r");
    fixture_write(&f, PATH("lock"), "");
    fixture_write(&f, PATH("control.sock"), ""); /* of an agent that died before the shim started */
    fixture_open(&f);
    call = calls_find(f.calls, ID);
    assert_int_equal(call_state(call), CALL_QUEUED);
    assert_true(fixture_exists(&f, "state/runs/r/calls/" ID)); /* the indexes are back */
    fixture_wait_state(&f, call, CALL_FINISHED);
    check_result(call, "/status", "\"succeeded\"");
    fixture_done(&f);
}

/* The power went while its spec was written: nobody was told of it. */
static void forgets_what_never_became_a_call(void **state)
{
    Fixture f;

    fixture_init(&f, "");
    fixture_write(&f, PATH("spec.json"), "{\"call\":\"2026");
    fixture_write(&f, "state/calls/20260101t000000001-bbbb/artifacts/x", "");
    fixture_write(&f, "state/calls/something-else/x", "");
    fixture_open(&f);
    assert_null(calls_find(f.calls, ID));
    assert_int_equal(f.calls->n_all, 0);
    assert_false(fixture_exists(&f, "state/calls/" ID));
    assert_false(fixture_exists(&f, "state/calls/20260101t000000001-bbbb"));
    assert_true(fixture_exists(&f, "state/calls/something-else")); /* not ours to remove */
    fixture_done(&f);
}

static void fails_where_its_action_is_gone(void **state)
{
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_write_call(&f, ID, "removed-from-agent-json", "k", NULL);
    fixture_open(&f);
    call = calls_find(f.calls, ID);
    fixture_wait_state(&f, call, CALL_FINISHED);
    check_result(call, "/status", "\"failed\"");
    check_result(call, "/reason", "\"there is no action 'removed-from-agent-json' any more\"");
    fixture_done(&f);
}

static void has_names_for_its_states(void **state)
{
    assert_string_equal(call_state_name(CALL_QUEUED), "queued");
    assert_string_equal(call_state_name(CALL_RUNNING), "running");
    assert_string_equal(call_state_name(CALL_FINISHED), "finished");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_to_its_end),
        cmocka_unit_test(is_cancelled_while_it_runs),
        cmocka_unit_test(is_lost_with_its_shim),
        cmocka_unit_test(fails_where_the_shim_cannot_start),
        cmocka_unit_test(stays_queued_while_the_disk_fails),
        cmocka_unit_test(fails_where_its_spec_is_damaged),
        cmocka_unit_test(adopts_a_running_call),
        cmocka_unit_test(cancels_what_it_adopts),
        cmocka_unit_test(finds_a_finished_call),
        cmocka_unit_test(settles_a_lost_call),
        cmocka_unit_test(queues_what_never_ran_again),
        cmocka_unit_test(forgets_what_never_became_a_call),
        cmocka_unit_test(fails_where_its_action_is_gone),
        cmocka_unit_test(has_names_for_its_states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
