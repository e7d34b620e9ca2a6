/* SPDX-License-Identifier: MIT */
#include "tests/unit/calls/fixture.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static Json *parse(const char *text)
{
    Json *value = NULL;

    assert_int_equal(json_parse(text, strlen(text), &value, NULL), 0);
    return value;
}

static int start(Fixture *f, CallRequest request, Call **call, bool *is_existing)
{
    _cleanup_error_ Error err = {0};
    int r = calls_start(f->calls, &request, call, is_existing, &err);

    assert_true((r < 0) == (err.text != NULL));
    return r;
}

static void gives_the_same_call_for_the_same_key(void **state)
{
    _cleanup_json_ Json *one = parse("{\"a\":1,\"b\":\"x\"}"),
                        *same = parse("{\"b\":\"x\",\"a\":1}");
    CallRequest request = {
        .action = "strict", .idempotency_key = "k", .run = "r", .parameters = one};
    Fixture f;
    Call *call, *again;
    bool is_existing = true;

    fixture_init(&f, "");
    fixture_open(&f);
    assert_int_equal(start(&f, request, &call, &is_existing), 0);
    assert_false(is_existing);
    request.parameters = same;
    assert_int_equal(start(&f, request, &again, &is_existing), 0);
    assert_true(is_existing);
    assert_ptr_equal(call, again);
    fixture_wait_state(&f, call, CALL_FINISHED);
    assert_int_equal(start(&f, request, &again, &is_existing), 0); /* also when it is over */
    assert_true(is_existing);
    assert_ptr_equal(call, again);
    fixture_close(&f);
    fixture_open(&f); /* and after a restart */
    assert_int_equal(start(&f, request, &again, &is_existing), 0);
    assert_true(is_existing);
    assert_int_equal(f.calls->n_all, 1);
    fixture_done(&f);
}

static void refuses_a_key_with_another_request(void **state)
{
    _cleanup_json_ Json *one = parse("{\"a\":1}"), *two = parse("{\"a\":2}");
    const CallRequest first = {
        .action = "strict", .idempotency_key = "k", .run = "r", .parameters = one};
    const CallRequest others[] = {
        {.action = "strict", .idempotency_key = "k", .run = "r", .parameters = two},
        {.action = "strict", .idempotency_key = "k", .run = "s", .parameters = one},
        {.action = "strict", .idempotency_key = "k", .parameters = one},
        {.action = "succeed", .idempotency_key = "k", .run = "r", .parameters = one},
    };
    Fixture f;
    Call *call, *other = NULL;
    bool is_existing;

    fixture_init(&f, "");
    fixture_open(&f);
    assert_int_equal(start(&f, first, &call, &is_existing), 0);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_int_equal(start(&f, others[i], &other, &is_existing), -EEXIST);
        assert_null(other);
    }
    fixture_wait_state(&f, call, CALL_FINISHED);
    fixture_done(&f);
}

/* An index without its call: the power went between the two, or somebody removed it. */
static void takes_a_key_that_leads_nowhere(void **state)
{
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_open(&f);
    assert_int_equal(symlinkat("20200101t000000000-aaaa", f.fd, "state/idempotency/k"), 0);
    call = fixture_start(&f, "succeed", "k", NULL);
    fixture_wait_state(&f, call, CALL_FINISHED);
    fixture_done(&f);
}

static void refuses_what_is_wrong(void **state)
{
    _cleanup_json_ Json *wrong = parse("{\"b\":1,\"c\":2}");
    const struct {
        CallRequest request;
        int code;
        const char *text;
    } rows[] = {
        {{.action = "nothing", .idempotency_key = "k"}, -ENOENT, "no action 'nothing'"},
        {{.action = "succeed", .idempotency_key = ""}, -EINVAL, "/idempotencyKey: "},
        {{.action = "succeed", .idempotency_key = "../k"}, -EINVAL, "/idempotencyKey: "},
        {{.action = "succeed", .idempotency_key = "k", .run = ".."}, -EINVAL, "/run: "},
        {{.action = "strict", .idempotency_key = "k"}, -EINVAL, "\"a\" is missing"},
        {{.action = "strict", .idempotency_key = "k", .parameters = wrong},
         -EINVAL,
         "/b: must be string, not integer"},
        {{.action = "strict", .idempotency_key = "k", .parameters = wrong},
         -EINVAL,
         "/c: unknown member"},
    };
    Fixture f;

    fixture_init(&f, "");
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        bool is_existing;
        Call *call;

        assert_int_equal(calls_start(f.calls, &rows[i].request, &call, &is_existing, &err),
                         rows[i].code);
        if (!strstr(error_text(&err), rows[i].text)) {
            fail_msg("%s: %s", rows[i].text, error_text(&err));
        }
    }
    assert_int_equal(f.calls->n_all, 0);
    assert_false(fixture_exists(&f, "state/idempotency/k"));
    fixture_done(&f);
}

