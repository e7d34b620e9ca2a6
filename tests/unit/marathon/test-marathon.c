/* SPDX-License-Identifier: MIT */
/* engines/marathon/marathon.c against a server that gives Marathon's answers, one after another. */
#include "agent/deploy/engine.h"

#include "agent/deploy/engines/marathon/marathon-app.h"
#include "tests/unit/http/scripted-server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define V1 "2026-01-01T00:00:00.001Z"
#define V2 "2026-01-01T00:00:00.002Z"
#define ANSWERS_MAX 8
#define GET_APP                                                                  \
    "GET /v2/apps/team/x?embed=app.tasks&embed=app.counts&embed=app.deployments" \
    "&embed=app.lastTaskFailure&embed=app.readiness "
#define PUT_APP "PUT /v2/apps/team/x?partialUpdate=false "
/* VERSION, what runs: label, deployments, tasks, others. */
#define APP(version, label, deployments, others)                                             \
    "{\"app\":{\"id\":\"/team/x\",\"version\":\"" version "\",\"instances\":1,\"labels\":{"  \
    "\"slipway.deployment\":\"" label "\",\"slipway.digest\":\"sha256:d\","                  \
    "\"slipway.commit\":\"c\",\"slipway.version\":\"1\"},\"deployments\":[" deployments "]," \
    "\"tasks\":[" others "}}"
#define TASK(version) "{\"version\":\"" version "\",\"state\":\"TASK_RUNNING\"}"
#define LOCKED "{\"id\":\"m1\"}"

static const EngineLabels labels = {.digest = "sha256:d", .commit = "c", .version = "1"};

typedef struct Answer {
    int status; /* 0: the body as it stands */
    const char *body;
} Answer;

typedef struct Talk {
    ScriptedServer server;
    char *answers[ANSWERS_MAX];
    size_t n;
    Json *environment;
    EngineSession *session;
    Error err;
} Talk;

static void talk_start(Talk *t, const Answer *answers)
{
    *t = (Talk){0};
    for (; t->n < ANSWERS_MAX && answers[t->n].body; t->n++) {
        const Answer *a = &answers[t->n];

        t->answers[t->n] = a->status ? scripted_answer(a->status, a->body) : strdup(a->body);
    }
    scripted_server_start(&t->server, false, (const char *const *)t->answers, t->n);
    t->environment = json_new_object();
    assert_int_equal(json_set_string(t->environment, "address", t->server.address), 0);
    assert_int_equal(engine_marathon.open(t->environment, &t->session, &t->err), 0);
}
#define ANSWERS(...) ((const Answer[ANSWERS_MAX + 1]){__VA_ARGS__})

/* Whether the next request begins so. */
static void assert_asked(Talk *t, const char *begin)
{
    char line[4096];

    assert_true(scripted_server_next_request(&t->server, line, sizeof(line)));
    if (strncmp(line, begin, strlen(begin)) != 0) {
        fail_msg("%s", line);
    }
}

static void talk_end(Talk *t)
{
    t->session = engine_marathon.close(t->session);
    scripted_server_stop(&t->server);
    t->environment = json_unref(t->environment);
    error_done(&t->err);
    for (size_t i = 0; i < t->n; i++) {
        free(t->answers[i]);
    }
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

    assert_int_equal(engine_marathon.open(environment, &session, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "`addresses`: where Marathon is asked"));
    assert_null(session);
    assert_null(engine_marathon.close(NULL));
}

static void current_reads_what_rests(void **state)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    Talk t;

    talk_start(&t, ANSWERS({200, APP(V1, "d1", "", TASK(V1) "]")}));
    assert_int_equal(engine_marathon.current(t.session, "/team/x", &current, &t.err), 0);
    assert_string_equal(current.deployment, "d1");
    assert_string_equal(current.digest, "sha256:d");
    assert_string_equal(current.commit, "c");
    assert_string_equal(current.version, "1");
    assert_null(current.next);
    assert_true(engine_counts_are_settled(&current.counts));
    assert_false(json_has(current.specification, "tasks"));
    assert_asked(&t, GET_APP);
    talk_end(&t);
}

