/* SPDX-License-Identifier: MIT */
/* The scanner alone; what json.c makes of it is in test-json.c. */
#include "protocol/json-scan.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int scan(const char *text, bool is_strict, Error *err)
{
    return json_scan(text, strlen(text), is_strict, err);
}

static void what_is_signed_has_each_member_once(void **state)
{
    static const struct {
        const char *text;
        const char *problem; /* NULL: it is right */
    } rows[] = {
        {"{\"a\":1,\"b\":{\"a\":2}}", NULL},
        {"[{\"a\":1},{\"a\":1}]", NULL},
        {"{\"a\":1,\"a\":1}", "line 1, column 9: a second member of the same name"},
        {"{\"b\":{\"a\":1,\n\"a\":2}}", "line 2, column 2: a second member of the same name"},
        {"{\"a\":1,\"\\u0061\":2}", "a member name must be written without escapes here"},
        {"{\"a\":1} ", NULL},
        {"{\"a\":1}x", "more text after the value"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        int r = scan(rows[i].text, true, &err);

        assert_int_equal(r, rows[i].problem ? -EINVAL : 0);
        if (rows[i].problem && !strstr(error_text(&err), rows[i].problem)) {
            fail_msg("%s: '%s'", rows[i].text, error_text(&err));
        }
    }
    assert_int_equal(scan("{\"a\":1,\"a\":1}", false, NULL), 0);
}

static void a_strict_object_has_a_limit(void **state)
{
    _cleanup_buffer_ Buffer text = {0};

    for (int i = 0; i <= JSON_STRICT_MEMBERS_MAX; i++) {
        _cleanup_buffer_ Buffer whole = {0};

        assert_int_equal(buffer_append_format(&text, "%s\"%d\":0", i ? "," : "{", i), 0);
        assert_int_equal(buffer_append_format(&whole, "%s}", text.data), 0);
        assert_int_equal(scan(whole.data, true, NULL), i < JSON_STRICT_MEMBERS_MAX ? 0 : -EINVAL);
        assert_int_equal(scan(whole.data, false, NULL), 0);
    }
}

static void a_pointer_is_followed_token_by_token(void **state)
{
    static const struct {
        const char *target;
        const char *name;
        const char *rest;
    } rows[] = {
        {"/a/b", "a", "/b"}, {"/a", "a", ""},         {"/ab", "a", NULL},   {"/a", "ab", NULL},
        {"", "a", NULL},     {NULL, "a", NULL},       {"/a~1b", "a/b", ""}, {"/a~0b", "a~b", ""},
        {"/", "", ""},       {"/a/b/c", "a", "/b/c"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *rest =
            json_scan_pointer_step(rows[i].target, rows[i].name, strlen(rows[i].name));

        assert_true(!rest == !rows[i].rest);
        if (rest) {
            assert_string_equal(rest, rows[i].rest);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_has_each_member_once),
        cmocka_unit_test(a_strict_object_has_a_limit),
        cmocka_unit_test(a_pointer_is_followed_token_by_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