static void cuts_times_to_their_limits(void **state)
{
    static const struct {
        const char *action;
        int64_t asked_ms, timeout_ms;
    } rows[] = {
        {"succeed", 0, 60000},     {"succeed", -1, 60000},  {"succeed", 1500, 1500},
        {"succeed", 90000, 60000}, {"strict", 90000, 5000}, /* the action's own */
    };
    _cleanup_json_ Json *parameters = parse("{\"a\":1}");
    Fixture f;

    fixture_init(&f, "\"limits\":{\"timeoutSeconds\":60,\"silenceTimeoutSeconds\":0,"
                     "\"graceSeconds\":2}");
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_call_spec_ CallSpec spec = {0};
        char key[8];
        CallRequest request = {.action = rows[i].action,
                               .idempotency_key = key,
                               .parameters = parameters,
                               .timeout_ms = rows[i].asked_ms,
                               .silence_timeout_ms = 90000,
                               .grace_ms = 9000};
        bool is_existing;
        Call *call;
        int fd;

        (void)snprintf(key, sizeof(key), "k%zu", i);
        assert_int_equal(start(&f, request, &call, &is_existing), 0);
        assert_int_equal(call_dir_open(f.calls->calls_fd, call_id(call), &fd, NULL), 0);
        assert_int_equal(call_dir_read_spec(fd, &spec, NULL), 0);
        (void)close(fd);
        assert_int_equal(spec.timeout_ms, rows[i].timeout_ms);
        assert_int_equal(spec.silence_timeout_ms, 90000); /* no limit is no limit */
        assert_int_equal(spec.grace_ms, 2000);
        fixture_wait_state(&f, call, CALL_FINISHED);
    }
    fixture_done(&f);
}

/* agent/calls/README.md, "spec.json". */
static void writes_the_spec(void **state)
{
    _cleanup_json_ Json *parameters = parse("{\"a\":1}"), *origin = parse("{\"user\":\"u\"}");
    _cleanup_json_ Json *approval = parse("{\"by\":\"b\"}"), *spec = NULL;
    CallRequest request = {.action = "strict",
                           .idempotency_key = "k",
                           .run = "r",
                           .parameters = parameters,
                           .origin = origin,
                           .approval = approval,
                           .traceparent = "00-1-2-3",
                           .is_terminal = true};
    _cleanup_free_ char *text = NULL, *workspace = NULL;
    char path[128];
    bool is_existing;
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_open(&f);
    assert_int_equal(start(&f, request, &call, &is_existing), 0);
    (void)snprintf(path, sizeof(path), "state/calls/%s/spec.json", call_id(call));
    text = fixture_read(&f, path);
    spec = parse(text);
    assert_string_equal(json_get_string(spec, "call"), call_id(call));
    assert_string_equal(json_get_string(spec, "action"), "strict");
    assert_string_equal(json_get_string(spec, "run"), "r");
    assert_string_equal(json_get_string(spec, "idempotencyKey"), "k");
    assert_string_equal(json_get_string(spec, "traceparent"), "00-1-2-3");
    assert_true(json_equal(json_get(spec, "parameters"), parameters));
    assert_true(json_equal(json_get(spec, "origin"), origin));
    assert_true(json_equal(json_get(spec, "approval"), approval));
    assert_true(json_get_bool(spec, "terminal", false));
    assert_true(asprintf(&workspace, "%s/state/runs/r/workspace", f.directory) > 0);
    assert_string_equal(json_get_string(json_get(spec, "directories"), "workspace"), workspace);
    assert_int_equal(json_member_count(json_get(spec, "directories")), 9);
    assert_string_equal(json_get_string(json_get(spec, "directories"), "state"),
                        f.config->state_directory);
    assert_false(json_get_bool(spec, "confine", true)); /* it is in /tmp */
    assert_string_equal(json_get_string(spec, "agent"), f.config->name);
    assert_false(json_has(spec, "keys")); /* it works on no environment */
    assert_true(fixture_exists(&f, "state/runs/r/workspace"));
    fixture_wait_state(&f, call, CALL_FINISHED);
    fixture_done(&f);
}

