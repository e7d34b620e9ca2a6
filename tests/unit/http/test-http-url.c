/* SPDX-License-Identifier: MIT */
#include "agent/http/http-url.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

static void references_are_resolved(void **state)
{
    static const struct {
        const char *base, *reference, *result;
    } cases[] = {
        {"http://h:5000/v2/a", "/v2/b?_state=x%3D", "http://h:5000/v2/b?_state=x%3D"},
        {"http://h/v2/a?q=1", "b", "http://h/v2/b"},
        {"http://h/v2/a?q=1", "?s=2", "http://h/v2/a?s=2"},
        {"https://h/a", "//other/b", "https://other/b"},
        {"http://h/", "HTTPS://Other:1/./b%2f?x=+", "HTTPS://Other:1/./b%2f?x=+"},
        {"http://h/", "ftp://h/", NULL},
        {"http://h/", "file:///etc/passwd", NULL},
        {"http://h/", "http://user:password@h/", NULL},
        {"http://h/", "http://user@h/", NULL},
        {"http://h/", "http://", NULL},
        {"unix:/s", "/b", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *got = NULL;
        _cleanup_error_ Error err = {0};
        int r = http_url_resolve(cases[i].base, cases[i].reference, &got, &err);

        assert_int_equal(r, cases[i].result ? 0 : -EINVAL);
        if (cases[i].result) {
            assert_string_equal(got, cases[i].result);
        } else {
            assert_null(got);
        }
    }
}

static void origins(void **state)
{
    static const struct {
        const char *a, *b;
        bool is_same;
    } cases[] = {
        {"http://h/a", "http://H:80/b", true},
        {"https://h/", "https://h:443/", true},
        {"https://h/", "http://h/", false},
        {"http://h:1/", "http://h:2/", false},
        {"http://h.example/", "http://h.example.evil/", false},
        {"http://h/", "nonsense:", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(http_url_is_same_origin(cases[i].a, cases[i].b), cases[i].is_same);
        assert_int_equal(http_url_is_same_origin(cases[i].b, cases[i].a), cases[i].is_same);
    }
}

static void this_machine(void **state)
{
    static const char *const ours[] = {"http://localhost:5000", "http://127.0.0.1/x",
                                       "http://127.8.9.1:1", "http://[::1]:5000/",
                                       "HTTPS://LOCALHOST"};
    static const char *const others[] = {"http://localhost.evil", "http://128.0.0.1",
                                         "http://[::2]",          "http://127.0.0.1.evil/",
                                         "http://a/127.0.0.1",    ""};

    for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
        assert_true(http_url_is_loopback(ours[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_false(http_url_is_loopback(others[i]));
    }
    assert_true(http_url_is_https("HTTPS://x"));
    assert_false(http_url_is_https("http://x"));
}

static void hosts(void **state)
{
    static const struct {
        const char *url, *host;
    } cases[] = {{"http://h/x", "h"},
                 {"https://h:5000/x?y", "h:5000"},
                 {"http://[::1]:5/", "[::1]:5"},
                 {"x:", NULL}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *host = NULL;
        _cleanup_error_ Error err = {0};

        assert_int_equal(http_url_host(cases[i].url, &host, &err), cases[i].host ? 0 : -EINVAL);
        assert_true(!cases[i].host || strcmp(host, cases[i].host) == 0);
    }
}

static void what_is_shown_and_escaped(void **state)
{
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0), shown = BUFFER_INIT(0);

    assert_int_equal(http_append_escaped(&path, "a-b._~/ü ?&%"), 0);
    assert_string_equal(buffer_text(&path), "a-b._~%2F%C3%BC%20%3F%26%25");
    assert_int_equal(http_url_append_shown(&shown, "https://s3/blob?signature=secret#x"), 0);
    assert_string_equal(buffer_text(&shown), "https://s3/blob");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_resolved),
        cmocka_unit_test(origins),
        cmocka_unit_test(this_machine),
        cmocka_unit_test(hosts),
        cmocka_unit_test(what_is_shown_and_escaped),
    };

    return cmocka_run_group_tests_name("http-url", tests, NULL, NULL);
}
