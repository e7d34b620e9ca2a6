/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-look.h"

#include "tests/unit/swarm/swarm-talk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SERVICE(deployment, labels, more)                                                 \
    "{'ID':'s1','Version':{'Index':7},'Spec':{'Name':'x','Labels':{'slipway.deployment':" \
    "'" deployment "'" labels "}}" more "}"
#define UPDATE(state) ",'UpdateStatus':{'State':'" state "','Message':'docker says'}"
#define TASK(of, desired, state, err)                                                            \
    "{'ID':'t-" of "','Slot':1,'NodeID':'n1','DesiredState':'" desired "','Spec':{"              \
    "'ContainerSpec':{'Labels':{'slipway.deployment':'" of "'}}},'Status':{'State':'" state "'," \
    "'Err':'" err "','ContainerStatus':{'ContainerID':'c1'}}}"
#define WELL TASK("b", "running", "running", "")
#define OLD TASK("a", "running", "running", "")
#define OLD_ENDING TASK("a", "shutdown", "running", "")
#define STARTING TASK("b", "running", "starting", "")
#define FAILED TASK("b", "shutdown", "failed", "task: non-zero exit (3)")
#define UNHEALTHY TASK("b", "shutdown", "failed", "dockerexec: unhealthy container")
#define REJECTED                                                                       \
    "{'ID':'t','Slot':1,'DesiredState':'shutdown','Spec':{'ContainerSpec':{'Labels':{" \
    "'slipway.deployment':'b'}}},'Status':{'State':'rejected','Err':'No such image: i'}}"
#define PENDING TASK("b", "running", "pending", "no suitable node")
#define LOG                                                                           \
    {                                                                                 \
        0, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 6\r\n\r\nplain\n" \
    }

/* What becomes of deployment "b". */
static const struct {
    const char *service;
    const char *tasks;
    int64_t settled_for_ms;
    SwarmAnswer more[3];
    EngineState state;
    const char *reason;
    const char *log;
} cases[] = {
    /* a new service: docker says nothing, so it is looked at for a while */
    {SERVICE("b", "", ""), "[" WELL "]", 0, {{0}}, ENGINE_RUNNING, NULL, NULL},
    {SERVICE("b", "", ""), "[" WELL "]", 5000, {{0}}, ENGINE_SUCCEEDED, NULL, NULL},
    {SERVICE("b", "", UPDATE("completed")), "[" WELL "]", 0, {{0}}, ENGINE_SUCCEEDED, NULL, NULL},
    /* it says completed while an old one still ends */
    {SERVICE("b", "", UPDATE("completed")),
     "[" WELL "," OLD_ENDING "]",
     0,
     {{200, "[{'ID':'n1','Status':{'State':'ready'}}]"}},
     ENGINE_RUNNING,
     NULL,
     NULL},
    {SERVICE("b", "", UPDATE("completed")),
     "[" WELL "," OLD_ENDING "]",
     0,
     {{200, "[{'ID':'n1','Status':{'State':'down'}}]"}},
     ENGINE_SUCCEEDED,
     NULL,
     NULL},
    {SERVICE("b", "", UPDATE("updating")), "[" WELL "]", 9000, {{0}}, ENGINE_RUNNING, NULL, NULL},
    {SERVICE("b", "", ""), "[]", 0, {{0}}, ENGINE_RUNNING, NULL, NULL},
    {SERVICE("b", "", UPDATE("updating")),
     "[" STARTING "," OLD "]",
     0,
     {{200, "{}"}},
     ENGINE_RUNNING,
     NULL,
     NULL},
    {SERVICE("b", "", UPDATE("updating")),
     "[" STARTING "]",
     0,
     {{200, "{'State':{'Health':{'Status':'starting','Log':[{'ExitCode':1,'Output':'503'}]}}}"}},
     ENGINE_RUNNING,
     "instance 1 is starting; its health check ended with status 1: 503",
     NULL},
    {SERVICE("b", "", UPDATE("updating")),
     "[" STARTING "]",
     0,
     {{200, "{'State':{'Health':{'Status':'unhealthy','Log':[{'ExitCode':1,'Output':'503'}]}}}"},
      LOG},
     ENGINE_FAILING,
     "instance 1 is starting; its health check ended with status 1: 503",
     "plain\n"},
    {SERVICE("b", "", UPDATE("updating")),
     "[" PENDING "," OLD "]",
     0,
     {{0}},
     ENGINE_RUNNING,
     "instance 1 is pending: no suitable node",
     NULL},
    {SERVICE("b", "", UPDATE("updating")),
     "[" FAILED "," STARTING "," OLD "]",
     0,
     {LOG},
     ENGINE_FAILING,
     "instance 1 failed: non-zero exit (3)",
     "plain\n"},
    {SERVICE("b", "", UPDATE("updating")),
     "[" UNHEALTHY "]",
     0,
     {{200, "{'State':{'Health':{'Log':[{'ExitCode':7,'Output':'no'}]}}}"},
      {500, "{'message':'no log'}"}},
     ENGINE_FAILING,
     "instance 1 failed: dockerexec: unhealthy container; its health check ended "
     "with status 7: no",
     NULL},
    {SERVICE("b", "", UPDATE("updating")),
     "[" REJECTED "," OLD "]",
     0,
     {{0}},
     ENGINE_FAILING,
     "instance 1 was rejected: No such image: i",
     NULL},
    {SERVICE("b", "", UPDATE("paused")),
     "[" WELL "]",
     9000,
     {{0}},
     ENGINE_FAILING,
     "docker says",
     NULL},
    /* docker brought the one before back by itself: well again, and a failure */
    {SERVICE("a", "", UPDATE("rollback_completed")),
     "[" FAILED "," OLD "]",
     0,
     {LOG},
     ENGINE_FAILED,
     "docker rolled it back: instance 1 failed: non-zero exit (3)",
     "plain\n"},
    {SERVICE("a", "", UPDATE("rollback_started")),
     "[" REJECTED "," OLD "]",
     0,
     {{0}},
     ENGINE_RUNNING,
     "docker rolled it back: instance 1 was rejected: No such image: i",
     NULL},
    {SERVICE("a", "", UPDATE("rollback_paused")),
     "[" REJECTED "," OLD "]",
     0,
     {{0}},
     ENGINE_FAILED,
     "docker began to roll it back and could not: instance 1 was rejected: No such image: i",
     NULL},
    /* given up by us */
    {SERVICE("a", ",'slipway.cancelled':'b'", UPDATE("completed")),
     "[" FAILED "," OLD "]",
     0,
     {{0}},
     ENGINE_CANCELLED,
     NULL,
     NULL},
    {SERVICE("a", ",'slipway.cancelled':'b'", UPDATE("updating")),
     "[" OLD "]",
     0,
     {{0}},
     ENGINE_RUNNING,
     NULL,
     NULL},
    {SERVICE("a", ",'slipway.cancelled':'b'", ""),
     "[" STARTING "," OLD "]",
     0,
     {{0}},
     ENGINE_RUNNING,
     NULL,
     NULL},
    {SERVICE("b", ",'slipway.cancelled':'b'", ""),
     "[" STARTING "]",
     0,
     {{0}},
     ENGINE_CANCELLED,
     NULL,
     NULL},
    /* of others */
    {SERVICE("a", "", UPDATE("completed")), "[" OLD "]", 0, {{0}}, ENGINE_UNKNOWN, NULL, NULL},
    {SERVICE("a", "", UPDATE("rollback_completed")),
     "[" OLD "]",
     0,
     {{0}},
     ENGINE_UNKNOWN,
     NULL,
     NULL},
};

static void what_has_become_of_a_deployment(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const SwarmAnswer answers[] = {{200, cases[i].service}, {200, cases[i].tasks},
                                       cases[i].more[0],        cases[i].more[1],
                                       cases[i].more[2],        {0}};
        _cleanup_engine_status_ EngineStatus status = {0};
        _cleanup_swarm_look_ SwarmLook look = {0};
        SwarmApi *api = NULL;
        SwarmTalk talk;
        int r;

        swarm_talk_start(&talk, answers);
        assert_int_equal(swarm_api_open(talk.environment, &api, &talk.err), 0);
        r = swarm_look(api, "x", &look, &talk.err);
        r = r != 0 ? r
                   : swarm_look_judge(api, &look, "b", cases[i].settled_for_ms, &status, &talk.err);
        if (r != 0 || status.state != cases[i].state) {
            fail_msg("case %zu: %d %s, state %d", i, r, error_text(&talk.err), (int)status.state);
        }
        assert_string_equal(status.reason ? status.reason : "",
                            cases[i].reason ? cases[i].reason : "");
        assert_string_equal(status.log ? status.log : "", cases[i].log ? cases[i].log : "");
        api = swarm_api_close(api);
        swarm_talk_stop(&talk);
    }
}

