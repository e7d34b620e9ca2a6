/* SPDX-License-Identifier: MIT */
/* engines/swarm/swarm.c against a docker that says what README.md promises. */
#include "tests/unit/swarm/swarm-talk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SPEC_OF(deployment, image, labels)                                                         \
    "{'Name':'x','Labels':{'slipway.deployment':'" deployment "','slipway.digest':'d'" labels "}," \
    "'TaskTemplate':{'ContainerSpec':{'Image':'" image                                             \
    "','Labels':{'slipway.deployment':'" deployment "','slipway.digest':'d'}}}}"
#define SERVICE(deployment, image, labels, more) \
    "{'ID':'s1','Version':{'Index':7},'Spec':" SPEC_OF(deployment, image, labels) more "}"
#define TASK(of, state)                                                                      \
    "{'ID':'t-" of "','Slot':1,'DesiredState':'running','Spec':{'ContainerSpec':{'Labels':{" \
    "'slipway.deployment':'" of "'}}},'Status':{'State':'" state "'}}"
#define UPDATING ",'UpdateStatus':{'State':'updating'}"
#define COMPLETED ",'UpdateStatus':{'State':'completed'}"
#define ABSENT                                   \
    {                                            \
        404, "{'message':'service x not found'}" \
    }
#define TAKEN                    \
    {                            \
        200, "{'Warnings':null}" \
    }
#define WANTED                                                                                     \
    "{'Name':'x','TaskTemplate':{'ContainerSpec':{'Image':'i2','Labels':{'slipway.digest':'d'}}}," \
    "'Labels':{'slipway.digest':'d'}}"

static EngineSession *start(SwarmTalk *talk, const SwarmAnswer *answers)
{
    EngineSession *session = NULL;

    assert_int_equal(setenv("DOCKER_CONFIG", "/nonexistent", 1), 0);
    swarm_talk_start(talk, answers);
    assert_int_equal(engine_swarm.open(talk->environment, &session, &talk->err), 0);
    return session;
}

static void stop(SwarmTalk *talk, EngineSession *session)
{
    session = engine_swarm.close(session);
    assert_null(engine_swarm.close(NULL));
    swarm_talk_stop(talk);
}

static int apply(EngineSession *session, const char *deployment, SwarmTalk *talk)
{
    _cleanup_json_ Json *wanted = swarm_json(WANTED);

    return engine_swarm.apply(session, "x", wanted, deployment, &talk->err);
}

static void a_first_one_is_created(void **state)
{
    SwarmTalk talk;
    EngineSession *session = start(&talk, (const SwarmAnswer[]){ABSENT, {201, "{'ID':'s1'}"}, {0}});

    assert_int_equal(apply(session, "b", &talk), 0);
    swarm_talk_assert_asked(&talk, "GET /services/x ");
    swarm_talk_assert_asked(
        &talk, "POST /services/create {\"Name\":\"x\",\"TaskTemplate\":{\"ContainerSpec\":{"
               "\"Image\":\"i2\",\"Labels\":{\"slipway.digest\":\"d\",\"slipway.deployment\":\"b\"}"
               "}},\"Labels\":{\"slipway.digest\":\"d\",\"slipway.deployment\":\"b\"}}");
    stop(&talk, session);
}

static void the_next_says_what_it_replaces(void **state)
{
    SwarmTalk talk;
    EngineSession *session = start(&talk, (const SwarmAnswer[]){
                                              {200, SERVICE("a", "i1", "", COMPLETED)},
                                              {200, "[" TASK("a", "running") "]"},
                                              TAKEN,
                                              {0},
                                          });

    assert_int_equal(apply(session, "b", &talk), 0);
    swarm_talk_assert_asked(&talk, "GET /services/x ");
    swarm_talk_assert_asked(&talk, "GET /tasks?");
    swarm_talk_assert_asked(
        &talk, "POST /services/s1/update?version=7 {\"Name\":\"x\",\"TaskTemplate\":{"
               "\"ContainerSpec\":{\"Image\":\"i2\",\"Labels\":{\"slipway.digest\":\"d\","
               "\"slipway.deployment\":\"b\"}}},\"Labels\":{\"slipway.digest\":\"d\","
               "\"slipway.deployment\":\"b\",\"slipway.replaces\":\"a\"}}");
    stop(&talk, session);
}

static void nothing_is_sent_where_nothing_is_to_be(void **state)
{
    static const struct {
        const char *service;
        const char *tasks;
        int wanted;
    } cases[] = {
        /* the answer to it was lost, but it had arrived */
        {SERVICE("b", "i2", "", UPDATING), "[]", 0},
        {SERVICE("a", "i1", ",'slipway.cancelled':'b'", COMPLETED), "[]", 0},
        {SERVICE("a", "i1", "", UPDATING), "[" TASK("a", "running") "]", ENGINE_BUSY},
        {SERVICE("a", "i1", "", ""), "[" TASK("a", "starting") "]", ENGINE_BUSY},
        {SERVICE("a", "i2", "", COMPLETED), "[" TASK("a", "running") "]", ENGINE_UNCHANGED},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        SwarmTalk talk;
        EngineSession *session = start(
            &talk, (const SwarmAnswer[]){
                       {200, cases[i].service}, {200, cases[i].tasks}, {500, "nothing more"}, {0}});

        assert_int_equal(apply(session, "b", &talk), cases[i].wanted);
        assert_int_equal(talk.err.text != NULL, cases[i].wanted == ENGINE_BUSY);
        swarm_talk_assert_asked(&talk, "GET /services/x ");
        swarm_talk_assert_asked(&talk, "GET /tasks?");
        scripted_server_stop(&talk.server);
        stop(&talk, session);
    }
}

