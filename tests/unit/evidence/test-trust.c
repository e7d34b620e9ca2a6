/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/trust.h"

#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static Key *key;
static char *pem;

static int set_up(void **state)
{
    _cleanup_buffer_ Buffer text = {0};

    if (key_generate(&key, NULL) < 0 || key_format_public(key, &text, NULL) < 0) {
        return -1;
    }
    pem = buffer_take_text(&text);
    return 0;
}

static int tear_down(void **state)
{
    key = key_free(key);
    free(pem);
    return 0;
}

static Json *one(const char *member, const char *value, const char *roles)
{
    Json *keys = json_new_object(), *object = json_new_object(), *parsed = NULL;

    assert_int_equal(json_parse(roles, strlen(roles), &parsed, NULL), 0);
    assert_int_equal(json_set_string(object, member, value), 0);
    assert_int_equal(json_set_take(object, "roles", parsed), 0);
    assert_int_equal(json_set_take(keys, "ci", object), 0);
    return keys;
}

static void test_a_key_as_text(void **state)
{
    _cleanup_json_ Json *keys = one("publicKey", pem, "[\"builder\",\"approver\"]");
    _cleanup_trust_ Trust trust = {0};

    assert_int_equal(trust_add(&trust, keys, NULL), 0);
    assert_int_equal(trust.count, 1);
    assert_string_equal(trust.keys[0].name, "ci");
    assert_string_equal(key_id(trust.keys[0].key), key_id(key));
    assert_int_equal(trust.keys[0].roles, KEY_ROLE_BUILDER | KEY_ROLE_APPROVER);
}

static void test_a_key_from_a_file(void **state)
{
    char path[] = "/tmp/slipway-test-trust-XXXXXX";
    int fd = mkstemp(path);
    _cleanup_trust_ Trust trust = {0};

    assert_true(fd >= 0);
    assert_int_equal(write(fd, pem, strlen(pem)), (ssize_t)strlen(pem));
    (void)close(fd);
    {
        _cleanup_json_ Json *keys = one("file", path, "[\"tester\"]");

        assert_int_equal(trust_add(&trust, keys, NULL), 0);
    }
    assert_int_equal(unlink(path), 0);
    assert_string_equal(key_id(trust.keys[0].key), key_id(key));
}

static void test_no_keys_are_none(void **state)
{
    _cleanup_trust_ Trust trust = {0};

    assert_int_equal(trust_add(&trust, NULL, NULL), 0);
    assert_int_equal(trust.count, 0);
}

static void test_mistakes_name_the_key(void **state)
{
    static const struct {
        const char *member;
        const char *value; /* NULL: the key's text */
        const char *roles;
        const char *hint;
    } cases[] = {
        {"publicKey", NULL, "[\"boss\"]", "'boss' is no role"},
        {"publicKey", NULL, "[]", "no roles"},
        {"publicKey", "nonsense", "[\"tester\"]", "PEM"},
        {"file", "/nonexistent/key.pub", "[\"tester\"]", "/nonexistent/key.pub"},
        {"neither", "x", "[\"tester\"]", "publicKey"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *keys =
            one(cases[i].member, cases[i].value ? cases[i].value : pem, cases[i].roles);
        _cleanup_trust_ Trust trust = {0};
        _cleanup_error_ Error err = {0};

        assert_true(trust_add(&trust, keys, &err) < 0);
        assert_non_null(strstr(error_text(&err), "the key 'ci'"));
        assert_non_null(strstr(error_text(&err), cases[i].hint));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_as_text),
        cmocka_unit_test(test_a_key_from_a_file),
        cmocka_unit_test(test_no_keys_are_none),
        cmocka_unit_test(test_mistakes_name_the_key),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