/* The app is what is wanted; what its old tasks are is what serves. */
static void current_looks_behind_what_is_wanted(void **state)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    Talk t;

    talk_start(&t, ANSWERS({200, APP(V2, "d2", LOCKED, TASK(V1) "," TASK(V2) "]")},
                           {200, "{\"version\":\"" V1 "\",\"instances\":3,\"labels\":"
                                 "{\"slipway.deployment\":\"d1\"}}"}));
    assert_int_equal(engine_marathon.current(t.session, "/team/x", &current, &t.err), 0);
    assert_string_equal(current.deployment, "d1");
    assert_string_equal(current.next, "d2");
    assert_int_equal(json_get_int(current.specification, "instances", 0), 3);
    assert_asked(&t, GET_APP);
    assert_asked(&t, "GET /v2/apps/team/x/versions/2026-01-01T00%3A00%3A00.001Z ");
    talk_end(&t);
}

static void a_first_deployment_does_not_serve(void **state)
{
    static const struct {
        const char *versions;
        int wanted;
    } cases[] = {{"{\"versions\":[\"" V1 "\"]}", ENGINE_ABSENT},
                 {"{\"versions\":[\"" V2 "\",\"" V1 "\"]}", 0}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_engine_current_ EngineCurrent current = {0};
        Talk t;

        talk_start(&t, ANSWERS({200, APP(V1, "d1", LOCKED, "]")}, {200, cases[i].versions}));
        assert_int_equal(engine_marathon.current(t.session, "/team/x", &current, &t.err),
                         cases[i].wanted);
        talk_end(&t);
    }
}

/* What has no ID of ours has a name that it keeps when Marathon goes back to it. */
static void what_others_deployed_has_a_name(void **state)
{
    _cleanup_engine_current_ EngineCurrent first = {0}, again = {0};
    Talk t;

    talk_start(&t, ANSWERS({200, "{\"app\":{\"id\":\"/x\",\"cpus\":1,\"version\":\"" V1 "\"}}"},
                           {200, "{\"app\":{\"id\":\"/x\",\"cpus\":1,\"version\":\"" V2 "\"}}"}));
    assert_int_equal(engine_marathon.current(t.session, "/x", &first, &t.err), 0);
    assert_int_equal(engine_marathon.current(t.session, "/x", &again, &t.err), 0);
    assert_true(strncmp(first.deployment, "foreign-", 8) == 0);
    assert_string_equal(first.deployment, again.deployment);
    talk_end(&t);
}

/* Every verb says the same of an engine that is not there or not well. */
static void an_engine_that_is_away(void **state)
{
    static const struct {
        int status;
        const char *body;
        int wanted;
        const char *said;
    } cases[] = {
        {0, "", ENGINE_AWAY, "does not answer"},
        {500, "{\"message\":\"URI not found\"}", ENGINE_AWAY, "URI not found"},
        {503, "<html>", ENGINE_AWAY, "503"},
        {200, "<html>", -EBADMSG, "Is that Marathon?"},
        {200, "[]", -EBADMSG, "API version 2"},
        {200, "{\"app\":{}}", -EBADMSG, "API version 2"},
        {200, "", -EBADMSG, "API version 2"},
        {401, "<html>", -EACCES, "no credentialsFile is given"},
        {400, "{\"message\":\"no\"}", -EIO, "no"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int verb = 0; verb < 5; verb++) {
            _cleanup_engine_current_ EngineCurrent current = {0};
            _cleanup_engine_status_ EngineStatus status = {0};
            _cleanup_engine_plan_ EnginePlan plan = {0};
            _cleanup_json_ Json *specification = parsed("{\"id\":\"/team/x\",\"cmd\":\"ls\"}");
            Talk t;
            int r;

            talk_start(&t, ANSWERS({cases[i].status, cases[i].body}));
            r = verb == 0 ? engine_marathon.current(t.session, "/team/x", &current, &t.err)
                : verb == 1
                    ? engine_marathon.apply(t.session, "/team/x", specification, "d", &t.err)
                : verb == 2 ? engine_marathon.poll(t.session, "/team/x", "d", &status, &t.err)
                : verb == 3
                    ? engine_marathon.cancel(t.session, "/team/x", "d", &t.err)
                    : engine_marathon.plan(t.session, specification, &labels, &plan, &t.err);
            assert_int_equal(r, cases[i].wanted);
            assert_non_null(strstr(error_text(&t.err), cases[i].said));
            talk_end(&t);
        }
    }
}

