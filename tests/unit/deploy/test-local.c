/* SPDX-License-Identifier: MIT */
/* engines/local.c against a server that says what agent/deploy/README.md promises. */
#include "agent/deploy/engine.h"

#include "tests/unit/http/scripted-server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SPECIFICATION                                                                       \
    "{\"id\":\"greeter-staging\",\"root\":\"/r\",\"port\":8081,\"labels\":{\"team\":\"a\"," \
    "\"slipway.digest\":\"sha256:d\",\"slipway.commit\":\"c\",\"slipway.version\":\"1\"}}"

static const EngineLabels labels = {.digest = "sha256:d", .commit = "c", .version = "1"};

/* A session with an engine that gives one answer. */
typedef struct Talk {
    ScriptedServer server;
    Json *environment;
    EngineSession *session;
    char *answer;
    Error err;
} Talk;

static void talk_start(Talk *t, int status, const char *body)
{
    *t = (Talk){.answer = status ? scripted_answer(status, body) : strdup(body)};
    scripted_server_start(&t->server, false, (const char *const[]){t->answer}, 1);
    t->environment = json_new_object();
    assert_int_equal(json_set_string(t->environment, "address", t->server.address), 0);
    assert_int_equal(engine_local.open(t->environment, &t->session, &t->err), 0);
}

static void talk_end(Talk *t, const char *wanted_request)
{
    char line[512];

    if (wanted_request) {
        assert_true(scripted_server_next_request(&t->server, line, sizeof(line)));
        assert_string_equal(line, wanted_request);
    }
    t->session = engine_local.close(t->session);
    scripted_server_stop(&t->server);
    t->environment = json_unref(t->environment);
    error_done(&t->err);
    free(t->answer);
}

static Json *parsed(const char *text)
{
    Json *j = NULL;

    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return j;
}

static void open_wants_an_address(void **state)
{
    _cleanup_json_ Json *environment = json_new_object();
    _cleanup_error_ Error err = {0};
    EngineSession *session = NULL;

    assert_int_equal(engine_local.open(environment, &session, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "`address`"));
    assert_int_equal(json_set_string(environment, "address", "carrier-pigeon:1"), 0);
    assert_int_equal(engine_local.open(environment, &session, &err), -EINVAL);
    assert_null(session);
    assert_null(engine_local.close(NULL));
}

static void current_reads_what_runs(void **state)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    Talk t;

    talk_start(&t, 200,
               "{\"app\":\"greeter-staging\",\"deployment\":\"d1\",\"next\":\"d2\","
               "\"url\":\"http://127.0.0.1:8081\",\"specification\":{\"instances\":2,\"labels\":"
               "{\"slipway.digest\":\"sha256:d\",\"slipway.commit\":\"c\","
               "\"slipway.version\":\"1\"}},\"instances\":["
               "{\"deployment\":\"d1\",\"state\":\"healthy\"},"
               "{\"deployment\":\"d1\",\"state\":\"unhealthy\"},"
               "{\"deployment\":\"d0\",\"state\":\"stopping\"},"
               "{\"deployment\":\"d2\",\"state\":\"starting\"}]}");
    assert_int_equal(engine_local.current(t.session, "greeter-staging", &current, &t.err), 0);
    assert_string_equal(current.deployment, "d1");
    assert_string_equal(current.next, "d2");
    assert_string_equal(current.digest, "sha256:d");
    assert_string_equal(current.commit, "c");
    assert_string_equal(current.version, "1");
    assert_string_equal(current.url, "http://127.0.0.1:8081");
    assert_int_equal(current.counts.wanted, 2);
    assert_int_equal(current.counts.updated, 2);
    assert_int_equal(current.counts.healthy, 1);
    assert_int_equal(current.counts.old, 2);
    talk_end(&t, "GET /v1/apps/greeter-staging ");
}

static void nothing_runs(void **state)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    Talk t;

    talk_start(&t, 404, "{\"error\":\"there is no app 'x'\"}");
    assert_int_equal(engine_local.current(t.session, "x", &current, &t.err), ENGINE_ABSENT);
    assert_null(t.err.text);
    talk_end(&t, "GET /v1/apps/x ");
}

