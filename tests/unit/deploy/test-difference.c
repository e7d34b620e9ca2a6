/* SPDX-License-Identifier: MIT */
#include "agent/deploy/difference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void check(const char *before_text, const char *after_text, size_t max, const char *wanted)
{
    _cleanup_json_ Json *before = NULL, *after = NULL;
    _cleanup_buffer_ Buffer out = BUFFER_INIT(0);

    assert_int_equal(json_parse(before_text, strlen(before_text), &before, NULL), 0);
    assert_int_equal(json_parse(after_text, strlen(after_text), &after, NULL), 0);
    assert_int_equal(difference_append(before, after, max, &out), 0);
    assert_string_equal(buffer_text(&out), wanted);
}

static void every_kind_of_difference(void **state)
{
    static const struct {
        const char *before;
        const char *after;
        const char *wanted;
    } cases[] = {
        {"{\"a\":[1,{\"b\":null}]}", "{\"a\":[1,{\"b\":null}]}", ""},
        {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", ""},
        {"{\"a\":1}", "{\"a\":2}", "  /a: 1 → 2\n"},
        {"{\"a\":1}", "{}", "  /a: 1 → (none)\n"},
        {"{}", "{\"a\":{\"b\":1}}", "  /a: (none) → {\"b\":1}\n"},
        {"{\"a\":null}", "{}", "  /a: null → (none)\n"},
        {"{}", "{\"a\":null}", "  /a: (none) → null\n"},
        {"{\"a\":{\"b/c\":\"x\"}}", "{\"a\":{\"b/c\":\"y\"}}", "  /a/b~1c: \"x\" → \"y\"\n"},
        {"[1,2,3]", "[1,4]", "  /1: 2 → 4\n  /2: 3 → (none)\n"},
        {"{\"a\":[]}", "{\"a\":{}}", "  /a: [] → {}\n"},
        {"1", "\"1\"", "  (top): 1 → \"1\"\n"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check(cases[i].before, cases[i].after, 10, cases[i].wanted);
    }
}

static void many_are_counted(void **state)
{
    check("[1,1,1,1,1]", "[2,2,2,2,2]", 2, "  /0: 1 → 2\n  /1: 1 → 2\n  … and 3 more\n");
}

static void a_long_value_is_cut_between_characters(void **state)
{
    _cleanup_json_ Json *before = json_new_object(), *after = json_new_object();
    _cleanup_buffer_ Buffer out = BUFFER_INIT(0);
    char text[301];

    for (size_t i = 0; i < 300; i += 2) {
        memcpy(text + i, "ü", 2);
    }
    text[300] = '\0';
    assert_int_equal(json_set_string(after, "a", text), 0);
    assert_int_equal(difference_append(before, after, 5, &out), 0);
    assert_true(out.len < 150);
    assert_non_null(strstr(buffer_text(&out), "ü…\n"));
}

static void labels_of_ours_are_passed_over(void **state)
{
    static const char before[] = "{\"labels\":{\"slipway.commit\":\"1\",\"team\":\"a\"}}";
    static const char after[] = "{\"labels\":{\"slipway.commit\":\"2\",\"team\":\"b\"}}";
    _cleanup_json_ Json *a = NULL, *b = NULL;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    assert_int_equal(json_parse(before, strlen(before), &a, NULL), 0);
    assert_int_equal(json_parse(after, strlen(after), &b, NULL), 0);
    assert_int_equal(difference_append(a, b, 10, &text), 0);
    assert_string_equal(buffer_text(&text), "  /labels/team: \"a\" → \"b\"\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_difference),
        cmocka_unit_test(many_are_counted),
        cmocka_unit_test(a_long_value_is_cut_between_characters),
        cmocka_unit_test(labels_of_ours_are_passed_over),
    };

    return cmocka_run_group_tests_name("difference", tests, NULL, NULL);
}
