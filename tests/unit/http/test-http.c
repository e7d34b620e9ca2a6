/* SPDX-License-Identifier: MIT */
#include "agent/http/http-url.h"
#include "agent/http/http.h"

#include "protocol/base/fd.h"
#include "tests/unit/http/scripted-server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/cmocka.h"

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

static void a_password_has_no_place_in_an_address(void **state)
{
    _cleanup_error_ Error err = {0};
    Http *http = NULL;

    assert_int_equal(http_open("http://user:secret@host", &http, &err), -EINVAL);
    assert_null(strstr(error_text(&err), "secret"));
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
    ScriptedServer server = {0};
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
    ScriptedServer server = {0};

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
    ScriptedServer server = {0};
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
        ScriptedServer server = {0};

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
        ScriptedServer server = {0};

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
    ScriptedServer server = {0};
    Json *json = NULL;

    scripted_server_start(&server, false, (const char *const[]){answer}, 1);
    assert_int_equal(ask(&server, &(HttpRequest){.path = "/"}, &response, &err), 0);
    assert_int_equal(http_response_json(&response, &json, &err), -EBADMSG);
    assert_null(json);
    assert_non_null(strstr(error_text(&err), "status 502"));
    scripted_server_stop(&server);
}

/* ---- content out ------------------------------------------------------------------------------
 */

static ssize_t read_letters(void *userdata, int64_t offset, void *data, size_t n)
{
    const char *text = userdata;
    size_t left = strlen(text) - (size_t)offset;

    n = MIN(n, left);
    memcpy(data, text + offset, n);
    return (ssize_t)n;
}

static void content_goes_out(void **state)
{
    _cleanup_fd_ int fd = memfd_create("content", MFD_CLOEXEC);
    const struct {
        HttpContent content;
        const char *said;
    } cases[] = {
        {{.data = "memory", .size_bytes = 6}, "PATCH /up memory text/plain"},
        {{.data = "", .size_bytes = 0}, "PATCH /up  text/plain"},
        {{.fd = fd, .offset = 2, .size_bytes = 3}, "PATCH /up llo text/plain"},
        {{.read = read_letters, .userdata = (char *)"letters", .offset = 3, .size_bytes = 4},
         "PATCH /up ters text/plain"},
    };

    assert_int_equal(write(fd, "hello", 5), 5);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *answer = scripted_answer(202, "{}");
        _cleanup_http_response_ HttpResponse response = {0};
        HttpContent content = cases[i].content;
        _cleanup_error_ Error err = {0};
        ScriptedServer server = {.header = "Content-Type"};
        char line[256];

        content.type = "text/plain";
        scripted_server_start(&server, true, (const char *const[]){answer}, 1);
        assert_int_equal(ask(&server,
                             &(HttpRequest){.method = "PATCH",
                                            .path = "/up",
                                            .content = &content,
                                            .timeout_ms = HTTP_TIMEOUT_NONE},
                             &response, &err),
                         0);
        assert_true(scripted_server_next_request(&server, line, sizeof(line)));
        assert_string_equal(line, cases[i].said);
        scripted_server_stop(&server);
    }
}

static void content_that_ends_early_is_an_error(void **state)
{
    _cleanup_fd_ int fd = memfd_create("content", MFD_CLOEXEC);
    HttpContent content = {.fd = fd, .size_bytes = 10};
    _cleanup_free_ char *answer = scripted_answer(202, "{}");
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_error_ Error err = {0};
    ScriptedServer server = {0};

    assert_int_equal(write(fd, "hello", 5), 5);
    scripted_server_start(&server, true, (const char *const[]){answer}, 1);
    assert_int_equal(ask(&server, &(HttpRequest){.method = "PUT", .path = "/", .content = &content},
                         &response, &err),
                     -ENODATA);
    assert_non_null(strstr(error_text(&err), "cannot read what is to be sent"));
    scripted_server_stop(&server);
}