/* Every verb says the same of an engine that is not there or not well. */
static void an_engine_that_is_away(void **state)
{
    static const struct {
        int status;
        const char *body;
        int wanted;
    } cases[] = {
        {0, "", ENGINE_AWAY},
        {500, "{\"error\":\"disk full\"}", ENGINE_AWAY},
        {200, "<html>", -EBADMSG},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int verb = 0; verb < 4; verb++) {
            _cleanup_engine_current_ EngineCurrent current = {0};
            _cleanup_engine_status_ EngineStatus status = {0};
            _cleanup_json_ Json *specification = parsed(SPECIFICATION);
            Talk t;
            int r;

            talk_start(&t, cases[i].status, cases[i].body);
            r = verb == 0   ? engine_local.current(t.session, "x", &current, &t.err)
                : verb == 1 ? engine_local.apply(t.session, "x", specification, "d", &t.err)
                : verb == 2 ? engine_local.poll(t.session, "x", "d", &status, &t.err)
                            : engine_local.cancel(t.session, "x", "d", &t.err);
            assert_int_equal(r, cases[i].wanted);
            assert_non_null(t.err.text);
            assert_int_equal(t.err.code < 0, true);
            talk_end(&t, NULL);
        }
    }
}

static void plan_adds_labels_and_compares(void **state)
{
    static const struct {
        const char *running;
        bool is_unchanged;
    } cases[] = {
        {SPECIFICATION, true},
        {"{\"id\":\"greeter-staging\",\"root\":\"/r\",\"port\":8081}", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *specification = parsed("{\"id\":\"greeter-staging\",\"root\":\"/r\","
                                                    "\"port\":8081,\"labels\":{\"team\":\"a\"}}");
        _cleanup_json_ Json *wanted = parsed(SPECIFICATION), *before = NULL;
        _cleanup_engine_plan_ EnginePlan plan = {0};
        _cleanup_free_ char *body = NULL;
        Talk t;

        assert_true(
            asprintf(&body, "{\"deployment\":\"d1\",\"specification\":%s}", cases[i].running) > 0);
        assert_int_equal(json_copy(specification, &before), 0);
        talk_start(&t, 200, body);
        assert_int_equal(engine_local.plan(t.session, specification, &labels, &plan, &t.err), 0);
        assert_string_equal(plan.app, "greeter-staging");
        assert_true(json_equal(plan.specification, wanted));
        assert_true(json_equal(specification, before));
        assert_int_equal(plan.is_unchanged, cases[i].is_unchanged);
        talk_end(&t, "GET /v1/apps/greeter-staging ");
    }
}

/* While another deployment is under way, what runs is about to change. */
static void plan_beside_another_deployment_is_a_change(void **state)
{
    _cleanup_json_ Json *specification = parsed(SPECIFICATION);
    _cleanup_engine_plan_ EnginePlan plan = {0};
    Talk t;

    talk_start(&t, 200,
               "{\"deployment\":\"d1\",\"next\":\"d2\",\"specification\":" SPECIFICATION "}");
    assert_int_equal(engine_local.plan(t.session, specification, &labels, &plan, &t.err), 0);
    assert_false(plan.is_unchanged);
    talk_end(&t, NULL);
}

static void plan_refuses_what_is_no_specification(void **state)
{
    static const struct {
        const char *text;
        const char *said;
    } cases[] = {
        {"[]", "JSON object"},
        {"{}", "/id"},
        {"{\"id\":\"\"}", "/id"},
        {"{\"id\":\"../x\"}", "/id"},
        {"{\"id\":7}", "/id"},
        {"{\"id\":\"x\",\"labels\":[]}", "/labels"},
        {"{\"id\":\"x\",\"labels\":null}", "/labels"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *specification = parsed(cases[i].text);
        _cleanup_engine_plan_ EnginePlan plan = {0};
        Talk t;

        talk_start(&t, 404, "{}");
        assert_int_equal(engine_local.plan(t.session, specification, &labels, &plan, &t.err),
                         -EINVAL);
        assert_non_null(strstr(error_text(&t.err), cases[i].said));
        talk_end(&t, NULL);
    }
}

static void apply_says_what_became_of_it(void **state)
{
    static const struct {
        int status;
        const char *body;
        int wanted;
    } cases[] = {
        {202, "{\"deployment\":\"d 1\"}", 0},
        {200, "{\"deployment\":\"d 1\"}", 0},
        {200, "{\"deployment\":\"d 1\",\"isUnchanged\":true}", ENGINE_UNCHANGED},
        {409, "{\"error\":\"deployment d0 of app x runs\"}", ENGINE_BUSY},
        {400, "{\"error\":\"/port: a number is expected\"}", -EINVAL},
        {302, "{}", -EINVAL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *specification = parsed("{\"id\":\"x\"}");
        Talk t;

        talk_start(&t, cases[i].status, cases[i].body);
        assert_int_equal(engine_local.apply(t.session, "x", specification, "d 1", &t.err),
                         cases[i].wanted);
        if (cases[i].status >= 400) {
            assert_non_null(strstr(error_text(&t.err), i == 3 ? "d0 of app x" : "/port"));
        }
        talk_end(&t, "PUT /v1/apps/x?deployment=d%201 {\"id\":\"x\"}");
    }
}

static void poll_reads_a_state(void **state)
{
    _cleanup_engine_status_ EngineStatus status = {0};
    Talk t;

    talk_start(&t, 200,
               "{\"deployment\":\"d1\",\"state\":\"failed\",\"phase\":\"start\",\"reason\":"
               "\"instance 1 exited with status 3\",\"logTail\":[\"one\",\"two\"],"
               "\"instances\":{\"wanted\":2,\"updated\":1,\"healthy\":0,\"old\":2}}");
    assert_int_equal(engine_local.poll(t.session, "x", "d1", &status, &t.err), 0);
    assert_int_equal(status.state, ENGINE_FAILED);
    assert_string_equal(status.phase, "start");
    assert_string_equal(status.reason, "instance 1 exited with status 3");
    assert_string_equal(status.log, "one\ntwo\n");
    assert_int_equal(status.counts.wanted, 2);
    assert_int_equal(status.counts.updated, 1);
    assert_int_equal(status.counts.healthy, 0);
    assert_int_equal(status.counts.old, 2);
    talk_end(&t, "GET /v1/deployments/d1 ");
}

static void poll_knows_every_state(void **state)
{
    static const struct {
        int status;
        const char *body;
        int wanted;
        EngineState state;
    } cases[] = {
        {404, "{\"error\":\"no\"}", 0, ENGINE_UNKNOWN},
        {200, "{\"state\":\"running\"}", 0, ENGINE_RUNNING},
        {200, "{\"state\":\"succeeded\"}", 0, ENGINE_SUCCEEDED},
        {200, "{\"state\":\"cancelled\"}", 0, ENGINE_CANCELLED},
        {200, "{\"state\":\"dreaming\"}", -EBADMSG, ENGINE_UNKNOWN},
        {200, "{}", -EBADMSG, ENGINE_UNKNOWN},
        {405, "{\"error\":\"no\"}", -EIO, ENGINE_UNKNOWN},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_engine_status_ EngineStatus status = {0};
        Talk t;

        talk_start(&t, cases[i].status, cases[i].body);
        assert_int_equal(engine_local.poll(t.session, "x", "d", &status, &t.err), cases[i].wanted);
        assert_int_equal(status.state, cases[i].state);
        talk_end(&t, "GET /v1/deployments/d ");
    }
}

static void cancel_takes_what_has_ended_for_done(void **state)
{
    static const struct {
        int status;
        int wanted;
    } cases[] = {{200, 0}, {202, 0}, {404, 0}, {409, 0}, {400, -EIO}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Talk t;

        talk_start(&t, cases[i].status, "{}");
        assert_int_equal(engine_local.cancel(t.session, "x", "d", &t.err), cases[i].wanted);
        talk_end(&t, "DELETE /v1/deployments/d ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_wants_an_address),
        cmocka_unit_test(current_reads_what_runs),
        cmocka_unit_test(nothing_runs),
        cmocka_unit_test(an_engine_that_is_away),
        cmocka_unit_test(plan_adds_labels_and_compares),
        cmocka_unit_test(plan_beside_another_deployment_is_a_change),
        cmocka_unit_test(plan_refuses_what_is_no_specification),
        cmocka_unit_test(apply_says_what_became_of_it),
        cmocka_unit_test(poll_reads_a_state),
        cmocka_unit_test(poll_knows_every_state),
        cmocka_unit_test(cancel_takes_what_has_ended_for_done),
    };

    return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
