/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/reference.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void good_ones(void **state)
{
    static const struct {
        const char *text, *whole, *target;
    } cases[] = {
        {"debian", "docker.io/library/debian:latest", "latest"},
        {"debian:12", "docker.io/library/debian:12", "12"},
        {"team/app", "docker.io/team/app:latest", "latest"},
        {"index.docker.io/team/app", "docker.io/team/app:latest", "latest"},
        {"docker.io/debian", "docker.io/library/debian:latest", "latest"},
        {"localhost/app", "localhost/app:latest", "latest"},
        {"localhost:5000/app:v1", "localhost:5000/app:v1", "v1"},
        {"127.0.0.1:5000/a/b/c:1.0", "127.0.0.1:5000/a/b/c:1.0", "1.0"},
        {"[::1]:5000/app", "[::1]:5000/app:latest", "latest"},
        {"Registry.Example.com/app:T_a-g.1", "Registry.Example.com/app:T_a-g.1", "T_a-g.1"},
        {"HOST/app", "HOST/app:latest", "latest"},
        {"r.io/a__b/c--d/e.f:1", "r.io/a__b/c--d/e.f:1", "1"},
        {"r.io/app@sha256:" HEX, "r.io/app@sha256:" HEX, "sha256:" HEX},
        {"r.io/app:1@sha256:" HEX, "r.io/app:1@sha256:" HEX, "sha256:" HEX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_reference_ Reference reference = {0};
        _cleanup_buffer_ Buffer whole = BUFFER_INIT(0);
        _cleanup_error_ Error err = {0};

        if (reference_parse(cases[i].text, &reference, &err) < 0) {
            fail_msg("%s", error_text(&err));
        }
        assert_int_equal(reference_append(&reference, &whole), 0);
        assert_string_equal(buffer_text(&whole), cases[i].whole);
        assert_string_equal(reference_target(&reference), cases[i].target);
    }
}

static void bad_ones(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"", "empty"},
        {"https://r.io/app", "without 'https://'"},
        {"docker://app", "without 'docker://'"},
        {"r.io/App", "lower-case"},
        {"r.io/", "no repository"},
        {"r.io//app", "no repository"},
        {"r.io/app/", "no repository"},
        {"r.io/a..b", "no repository"},
        {"r.io/a___b", "no repository"},
        {"r.io/-a", "no repository"},
        {"r.io/a_", "no repository"},
        {"r.io/a b", "no repository"},
        {"/app", "no repository"},
        {"r.io:port/app", "no host"},
        {"r.io:0/app", "no host"},
        {"r.io:65536/app", "no host"},
        {"-r.io/app", "no host"},
        {"r..io/app", "no host"},
        {"[::1/app", "no host"},
        {"a@b.io/app", "after '@'"},
        {"app:", "no tag"},
        {"app:.x", "no tag"},
        {"app:a:b", "no tag"},
        {"app:x/y z", "no host"},
        {"app@sha256:short", "64 lower-case"},
        {"app@sha256:" HEX "0", "64 lower-case"},
        {"app@sha512:" HEX, "not supported"},
    };
    char tag[4 + 129 + 1] = "app:", name[300] = "r.io/";

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_reference_ Reference reference = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(reference_parse(cases[i].text, &reference, &err), -EINVAL);
        if (!strstr(error_text(&err), cases[i].said)) {
            fail_msg("'%s': %s", cases[i].text, error_text(&err));
        }
        assert_null(reference.host);
    }
    for (size_t n = REFERENCE_TAG_MAX; n <= REFERENCE_TAG_MAX + 1; n++) {
        _cleanup_reference_ Reference reference = {0};

        memset(tag + 4, 't', n);
        assert_int_equal(reference_parse(tag, &reference, NULL),
                         n == REFERENCE_TAG_MAX ? 0 : -EINVAL);
    }
    for (size_t n = REFERENCE_NAME_MAX; n <= REFERENCE_NAME_MAX + 1; n++) {
        _cleanup_reference_ Reference reference = {0};

        memset(name + 5, 'n', n - 5);
        assert_int_equal(reference_parse(name, &reference, NULL),
                         n == REFERENCE_NAME_MAX ? 0 : -EINVAL);
    }
}

static void digests(void **state)
{
    assert_true(reference_is_digest("sha256:" HEX));
    assert_false(reference_is_digest("sha256:0123456789ABCDEF"));
    assert_false(reference_is_digest("sha512:" HEX));
    assert_false(reference_is_digest(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),
        cmocka_unit_test(bad_ones),
        cmocka_unit_test(digests),
    };

    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
