/* SPDX-License-Identifier: MIT */
#include "agent/http/http-response.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

static int add(HttpResponse *response, const char *line)
{
    return http_response_add_line(response, line, strlen(line));
}

static void headers_are_found_whatever_their_case(void **state)
{
    _cleanup_http_response_ HttpResponse response = {0};

    assert_int_equal(add(&response, "HTTP/1.1 401 Unauthorized\r\n"), 0);
    assert_int_equal(add(&response, "WWW-Authenticate: Basic realm=\"a\" \r\n"), 0);
    assert_int_equal(add(&response, "www-authenticate:\tBearer\r\n"), 0);
    assert_int_equal(add(&response, "Empty:\r\n"), 0);
    assert_int_equal(add(&response, "\r\n"), 0);
    assert_int_equal(response.status, 401);
    assert_string_equal(http_response_header(&response, "WWW-Authenticate", 0),
                        "Basic realm=\"a\"");
    assert_string_equal(http_response_header(&response, "WWW-Authenticate", 1), "Bearer");
    assert_null(http_response_header(&response, "WWW-Authenticate", 2));
    assert_string_equal(http_response_header(&response, "empty", 0), "");
    assert_null(http_response_header(&response, "WWW", 0));
}

static void an_interim_answer_is_forgotten(void **state)
{
    _cleanup_http_response_ HttpResponse response = {0};

    assert_int_equal(add(&response, "HTTP/1.1 100 Continue\r\n"), 0);
    assert_int_equal(add(&response, "X-Early: 1\r\n"), 0);
    assert_int_equal(add(&response, "HTTP/1.1 201 Created\r\n"), 0);
    assert_null(http_response_header(&response, "X-Early", 0));
    assert_int_equal(response.status, 201);
}

static void odd_lines(void **state)
{
    static const struct {
        const char *line;
        int status;
    } cases[] = {
        {"HTTP/1.1", 0},       {"HTTP/1.1 ", 0},    {"HTTP/1.1 20", 0},
        {"HTTP/1.1 999 x", 0}, {"HTTP/1.1 2x0", 0}, {"HTTP/1.0 204", 204},
    };
    _cleanup_http_response_ HttpResponse response = {0};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(add(&response, cases[i].line), 0);
        assert_int_equal(response.status, cases[i].status);
    }
    assert_int_equal(add(&response, "no header"), 0);
    assert_int_equal(http_response_add_line(&response, "a: b\0c: d", 9), 0);
    assert_int_equal(response.headers.len, 0);
}

static void headers_have_a_limit(void **state)
{
    _cleanup_http_response_ HttpResponse response = {.headers = BUFFER_INIT(10)};

    assert_int_equal(add(&response, "a: 345678"), 0);
    assert_int_equal(add(&response, "b: 2"), -ENOBUFS);
    assert_string_equal(http_response_header(&response, "a", 0), "345678");
    assert_null(http_response_header(&response, "b", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_found_whatever_their_case),
        cmocka_unit_test(an_interim_answer_is_forgotten),
        cmocka_unit_test(odd_lines),
        cmocka_unit_test(headers_have_a_limit),
    };

    return cmocka_run_group_tests_name("http-response", tests, NULL, NULL);
}