/* ---- body in ----------------------------------------------------------------------------------
 */

typedef struct Taken {
    char text[64];
    int answer; /* what take() says */
} Taken;

static int take(void *userdata, const HttpResponse *response, const void *data, size_t n,
                Error *err)
{
    Taken *taken = userdata;

    assert_int_equal(response->status, 200);
    assert_string_equal(http_response_header(response, "content-type", 0), "application/json");
    assert_true(strlen(taken->text) + n < sizeof(taken->text));
    (void)strncat(taken->text, data, n);
    return taken->answer < 0 ? error_set(err, taken->answer, "not that") : taken->answer;
}

static void a_sink_takes_a_success(void **state)
{
    static const struct {
        int status, answer, result;
        const char *taken, *body;
    } cases[] = {
        {200, 0, 0, "\"news\"", ""},
        {200, 1, 0, "\"news\"", ""},
        {200, -EXDEV, -EXDEV, "\"news\"", ""},
        {404, -EXDEV, 0, "", "\"news\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *answer = scripted_answer(cases[i].status, "\"news\"");
        _cleanup_http_response_ HttpResponse response = {0};
        Taken taken = {.answer = cases[i].answer};
        _cleanup_error_ Error err = {0};
        ScriptedServer server = {0};

        scripted_server_start(&server, true, (const char *const[]){answer}, 1);
        assert_int_equal(ask(&server, &(HttpRequest){.path = "/", .sink = take, .userdata = &taken},
                             &response, &err),
                         cases[i].result);
        assert_string_equal(taken.text, cases[i].taken);
        assert_string_equal(buffer_text(&response.body), cases[i].body);
        assert_true(cases[i].result == 0 || strstr(error_text(&err), "not that"));
        scripted_server_stop(&server);
    }
}

static void the_beginning_of_a_complaint_is_enough(void **state)
{
    _cleanup_free_ char *html = malloc(HTTP_COMPLAINT_MAX + 101), *answer = NULL;
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_error_ Error err = {0};
    ScriptedServer server = {0};
    Taken taken = {0};

    memset(html, 'x', HTTP_COMPLAINT_MAX + 100);
    html[HTTP_COMPLAINT_MAX + 100] = '\0';
    answer = scripted_answer(502, html);
    scripted_server_start(&server, true, (const char *const[]){answer}, 1);
    assert_int_equal(ask(&server, &(HttpRequest){.path = "/", .sink = take, .userdata = &taken},
                         &response, &err),
                     0);
    assert_int_equal(response.status, 502);
    assert_int_equal(response.body.len, HTTP_COMPLAINT_MAX);
    scripted_server_stop(&server);
}

/* The server answers half of what it promised, and then nothing: the whole may take for ever, but
 * a connection without a byte may not. */
static void a_stall_is_noticed(void **state)
{
    const HttpRequest requests[] = {
        {.path = "/", .timeout_ms = HTTP_TIMEOUT_NONE, .stall_timeout_ms = 50},
        {.path = "/", .timeout_ms = HTTP_TIMEOUT_NONE, .reply_timeout_ms = 50},
    };
    static const char *const said[] = {"stalled", "no answer came in time"};
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                                          SCRIPTED_SILENCE};

    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        _cleanup_http_response_ HttpResponse response = {0};
        _cleanup_error_ Error err = {0};
        ScriptedServer server = {.is_patient = true};

        scripted_server_start(&server, true, &answers[i], 1);
        assert_int_equal(ask(&server, &requests[i], &response, &err), HTTP_NO_ANSWER);
        assert_non_null(strstr(error_text(&err), said[i]));
        scripted_server_stop(&server);
    }
}

/* ---- redirects --------------------------------------------------------------------------------
 */

static char *redirect_to(const char *address, const char *path)
{
    char *text = NULL;

    assert_true(asprintf(&text, "HTTP/1.1 307 T\r\nLocation: %s%s\r\nContent-Length: 0\r\n\r\n",
                         address, path) > 0);
    return text;
}

