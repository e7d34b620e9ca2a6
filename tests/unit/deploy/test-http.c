/* SPDX-License-Identifier: MIT */
#include "agent/deploy/http.h"

#include "tests/unit/deploy/scripted-server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void addresses_that_are_none(void **state)
{
    static const char *const wrong[] = {
        "",
        "unix:relative",
        "ftp://host",
        "127.0.0.1:80",
        "file:///etc/passwd",
        "http:///nohost",
        "http://host/?query",
        "http://host/#fragment",
        "http://ho st",
    };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        _cleanup_error_ Error err = {0};
        Http *http = NULL;

        assert_int_equal(http_open(wrong[i], &http, &err), -EINVAL);
        assert_null(http);
        assert_non_null(strstr(error_text(&err), wrong[i]));
    }
}

/* Opens, asks once, and gives what came. */
static int ask(ScriptedServer *server, const HttpRequest *request, HttpResponse *response,
               Error *err)
{
    _cleanup_(http_closep) Http *http = NULL;

    assert_int_equal(http_open(server->address, &http, err), 0);
    return http_request(http, request, response, err);
}

static void json_goes_out_and_comes_in(void **state)
{
    _cleanup_free_ char *answer = scripted_answer(201, "{\"deployment\":\"d1\"}");
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_json_ Json *body = json_new_object(), *got = NULL;
    _cleanup_error_ Error err = {0};
    ScriptedServer server;
    char line[256];

    scripted_server_start(&server, false, (const char *const[]){answer}, 1);
    assert_int_equal(json_set_string(body, "id", "x"), 0);
    assert_int_equal(ask(&server,
                         &(HttpRequest){.method = "PUT", .path = "/v1/apps/x?a=b", .body = body},
                         &response, &err),
                     0);
    assert_int_equal(response.status, 201);
    assert_int_equal(http_response_json(&response, &got, &err), 0);
    assert_string_equal(json_get_string(got, "deployment"), "d1");
    assert_true(scripted_server_next_request(&server, line, sizeof(line)));
    assert_string_equal(line, "PUT /v1/apps/x?a=b {\"id\":\"x\"}");
    scripted_server_stop(&server);
}

static void a_connection_is_kept(void **state)
{
    _cleanup_free_ char *answer = scripted_answer(200, "{}");
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_(http_closep) Http *http = NULL;
    _cleanup_error_ Error err = {0};
    ScriptedServer server;

    scripted_server_start(&server, true, (const char *const[]){answer, answer}, 2);
    assert_int_equal(http_open(server.address, &http, &err), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(http_request(http, &(HttpRequest){.path = "/"}, &response, &err), 0);
        assert_int_equal(response.body.len, 2);
    }
    scripted_server_stop(&server);
}

static void a_redirect_is_not_followed(void **state)
{
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_error_ Error err = {0};
    ScriptedServer server;
    char line[256];

    scripted_server_start(&server, true,
                          (const char *const[]){"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n"
                                                "Content-Length: 0\r\n\r\n"},
                          1);
    assert_int_equal(ask(&server, &(HttpRequest){.path = "/here"}, &response, &err), 0);
    assert_int_equal(response.status, 302);
    assert_true(scripted_server_next_request(&server, line, sizeof(line)));
    assert_string_equal(line, "GET /here ");
    assert_false(scripted_server_next_request(&server, line, sizeof(line)));
    scripted_server_stop(&server);
}

static void nobody_answers(void **state)
{
    static const struct {
        const char *answer;
        const char *said;
    } cases[] = {
        {"", "Empty reply"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "transfer closed"},
        {SCRIPTED_SILENCE, "timed out"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_http_response_ HttpResponse response = {0};
        _cleanup_error_ Error err = {0};
        ScriptedServer server;

        scripted_server_start(&server, false, &cases[i].answer, 1);
        assert_int_equal(ask(&server, &(HttpRequest){.path = "/", .timeout_ms = i == 2 ? 30 : 5000},
                             &response, &err),
                         HTTP_NO_ANSWER);
        assert_non_null(strstr(error_text(&err), cases[i].said));
        assert_non_null(strstr(error_text(&err), server.address));
        scripted_server_stop(&server);
    }
}

static void nobody_listens(void **state)
{
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_(http_closep) Http *http = NULL;
    _cleanup_error_ Error err = {0};

    assert_int_equal(http_open("unix:/nonexistent/engine.sock", &http, &err), 0);
    assert_int_equal(http_request(http, &(HttpRequest){.path = "/"}, &response, &err),
                     HTTP_NO_ANSWER);
    assert_string_equal(error_text(&err),
                        "GET / of unix:/nonexistent/engine.sock: No such file or directory");
}

static void an_answer_has_a_limit(void **state)
{
    _cleanup_free_ char *answer = scripted_answer(200, "\"0123456789\"");

    for (size_t max = 11; max <= 12; max++) {
        _cleanup_http_response_ HttpResponse response = {0};
        _cleanup_error_ Error err = {0};
        ScriptedServer server;

        scripted_server_start(&server, false, (const char *const[]){answer}, 1);
        assert_int_equal(
            ask(&server, &(HttpRequest){.path = "/", .max_bytes = max}, &response, &err),
            max == 12 ? 0 : -EFBIG);
        scripted_server_stop(&server);
    }
}

static void what_is_not_json_is_said(void **state)
{
    _cleanup_free_ char *answer = scripted_answer(502, "<html>");
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_error_ Error err = {0};
    ScriptedServer server;
    Json *json = NULL;

    scripted_server_start(&server, false, (const char *const[]){answer}, 1);
    assert_int_equal(ask(&server, &(HttpRequest){.path = "/"}, &response, &err), 0);
    assert_int_equal(http_response_json(&response, &json, &err), -EBADMSG);
    assert_null(json);
    assert_non_null(strstr(error_text(&err), "status 502"));
    scripted_server_stop(&server);
}

static void paths_are_escaped(void **state)
{
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);

    assert_int_equal(http_append_escaped(&path, "a-b._~/ü ?&%"), 0);
    assert_string_equal(buffer_text(&path), "a-b._~%2F%C3%BC%20%3F%26%25");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_are_none), cmocka_unit_test(json_goes_out_and_comes_in),
        cmocka_unit_test(a_connection_is_kept),    cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(nobody_answers),          cmocka_unit_test(nobody_listens),
        cmocka_unit_test(an_answer_has_a_limit),   cmocka_unit_test(what_is_not_json_is_said),
        cmocka_unit_test(paths_are_escaped),
    };

    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