static void plan_refuses_what_is_no_app(void **state)
{
    static const struct {
        const char *text;
        const char *said;
    } cases[] = {
        {"[]", "must be object"},
        {"{}", "\"id\" is missing"},
        {"{\"id\":\"/\"}", "/id: does not match"},
        {"{\"id\":\"/team//x\"}", "/id: does not match"},
        {"{\"id\":\"/Team\"}", "/id: does not match"},
        {"{\"id\":\"x\",\"instances\":\"2\"}", "/instances: must be integer, not string"},
        {"{\"id\":\"x\",\"mem\":\"64\"}", "/mem: must be number, not string"},
        {"{\"id\":\"x\",\"version\":\"" V1 "\"}", "/version: unknown member"},
        {"{\"id\":\"x\",\"helthChecks\":[]}", "did you mean \"healthChecks\""},
        {"{\"id\":\"x\",\"healthChecks\":[{\"intervalSeconds\":0.5}]}", "/healthChecks/0/interval"},
        {"{\"id\":\"x\",\"labels\":{\"a\":1}}", "/labels/a: must be string"},
        {"{\"id\":\"x\",\"env\":{\"A\":1}}", "/env/A"},
        {"{\"id\":\"x\",\"container\":{\"type\":\"docker\"}}", "/container/type: must be one of"},
        {"{\"id\":\"x\",\"container\":{\"docker\":{}}}", "\"image\" is missing"},
    };
    Talk t;

    talk_start(&t, ANSWERS({404, "{}"}));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *specification = parsed(cases[i].text);
        _cleanup_engine_plan_ EnginePlan plan = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(engine_marathon.plan(t.session, specification, &labels, &plan, &err),
                         -EINVAL);
        if (!strstr(error_text(&err), cases[i].said)) {
            fail_msg("%s", error_text(&err));
        }
    }
    talk_end(&t);
}

/* What was sent comes back as its digest, and what is planned again is unchanged by it. */
static void what_was_sent_is_unchanged(void **state)
{
    _cleanup_json_ Json *specification = parsed("{\"id\":\"team/x\",\"cmd\":\"ls\",\"cpus\":1}");
    _cleanup_engine_plan_ EnginePlan first = {0}, again = {0};
    _cleanup_free_ char *answer = NULL, *sent = NULL;
    char line[4096];
    Talk t;

    talk_start(&t, ANSWERS({404, "{\"message\":\"no\"}"}, {404, "{}"},
                           {201, "{\"deploymentId\":\"m1\",\"version\":\"" V1 "\"}"}));
    assert_int_equal(engine_marathon.plan(t.session, specification, &labels, &first, &t.err), 0);
    assert_string_equal(first.app, "/team/x");
    assert_string_equal(json_get_string(first.specification, "id"), "/team/x");
    assert_false(first.is_unchanged);
    assert_null(first.before);
    assert_null(marathon_app_label(first.specification, ENGINE_LABEL_DEPLOYMENT));
    assert_int_equal(engine_marathon.apply(t.session, first.app, first.specification, "d1", &t.err),
                     0);
    assert_asked(&t, GET_APP);
    assert_asked(&t, GET_APP);
    assert_true(scripted_server_next_request(&t.server, line, sizeof(line)));
    assert_memory_equal(line, PUT_APP, strlen(PUT_APP));
    assert_non_null(strstr(line, "\"slipway.deployment\":\"d1\""));
    sent = strdup(line + strlen(PUT_APP));
    talk_end(&t);

    sent[strlen(sent) - 1] = '\0'; /* of the object, to go on in it */
    assert_true(asprintf(&answer,
                         "{\"app\":%s,\"version\":\"" V1 "\",\"mem\":128.0,\"deployments\":[]}}",
                         sent) > 0);
    talk_start(&t, ANSWERS({200, answer}));
    assert_int_equal(engine_marathon.plan(t.session, first.specification, &labels, &again, &t.err),
                     0);
    assert_true(again.is_unchanged);
    assert_true(json_equal(again.specification, first.specification));
    assert_false(json_has(again.before, "mem"));
    talk_end(&t);
}

