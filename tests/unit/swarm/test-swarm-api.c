/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-api.h"

#include "agent/http/http.h"
#include "tests/unit/swarm/swarm-talk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SERVICE(name) "{'ID':'s1','Version':{'Index':7},'Spec':{'Name':'" name "'}}"
#define AS_IT_STANDS 0

static SwarmApi *start(SwarmTalk *talk, int status, const char *body)
{
    SwarmApi *api = NULL;

    swarm_talk_start(talk, (const SwarmAnswer[]){{status, body}, {0}});
    assert_int_equal(swarm_api_open(talk->environment, &api, &talk->err), 0);
    return api;
}

static void an_address_is_wanted(void **state)
{
    _cleanup_json_ Json *environment = json_new_object();
    _cleanup_error_ Error err = {0};
    SwarmApi *api = NULL;

    assert_int_equal(swarm_api_open(environment, &api, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "unix:/run/docker.sock"));
    assert_null(swarm_api_close(NULL));
}

static void odd_answers_are_told_from_no(void **state)
{
    static const struct {
        int status;
        const char *body;
        int wanted;
        const char *said; /* of the error; NULL: none */
    } cases[] = {
        {200, SERVICE("x"), 0, NULL},
        {200, SERVICE("x1"), ENGINE_ABSENT, NULL}, /* docker found it by the beginning of an ID */
        {404, "{'message':'service x not found'}", ENGINE_ABSENT, NULL},
        {404, "{'message':'page not found'}", -EIO, "page not found"},
        {404, "<html>", -EIO, "status 404"},
        {200, "<html>", -EBADMSG, "Is that Docker Swarm?"},
        {200, "{'ID':'s1',", -EBADMSG, "JSON"},
        {200, "[]", -EBADMSG, "array instead of object"},
        {200, "{'ID':'s1'}", -EBADMSG, "without ID, Version or Spec"},
        {200, "", -EBADMSG, "instead of object"},
        {401, "{'message':'who are you'}", -EACCES, "who are you"},
        {403, "nothing", -EACCES, "does not let us"},
        {400, "{'message':'client version 1.41 is too old'}", -EINVAL, "is too old"},
        {500, "{'message':'rpc error: code = Unknown desc = The swarm does not have a leader'}",
         ENGINE_AWAY, "does not have a leader"},
        {500, "<html>", ENGINE_AWAY, "status 500"},
        {500, "{'message':'rpc error: code = InvalidArgument desc = no'}", -EIO, ": no"},
        {503, "{'message':'This node is not a swarm manager.'}", ENGINE_AWAY,
         "This node is not a swarm manager."},
        {AS_IT_STANDS, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", -EPROTO,
         "Is that Docker?"},
        {AS_IT_STANDS,
         "HTTP/1.1 404 X\r\nContent-Length: 35\r\n\r\n"
         "{'message':'service x not found.. '}",
         -EPROTO, "Is that Docker?"},
        {AS_IT_STANDS, "HTTP/1.1 200 OK\r\nApi-Version: 1.24\r\nContent-Length: 2\r\n\r\n{}",
         -EPROTO, "version 1.24 of Docker's API; 1.40"},
        {AS_IT_STANDS, "HTTP/1.1 200 OK\r\nApi-Version: 2.1\r\nContent-Length: 2\r\n\r\n{}",
         -EPROTO, "version 2.1"},
        {AS_IT_STANDS, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 50\r\n\r\n{",
         ENGINE_AWAY, "does not answer"},
        {AS_IT_STANDS, "", ENGINE_AWAY, "does not answer"},
        {AS_IT_STANDS, "gibberish\r\n\r\n", ENGINE_AWAY, "does not answer"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        SwarmTalk talk;
        SwarmApi *api = start(&talk, cases[i].status, cases[i].body);
        _cleanup_json_ Json *service = NULL;
        int r = swarm_api_get_service(api, "x", &service, &talk.err);

        if (r != cases[i].wanted ||
            (cases[i].said && !strstr(error_text(&talk.err), cases[i].said))) {
            fail_msg("case %zu: %d %s", i, r, error_text(&talk.err));
        }
        assert_int_equal(service != NULL, r == 0);
        assert_true(cases[i].said || !talk.err.text);
        swarm_talk_assert_asked(&talk, "GET /services/x ");
        api = swarm_api_close(api);
        swarm_talk_stop(&talk);
    }
}

static void an_enormous_answer_is_refused(void **state)
{
    size_t n = HTTP_BODY_MAX + 2;
    _cleanup_free_ char *body = malloc(n + 1);
    _cleanup_json_ Json *service = NULL;
    SwarmTalk talk;
    SwarmApi *api;

    assert_non_null(body);
    memset(body, ' ', n);
    body[0] = '{';
    body[n - 1] = '}';
    body[n] = '\0';
    api = start(&talk, 200, body);
    assert_int_equal(swarm_api_get_service(api, "x", &service, &talk.err), -EFBIG);
    assert_null(service);
    api = swarm_api_close(api);
    swarm_talk_stop(&talk);
}

static void changes_are_told_from_no(void **state)
{
    static const struct {
        int status;
        const char *body;
        int created;
        int updated;
    } cases[] = {
        {201, "{'ID':'s1'}", 0, 0},
        {200, "{'Warnings':null}", 0, 0},
        {500, "{'message':'rpc error: code = Unknown desc = update out of sequence'}", ENGINE_AWAY,
         ENGINE_AWAY},
        {409, "{'message':'name conflicts with an existing object'}", ENGINE_AWAY, -EINVAL},
        {400, "{'message':'rpc error: code = InvalidArgument desc = no'}", -EINVAL, -EINVAL},
        {404, "{'message':'service s1 not found'}", -EIO, -EIO},
        {500, "{'message':'network nosuch not found'}", -EIO, -EIO},
        {503, "{'message':'not a manager'}", ENGINE_AWAY, ENGINE_AWAY},
        {403, "{'message':'no'}", -EACCES, -EACCES},
    };
    _cleanup_json_ Json *service = swarm_json(SERVICE("x"));
    _cleanup_json_ Json *spec = swarm_json("{'Name':'x'}");

    assert_int_equal(setenv("DOCKER_CONFIG", "/nonexistent", 1), 0);
    for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        size_t at = i / 2;
        bool is_update = i % 2;
        SwarmTalk talk;
        SwarmApi *api = start(&talk, cases[at].status, cases[at].body);
        int r = is_update ? swarm_api_update(api, service, spec, &talk.err)
                          : swarm_api_create(api, spec, &talk.err);

        assert_int_equal(r, is_update ? cases[at].updated : cases[at].created);
        assert_int_equal(r != 0, talk.err.text != NULL);
        swarm_talk_assert_asked(&talk, is_update
                                           ? "POST /services/s1/update?version=7 {\"Name\":\"x\"}"
                                           : "POST /services/create {\"Name\":\"x\"}");
        api = swarm_api_close(api);
        swarm_talk_stop(&talk);
    }
}

static void lists_are_asked_for(void **state)
{
    SwarmTalk talk;
    SwarmApi *api = NULL;
    Json *json = NULL;
    char *id = NULL;

    swarm_talk_start(&talk, (const SwarmAnswer[]){
                                {200, "[]"},
                                {200, "[{'ID':'n1','Status':{'State':'down'}},"
                                      "{'ID':'n2','Status':{'State':'ready'}},{}]"},
                                {200, "{'Id':'net1'}"},
                                {404, "{'message':'network b not found'}"},
                                {200, "{'ID':'sec1','Spec':{'Name':'key'}}"},
                                {404, "{'message':'secret key2 not found'}"},
                                {200, ""},
                                {404, "{'message':'service s1 not found'}"},
                                {0},
                            });
    assert_int_equal(swarm_api_open(talk.environment, &api, &talk.err), 0);
    assert_int_equal(swarm_api_get_tasks(api, "s1", &json, &talk.err), 0);
    json = json_unref(json);
    swarm_talk_assert_asked(&talk,
                            "GET /tasks?filters=%7B%22service%22%3A%7B%22s1%22%3Atrue%7D%7D ");
    assert_int_equal(swarm_api_get_down_nodes(api, &json, &talk.err), 0);
    assert_int_equal(json_member_count(json), 1);
    assert_true(json_has(json, "n1"));
    json = json_unref(json);
    assert_int_equal(swarm_api_find_network(api, "a b", &id, &talk.err), 0);
    assert_string_equal(id, "net1");
    free(id);
    id = NULL;
    assert_int_equal(swarm_api_find_network(api, "b", &id, &talk.err), 0);
    assert_null(id);
    swarm_talk_assert_asked(&talk, "GET /nodes ");
    swarm_talk_assert_asked(&talk, "GET /networks/a%20b?scope=swarm ");
    assert_int_equal(swarm_api_find_file(api, "secrets", "key", &id, &talk.err), 0);
    assert_string_equal(id, "sec1");
    free(id);
    assert_int_equal(swarm_api_find_file(api, "secrets", "key2", &id, &talk.err), ENGINE_ABSENT);
    assert_int_equal(swarm_api_remove(api, "s1", &talk.err), 0);
    assert_int_equal(swarm_api_remove(api, "s1", &talk.err), 0);
    api = swarm_api_close(api);
    swarm_talk_stop(&talk);
}

static void what_explains_may_be_missing(void **state)
{
    static const char frames[] = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 6\r\n\r\n"
                                 "plain\n";
    SwarmTalk talk;
    SwarmApi *api = NULL;
    Json *health = NULL;
    char *log = NULL;

    swarm_talk_start(&talk, (const SwarmAnswer[]){
                                {AS_IT_STANDS, frames},
                                {500, "{'message':'no log'}"},
                                {200, "{'State':{'Health':{'Status':'unhealthy'}}}"},
                                {200, "{'State':{}}"},
                                {404, "{'message':'No such container: c'}"},
                                {200, "<html>"},
                                {0},
                            });
    assert_int_equal(swarm_api_open(talk.environment, &api, &talk.err), 0);
    assert_int_equal(swarm_api_get_log(api, "t1", &log), 0);
    assert_string_equal(log, "plain\n");
    free(log);
    log = NULL;
    assert_int_equal(swarm_api_get_log(api, "t1", &log), 0);
    assert_null(log);
    assert_int_equal(swarm_api_get_health(api, "c", &health), 0);
    assert_string_equal(json_get_string(health, "Status"), "unhealthy");
    health = json_unref(health);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(swarm_api_get_health(api, "c", &health), 0);
        assert_null(health);
    }
    swarm_talk_assert_asked(&talk, "GET /tasks/t1/logs?stdout=1&stderr=1&tail=20 ");
    api = swarm_api_close(api);
    swarm_talk_stop(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_wanted),
        cmocka_unit_test(odd_answers_are_told_from_no),
        cmocka_unit_test(an_enormous_answer_is_refused),
        cmocka_unit_test(changes_are_told_from_no),
        cmocka_unit_test(lists_are_asked_for),
        cmocka_unit_test(what_explains_may_be_missing),
    };

    return cmocka_run_group_tests_name("swarm-api", tests, NULL, NULL);
}