/* The same, but not well: a deployment mends it. And a lost race is asked again. */
static void one_that_is_not_well_is_deployed_again(void **state)
{
    SwarmTalk talk;
    EngineSession *session =
        start(&talk, (const SwarmAnswer[]){
                         {200, SERVICE("a", "i2", "", COMPLETED)},
                         {200, "[" TASK("a", "starting") "]"},
                         {500, "{'message':'rpc error: code = Unknown desc = update out of "
                               "sequence'}"},
                         {200, SERVICE("a", "i2", "", COMPLETED)},
                         {200, "[" TASK("a", "starting") "]"},
                         TAKEN,
                         {0},
                     });

    assert_int_equal(apply(session, "b", &talk), ENGINE_AWAY);
    assert_non_null(strstr(error_text(&talk.err), "update out of sequence"));
    error_done(&talk.err);
    assert_int_equal(apply(session, "b", &talk), 0);
    stop(&talk, session);
}

static void current_tells_what_serves(void **state)
{
    static const struct {
        SwarmAnswer service;
        const char *tasks;
        int wanted;
        const char *deployment;
        const char *next;
        int64_t healthy;
    } cases[] = {
        {ABSENT, NULL, ENGINE_ABSENT, NULL, NULL, 0},
        {{200, SERVICE("a", "i1", "", "")}, "[" TASK("a", "running") "]", 0, "a", NULL, 1},
        {{200, SERVICE("a", "i1", "", "")},
         "[" TASK("a", "starting") "]",
         ENGINE_ABSENT,
         NULL,
         NULL,
         0},
        {{200, SERVICE("b", "i2", "", UPDATING ",'PreviousSpec':" SPEC_OF("a", "i1", ""))},
         "[" TASK("a", "running") "," TASK("b", "starting") "]",
         0,
         "a",
         "b",
         1},
        {{200, SERVICE("a", "i1", ",'slipway.cancelled':'b'",
                       UPDATING ",'PreviousSpec':" SPEC_OF("b", "i2", ""))},
         "[" TASK("a", "running") "]",
         0,
         "a",
         NULL,
         1},
        {{200, "{'ID':'s1','Version':{'Index':7},'Spec':{'Name':'x'}}"}, "[]", 0, NULL, NULL, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_engine_current_ EngineCurrent current = {0};
        SwarmTalk talk;
        EngineSession *session =
            start(&talk, (const SwarmAnswer[]){cases[i].service, {200, cases[i].tasks}, {0}});

        assert_int_equal(engine_swarm.current(session, "x", &current, &talk.err), cases[i].wanted);
        assert_string_equal(current.deployment ? current.deployment : "",
                            cases[i].deployment ? cases[i].deployment : "");
        assert_string_equal(current.next ? current.next : "", cases[i].next ? cases[i].next : "");
        assert_int_equal(current.counts.healthy, cases[i].healthy);
        assert_int_equal(current.specification != NULL, cases[i].wanted == 0);
        stop(&talk, session);
    }
}

/* Sends what ran before as it was, from docker's memory where that is surely it. */
static void cancelling_puts_the_one_before_back(void **state)
{
    static const struct {
        const char *service;
        const char *asked;
    } cases[] = {
        {SERVICE("b", "i2", ",'slipway.replaces':'a'",
                 UPDATING ",'PreviousSpec':" SPEC_OF("a", "i1", "")),
         "POST /services/s1/update?version=7 "
         "{\"Name\":\"x\",\"Labels\":{\"slipway.deployment\":\"a\","
         "\"slipway.digest\":\"d\",\"slipway.cancelled\":\"b\"},\"TaskTemplate\":{"
         "\"ContainerSpec\":{"
         "\"Image\":\"i1\""},
        /* somebody has changed it since: it is only marked, and the policy has its own */
        {SERVICE("b", "i2", ",'slipway.replaces':'a'",
                 UPDATING ",'PreviousSpec':" SPEC_OF("b", "i1", "")),
         "POST /services/s1/update?version=7 "
         "{\"Name\":\"x\",\"Labels\":{\"slipway.deployment\":\"b\","
         "\"slipway.digest\":\"d\",\"slipway.replaces\":\"a\",\"slipway.cancelled\":\"b\"}"},
        {SERVICE("b", "i2", "", ""), "DELETE /services/s1 "}, /* nothing was there before */
        {SERVICE("a", "i1", "", ""), NULL},                   /* it is not ours any more */
        {SERVICE("b", "i2", ",'slipway.cancelled':'b'", ""), NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        SwarmTalk talk;
        EngineSession *session =
            start(&talk, (const SwarmAnswer[]){{200, cases[i].service}, {200, "[]"}, TAKEN, {0}});

        assert_int_equal(engine_swarm.cancel(session, "x", "b", &talk.err), 0);
        swarm_talk_assert_asked(&talk, "GET /services/x ");
        swarm_talk_assert_asked(&talk, "GET /tasks?");
        if (cases[i].asked) {
            swarm_talk_assert_asked(&talk, cases[i].asked);
        } else {
            scripted_server_stop(&talk.server);
        }
        stop(&talk, session);
    }
}

static void what_has_ended_well_is_not_cancelled(void **state)
{
    SwarmTalk talk;
    EngineSession *session =
        start(&talk, (const SwarmAnswer[]){{200, SERVICE("b", "i2", "", COMPLETED)},
                                           {200, "[" TASK("b", "running") "]"},
                                           ABSENT,
                                           {0}});
    _cleanup_engine_status_ EngineStatus status = {0};

    assert_int_equal(engine_swarm.cancel(session, "x", "b", &talk.err), 0);
    assert_int_equal(engine_swarm.poll(session, "x", "b", &status, &talk.err), 0);
    assert_int_equal(status.state, ENGINE_UNKNOWN); /* nobody has it any more */
    stop(&talk, session);
}

static void plan_compares(void **state)
{
    static const EngineLabels labels = {.digest = "d", .version = "1"};
    _cleanup_json_ Json *template = swarm_json(
        "{'$schema':'s','Name':'x','TaskTemplate':{'ContainerSpec':{'Image':'i','Secrets'"
        ":[{'SecretName':'key'}]},'Networks':[{'Target':'web'}]}}");
    _cleanup_engine_plan_ EnginePlan plan = {0};
    SwarmTalk talk;
    EngineSession *session = start(
        &talk, (const SwarmAnswer[]){
                   {200, "{'ID':'sec1','Spec':{'Name':'key'}}"},
                   {200, "{'ID':'s1','Version':{'Index':7},'Spec':{'Name':'x','Labels':{"
                         "'slipway.digest':'d','slipway.version':'1','slipway.deployment':'a'},"
                         "'TaskTemplate':{'ContainerSpec':{'Image':'i','Isolation':'default',"
                         "'Secrets':[{'SecretID':'sec1','SecretName':'key'}],'Labels':{"
                         "'slipway.digest':'d','slipway.version':'1','slipway.deployment':'a'}},"
                         "'Networks':[{'Target':'net1'}],'ForceUpdate':0}}}"},
                   {200, "[" TASK("a", "running") "]"},
                   {200, "{'Id':'net1'}"},
                   {0},
               });

    assert_int_equal(engine_swarm.plan(session, template, &labels, &plan, &talk.err), 0);
    assert_string_equal(plan.app, "x");
    assert_true(plan.is_unchanged);
    assert_non_null(plan.before);
    assert_false(json_has(plan.specification, "$schema"));
    assert_string_equal(json_as_string(json_pointer(
                            plan.specification, "/TaskTemplate/ContainerSpec/Secrets/0/SecretID")),
                        "sec1");
    stop(&talk, session);
}

static void plan_tells_mistakes_before_anything_is_asked(void **state)
{
    static const EngineLabels labels = {.digest = "d", .version = "1"};
    _cleanup_json_ Json *template = swarm_json("{'Name':'x','Typo':1}");
    _cleanup_json_ Json *with_secret = swarm_json("{'Name':'x','TaskTemplate':{'ContainerSpec':{'"
                                                  "Image':'i','Configs':[{'ConfigName':'c'}]}}}");
    _cleanup_engine_plan_ EnginePlan plan = {0}, other = {0};
    SwarmTalk talk;
    EngineSession *session =
        start(&talk, (const SwarmAnswer[]){{404, "{'message':'config c not found'}"}, {0}});

    assert_int_equal(engine_swarm.plan(session, template, &labels, &plan, &talk.err), -EINVAL);
    assert_non_null(strstr(error_text(&talk.err), "/Typo"));
    assert_int_equal(engine_swarm.plan(session, with_secret, &labels, &other, &talk.err), -EINVAL);
    assert_non_null(strstr(error_text(&talk.err), "/Configs/0/ConfigName: the swarm has no 'c'"));
    swarm_talk_assert_asked(&talk, "GET /configs/c ");
    stop(&talk, session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_one_is_created),
        cmocka_unit_test(the_next_says_what_it_replaces),
        cmocka_unit_test(nothing_is_sent_where_nothing_is_to_be),
        cmocka_unit_test(one_that_is_not_well_is_deployed_again),
        cmocka_unit_test(current_tells_what_serves),
        cmocka_unit_test(cancelling_puts_the_one_before_back),
        cmocka_unit_test(what_has_ended_well_is_not_cancelled),
        cmocka_unit_test(plan_compares),
        cmocka_unit_test(plan_tells_mistakes_before_anything_is_asked),
    };

    return cmocka_run_group_tests_name("swarm", tests, NULL, NULL);
}