static void apply_says_what_became_of_it(void **state)
{
    static const struct {
        int status;
        const char *body;
        int wanted;
        const char *said;
    } cases[] = {
        {200, "{\"deploymentId\":\"m\",\"version\":\"" V1 "\"}", 0, NULL},
        {201, "{}", 0, NULL},
        {409, "{\"message\":\"App is locked by one or more deployments.\"}", ENGINE_BUSY, "locked"},
        {403, "{\"message\":\"Max number (100) of running deployments is achieved.\"}", ENGINE_BUSY,
         "Max number (100)"},
        {403, "{\"message\":\"Not Authorized to perform this action!\"}", -EACCES, "Not Auth"},
        {422,
         "{\"message\":\"Object is not valid\",\"details\":[{\"path\":\"/cpus\",\"errors\":"
         "[\"too few\"]}]}",
         -EINVAL, "take the app (422): Object is not valid; /cpus: too few"},
        {400, "{\"message\":\"Invalid JSON\",\"details\":\"at 1\"}", -EINVAL, "Invalid JSON; at 1"},
        {503, "{\"message\":\"timed out\"}", ENGINE_AWAY, "timed out"},
        {0, "", ENGINE_AWAY, "does not answer"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *specification = parsed("{\"id\":\"/team/x\",\"cmd\":\"ls\"}");
        Talk t;

        talk_start(&t, ANSWERS({404, "{}"}, {cases[i].status, cases[i].body}));
        assert_int_equal(engine_marathon.apply(t.session, "/team/x", specification, "d1", &t.err),
                         cases[i].wanted);
        if (cases[i].said) {
            assert_non_null(strstr(error_text(&t.err), cases[i].said));
        }
        talk_end(&t);
    }
}

/* After a lost answer the label tells that it arrived: nothing is sent again. */
static void apply_again_is_harmless(void **state)
{
    _cleanup_json_ Json *specification = parsed("{\"id\":\"/team/x\",\"cmd\":\"ls\"}");
    Talk t;

    talk_start(&t, ANSWERS({200, APP(V2, "d1", LOCKED, "]")}));
    assert_int_equal(engine_marathon.apply(t.session, "/team/x", specification, "d1", &t.err), 0);
    talk_end(&t);
}

static void poll_knows_every_state(void **state)
{
#define FAILURE(version, state, task, message)                                               \
    "],\"lastTaskFailure\":{\"version\":\"" version "\",\"state\":\"" state "\",\"taskId\":" \
    "\"" task "\",\"message\":\"" message "\",\"host\":\"h\"}"
    static const struct {
        Answer answers[4];
        EngineState state;
        const char *reason;
    } cases[] = {
        {{{200, APP(V2, "d", "", TASK(V2) "]")}}, ENGINE_SUCCEEDED, NULL},
        {{{200, APP(V2, "d", LOCKED, TASK(V2) "]")}}, ENGINE_RUNNING, NULL},
        {{{200, APP(V2, "d", "", TASK(V1) "," TASK(V2) "]")}}, ENGINE_RUNNING, NULL},
        /* accepted and not listed: no success */
        {{{200, APP(V2, "d", "", TASK(V1) "]")}, {200, "{\"queue\":[]}"}}, ENGINE_RUNNING, NULL},
        {{{200, APP(V2, "d", LOCKED, TASK(V1) "]")},
          {200, "{\"queue\":[{\"app\":{\"id\":\"/team/x\"},\"processedOffersSummary\":{"
                "\"processedOffersCount\":0}}]}"}},
         ENGINE_RUNNING,
         "Mesos has offered no room so far"},
        {{{200, APP(V2, "d", LOCKED, TASK(V1) FAILURE(V2, "TASK_FAILED", "t", "exited with 1"))}},
         ENGINE_RUNNING,
         "an instance ended: exited with 1 (TASK_FAILED on h)"},
        {{{200, APP(V2, "d", LOCKED, TASK(V1) FAILURE(V2, "TASK_KILLED", "t", "Reason: 503"))}},
         ENGINE_FAILING,
         "Reason: 503 (TASK_KILLED on h)"},
        {{{200, APP(V2, "d", "", TASK(V2) FAILURE(V1, "TASK_FAILED", "t", "the old one"))}},
         ENGINE_SUCCEEDED,
         NULL},
        {{{404, "{}"}, {200, "[]"}}, ENGINE_UNKNOWN, NULL},
        {{{404, "{}"}, {200, "[{\"affectedApps\":[\"/y\",\"/team/x\"]}]"}}, ENGINE_RUNNING, NULL},
        {{{200, APP(V1, "before", "", "]")},
          {200, "{\"versions\":[\"" V1 "\"]}"},
          {200, "{\"labels\":{\"slipway.deployment\":\"before\"}}"}},
         ENGINE_UNKNOWN,
         NULL},
        {{{200, APP(V1, "after", "", "]")},
          {200, "{\"versions\":[\"" V2 "\"]}"},
          {200, "{\"labels\":{\"slipway.deployment\":\"d\"}}"}},
         ENGINE_CANCELLED,
         "somebody else cancelled it at Marathon, or deployed over it: 'after' is wanted there "
         "now"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_engine_status_ EngineStatus status = {0};
        Talk t;

        talk_start(&t, ANSWERS(cases[i].answers[0], cases[i].answers[1], cases[i].answers[2]));
        assert_int_equal(engine_marathon.poll(t.session, "/team/x", "d", &status, &t.err), 0);
        assert_int_equal(status.state, cases[i].state);
        if (cases[i].reason) {
            assert_string_equal(status.reason, cases[i].reason);
        } else {
            assert_null(status.reason);
        }
        talk_end(&t);
    }
}

/* One crash may be a database that was not there yet; the same one, seen twice, is still one. */
static void a_crash_loop_is_two_crashes(void **state)
{
    static const struct {
        const char *task;
        EngineState state;
    } looks[] = {{"t1", ENGINE_RUNNING}, {"t1", ENGINE_RUNNING}, {"t2", ENGINE_FAILING}};
    char *bodies[ARRAY_SIZE(looks)];
    Talk t;

    for (size_t i = 0; i < ARRAY_SIZE(looks); i++) {
        assert_true(asprintf(&bodies[i],
                             APP(V2, "d", LOCKED,
                                 "],\"lastTaskFailure\":{\"version\":\"" V2
                                 "\",\"state\":\"TASK_FAILED\",\"message\":\"m\","
                                 "\"taskId\":\"%s\"}"),
                             looks[i].task) > 0);
    }
    talk_start(&t, ANSWERS({200, bodies[0]}, {200, bodies[1]}, {200, bodies[2]}));
    for (size_t i = 0; i < ARRAY_SIZE(looks); i++) {
        _cleanup_engine_status_ EngineStatus status = {0};

        assert_int_equal(engine_marathon.poll(t.session, "/team/x", "d", &status, &t.err), 0);
        assert_int_equal(status.state, looks[i].state);
        free(bodies[i]);
    }
    talk_end(&t);
}

/* A readiness check is asked by the deployment alone, and a new one may not be listed yet. */
static void readiness_wants_more_than_one_look(void **state)
{
    static const char app[] = APP(V2, "d", "", TASK(V2) "],\"readinessChecks\":[{}]");
    Talk t;

    talk_start(&t, ANSWERS({200, app}, {200, app}, {200, app}));
    for (int i = 0; i < 3; i++) {
        _cleanup_engine_status_ EngineStatus status = {0};

        assert_int_equal(engine_marathon.poll(t.session, "/team/x", "d", &status, &t.err), 0);
        assert_int_equal(status.state, i < 2 ? ENGINE_RUNNING : ENGINE_SUCCEEDED);
    }
    talk_end(&t);
}

static void cancel_reverts_and_poll_waits_for_it(void **state)
{
    static const EngineState states[] = {ENGINE_RUNNING, ENGINE_RUNNING, ENGINE_CANCELLED};
    Talk t;

    talk_start(&t, ANSWERS({200, APP(V2, "d", LOCKED, TASK(V1) "]")},
                           {200, "{\"deploymentId\":\"m2\",\"version\":\"" V2 "\"}"},
                           {200, APP(V2, "before", LOCKED, TASK(V1) "]")},
                           {200, APP(V2, "before", "", TASK(V1) "]")},
                           {200, APP(V2, "before", "", TASK(V2) "]")}));
    assert_int_equal(engine_marathon.cancel(t.session, "/team/x", "d", &t.err), 0);
    assert_asked(&t, GET_APP);
    assert_asked(&t, "DELETE /v2/deployments/m1 ");
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        _cleanup_engine_status_ EngineStatus status = {0};

        assert_int_equal(engine_marathon.poll(t.session, "/team/x", "d", &status, &t.err), 0);
        assert_int_equal(status.state, states[i]);
    }
    talk_end(&t);
}

static void cancel_takes_what_has_ended_for_done(void **state)
{
    static const struct {
        Answer answers[2];
        int wanted;
    } cases[] = {
        {{{404, "{}"}}, 0},
        {{{200, APP(V2, "another", LOCKED, "]")}}, 0},
        {{{200, APP(V2, "d", "", TASK(V2) "]")}}, 0},
        {{{200, APP(V2, "d", "", "]")}}, 0}, /* dropped by somebody: the policy puts back */
        {{{200, APP(V2, "d", LOCKED, "]")}, {202, ""}}, 0},
        {{{200, APP(V2, "d", LOCKED, "]")}, {404, "{}"}}, ENGINE_AWAY}, /* listed soon, perhaps */
        {{{200, APP(V2, "d", LOCKED, "]")}, {400, "{}"}}, -EIO},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Talk t;

        talk_start(&t, ANSWERS(cases[i].answers[0], cases[i].answers[1]));
        assert_int_equal(engine_marathon.cancel(t.session, "/team/x", "d", &t.err),
                         cases[i].wanted);
        talk_end(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_wants_an_address),
        cmocka_unit_test(current_reads_what_rests),
        cmocka_unit_test(current_looks_behind_what_is_wanted),
        cmocka_unit_test(a_first_deployment_does_not_serve),
        cmocka_unit_test(what_others_deployed_has_a_name),
        cmocka_unit_test(an_engine_that_is_away),
        cmocka_unit_test(plan_refuses_what_is_no_app),
        cmocka_unit_test(what_was_sent_is_unchanged),
        cmocka_unit_test(apply_says_what_became_of_it),
        cmocka_unit_test(apply_again_is_harmless),
        cmocka_unit_test(poll_knows_every_state),
        cmocka_unit_test(a_crash_loop_is_two_crashes),
        cmocka_unit_test(readiness_wants_more_than_one_look),
        cmocka_unit_test(cancel_reverts_and_poll_waits_for_it),
        cmocka_unit_test(cancel_takes_what_has_ended_for_done),
    };

    return cmocka_run_group_tests_name("marathon", tests, NULL, NULL);
}