static void a_redirect_takes_no_credentials_along(void **state)
{
    static const char *const headers[] = {"Authorization: Basic c2VjcmV0", "Accept: text/plain",
                                          NULL};
    static const char *const watched[] = {"Authorization", "Accept"};
    static const char *const seen[] = {"GET /blob?signature=1  -",
                                       "GET /blob?signature=1  text/plain"};

    for (size_t i = 0; i < ARRAY_SIZE(watched); i++) {
        _cleanup_free_ char *answer = scripted_answer(200, "{}"), *redirect = NULL, *near = NULL;
        _cleanup_http_response_ HttpResponse response = {0};
        _cleanup_error_ Error err = {0};
        ScriptedServer here = {.header = watched[i]}, there = {.header = watched[i]};
        char line[256];

        scripted_server_start(&there, true, (const char *const[]){answer}, 1);
        redirect = redirect_to(there.address, "/blob?signature=1");
        near = redirect_to("", "/near");
        scripted_server_start(&here, true, (const char *const[]){near, redirect}, 2);
        assert_int_equal(ask(&here,
                             &(HttpRequest){.path = "/v2/", .headers = headers, .max_redirects = 2},
                             &response, &err),
                         0);
        assert_int_equal(response.status, 200);
        assert_non_null(strstr(response.url, "/blob?signature=1"));
        for (int n = 0; n < 2; n++) { /* within the server they do go along */
            assert_true(scripted_server_next_request(&here, line, sizeof(line)));
            assert_non_null(strstr(line, i == 0 ? "Basic c2VjcmV0" : "text/plain"));
        }
        assert_true(scripted_server_next_request(&there, line, sizeof(line)));
        assert_string_equal(line, seen[i]);
        scripted_server_stop(&here);
        scripted_server_stop(&there);
    }
}

static void redirects_have_a_limit(void **state)
{
    _cleanup_free_ char *again = redirect_to("", "/again"), *odd = redirect_to("gopher:", "//x");
    const struct {
        const char *answers[3];
        int result;
    } cases[] = {{{again, again, again}, -ELOOP}, {{odd, "", ""}, -EPROTO}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_http_response_ HttpResponse response = {0};
        _cleanup_error_ Error err = {0};
        ScriptedServer server = {0};

        scripted_server_start(&server, true, cases[i].answers, 3);
        assert_int_equal(
            ask(&server, &(HttpRequest){.path = "/", .max_redirects = 2}, &response, &err),
            cases[i].result);
        assert_non_null(strstr(error_text(&err), "redirect"));
        scripted_server_stop(&server);
    }
}

static void a_header_has_one_line(void **state)
{
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_(http_closep) Http *http = NULL;
    _cleanup_error_ Error err = {0};
    static const char *const headers[] = {"X-A: 1\r\nX-B: 2", NULL};

    assert_int_equal(http_open("http://127.0.0.1:1", &http, &err), 0);
    assert_int_equal(
        http_request(http, &(HttpRequest){.path = "/", .headers = headers}, &response, &err),
        -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_are_none),
        cmocka_unit_test(a_password_has_no_place_in_an_address),
        cmocka_unit_test(json_goes_out_and_comes_in),
        cmocka_unit_test(a_connection_is_kept),
        cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(an_answer_has_a_limit),
        cmocka_unit_test(what_is_not_json_is_said),
        cmocka_unit_test(content_goes_out),
        cmocka_unit_test(content_that_ends_early_is_an_error),
        cmocka_unit_test(a_sink_takes_a_success),
        cmocka_unit_test(the_beginning_of_a_complaint_is_enough),
        cmocka_unit_test(a_stall_is_noticed),
        cmocka_unit_test(a_redirect_takes_no_credentials_along),
        cmocka_unit_test(redirects_have_a_limit),
        cmocka_unit_test(a_header_has_one_line),
    };

    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