/* Whom this host believes is what an action on an environment is decided by. */
static void gives_keys_to_actions_on_an_environment(void **state)
{
    static const char settings[] =
        "\"keys\":{\"k\":{\"file\":\"/proc/self/status\",\"roles\":[\"tester\"]}},"
        "\"environments\":{\"prod\":{\"engine\":\"local\"}}";
    static const struct {
        const char *action;
        bool has_keys;
    } rows[] = {{"changes-prod", true}, {"succeed", false}};
    Fixture f;

    fixture_init(&f, settings);
    fixture_open(&f);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Call *call = fixture_start(&f, rows[i].action, rows[i].action, NULL);
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ Json *spec = NULL;
        char path[128];

        (void)snprintf(path, sizeof(path), "state/calls/%s/spec.json", call_id(call));
        text = fixture_read(&f, path);
        spec = parse(text);
        assert_int_equal(json_has(json_get(spec, "keys"), "k"), rows[i].has_keys);
        fixture_wait_state(&f, call, CALL_FINISHED);
    }
    fixture_done(&f);
}

static void bounds_the_queue(void **state)
{
    CallRequest request = {.action = "succeed", .idempotency_key = "k"};
    Fixture f;
    Call *call;
    bool is_existing;

    fixture_init(&f, "");
    fixture_open(&f);
    f.calls->n_queued += CALLS_QUEUE_MAX; /* as if so many waited */
    assert_int_equal(start(&f, request, &call, &is_existing), -EBUSY);
    f.calls->n_queued--;
    assert_int_equal(start(&f, request, &call, &is_existing), 0);
    f.calls->n_queued -= CALLS_QUEUE_MAX - 1;
    fixture_wait_state(&f, call, CALL_FINISHED);
    fixture_done(&f);
}

/* Whatever the disk says, it is not taken for "no such action" or "the key is known". */
static void tells_storage_from_the_rest(void **state)
{
    CallRequest request = {.action = "succeed", .idempotency_key = "k"};
    Fixture f;
    Call *call;
    bool is_existing;

    fixture_init(&f, "");
    fixture_open(&f);
    assert_int_equal(unlinkat(f.fd, "state/calls", AT_REMOVEDIR), 0);
    assert_int_equal(start(&f, request, &call, &is_existing), -EIO);
    assert_int_equal(f.calls->n_all, 0);
    assert_int_equal(f.calls->n_queued, 0);
    assert_false(fixture_exists(&f, "state/idempotency/k"));
    assert_false(fixture_exists(&f, "state/runs/k"));
    fixture_done(&f);
}

/* In the order in which they came, also within a millisecond and after the clock was set back. */
static void orders_ids(void **state)
{
    char last[CALL_ID_SIZE] = "";
    Fixture f;

    fixture_init(&f, "\"slots\":1");
    fixture_open(&f);
    for (unsigned i = 0; i < 20; i++) {
        char key[8];
        Call *call;

        (void)snprintf(key, sizeof(key), "k%u", i);
        call = fixture_start(&f, "succeed", key, NULL);
        assert_true(strcmp(call_id(call), last) > 0);
        assert_true(calls_id_time(call_id(call)) > 0);
        (void)snprintf(last, sizeof(last), "%s", call_id(call));
        if (i == 10) {
            f.calls->last_id_ms += 3600 * 1000;
        }
    }
    while (f.calls->n_queued + f.calls->n_running > 0) {
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    }
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_same_call_for_the_same_key),
        cmocka_unit_test(refuses_a_key_with_another_request),
        cmocka_unit_test(takes_a_key_that_leads_nowhere),
        cmocka_unit_test(refuses_what_is_wrong),
        cmocka_unit_test(cuts_times_to_their_limits),
        cmocka_unit_test(writes_the_spec),
        cmocka_unit_test(gives_keys_to_actions_on_an_environment),
        cmocka_unit_test(bounds_the_queue),
        cmocka_unit_test(tells_storage_from_the_rest),
        cmocka_unit_test(orders_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