static void a_service_may_be_under_way(void **state)
{
    static const struct {
        const char *service;
        const char *tasks;
        bool is_under_way;
    } ways[] = {
        {SERVICE("b", "", ""), "[" STARTING "]", true},
        {SERVICE("b", "", ""), "[" WELL "]", false},
        {SERVICE("b", "", ""), "[" FAILED "," STARTING "]", false}, /* it may be replaced */
        {SERVICE("b", "", ""), "[" PENDING "]", false},
        {SERVICE("b", "", UPDATE("updating")), "[" WELL "]", true},
        {SERVICE("b", "", UPDATE("rollback_started")), "[" WELL "]", true},
        {SERVICE("b", "", UPDATE("paused")), "[" STARTING "]", false},
        {SERVICE("b", ",'slipway.cancelled':'b'", UPDATE("updating")), "[" STARTING "]", false},
        {SERVICE("b", ",'slipway.cancelled':'a'", UPDATE("updating")), "[" WELL "]", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        _cleanup_swarm_look_ SwarmLook look = {0};
        SwarmApi *api = NULL;
        SwarmTalk talk;

        swarm_talk_start(&talk,
                         (const SwarmAnswer[]){{200, ways[i].service}, {200, ways[i].tasks}, {0}});
        assert_int_equal(swarm_api_open(talk.environment, &api, &talk.err), 0);
        assert_int_equal(swarm_look(api, "x", &look, &talk.err), 0);
        assert_int_equal(swarm_look_is_under_way(&look), ways[i].is_under_way);
        api = swarm_api_close(api);
        swarm_talk_stop(&talk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_become_of_a_deployment),
        cmocka_unit_test(a_service_may_be_under_way),
    };

    return cmocka_run_group_tests_name("swarm-look", tests, NULL, NULL);
}
