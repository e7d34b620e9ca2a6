/* SPDX-License-Identifier: MIT */
#include "plugin/client/json-value.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static SlipwayJson *parse(const char *text)
{
    SlipwayJson *json = NULL;

    if (slipway_json_parse(text, strlen(text), &json) < 0) {
        fail_msg("%s", text);
    }
    return json;
}

static void assert_json(const SlipwayJson *json, const char *expected)
{
    char *text = slipway_json_format(json);

    assert_string_equal(text, expected);
    free(text);
}

static void parses_or_says_no(void **state)
{
    SlipwayJson *json = NULL;

    assert_int_equal(slipway_json_parse("{\"a\":", 5, &json), -EINVAL);
    assert_int_equal(slipway_json_parse("", 0, &json), -EINVAL);
    assert_null(json);
    json = parse("{\"a\":[1,\"x\"]}");
    assert_json(json, "{\"a\":[1,\"x\"]}");
    assert_null(slipway_json_unref(json));
    assert_null(slipway_json_unref(NULL));
}

#define SAMPLE \
    "{\"s\":\"t\",\"i\":7,\"d\":1.5,\"b\":true,\"n\":null,\"a\":[10,{\"x/y\":\"deep\"}],\"o\":{}}"

static void getters_fall_back(void **state)
{
    SlipwayJson *json = parse(SAMPLE);

    assert_string_equal(slipway_json_get_string(json, "/s", "no"), "t");
    assert_string_equal(slipway_json_get_string(json, "/a/1/x~1y", "no"), "deep");
    assert_string_equal(slipway_json_get_string(json, "/i", "no"), "no");
    assert_string_equal(slipway_json_get_string(json, "/none", "no"), "no");
    assert_null(slipway_json_get_string(NULL, "/s", NULL));
    assert_int_equal(slipway_json_get_int(json, "/i", 1), 7);
    assert_int_equal(slipway_json_get_int(json, "/a/0", 1), 10);
    assert_int_equal(slipway_json_get_int(json, "/d", 1), 1);
    assert_int_equal(slipway_json_get_int(NULL, "", 1), 1);
    assert_true(slipway_json_get_number(json, "/d", 0) == 1.5);
    assert_true(slipway_json_get_number(json, "/i", 0) == 7.0);
    assert_true(slipway_json_get_number(json, "/s", 3) == 3.0);
    assert_true(slipway_json_get_bool(json, "/b", false));
    assert_false(slipway_json_get_bool(json, "/i", false));
    assert_ptr_equal(slipway_json_get(json, ""), json);
    assert_null(slipway_json_get(json, "s"));
    assert_null(slipway_json_get(NULL, ""));
    (void)slipway_json_unref(json);
}

static void types_and_counts(void **state)
{
    static const struct {
        const char *pointer;
        SlipwayJsonType type;
        size_t count;
    } rows[] = {
        {"", SLIPWAY_JSON_OBJECT, 7},    {"/s", SLIPWAY_JSON_STRING, 0},
        {"/i", SLIPWAY_JSON_INTEGER, 0}, {"/d", SLIPWAY_JSON_NUMBER, 0},
        {"/b", SLIPWAY_JSON_BOOLEAN, 0}, {"/n", SLIPWAY_JSON_NULL, 0},
        {"/a", SLIPWAY_JSON_ARRAY, 2},   {"/o", SLIPWAY_JSON_OBJECT, 0},
        {"/none", SLIPWAY_JSON_NULL, 0}, {"/a/1", SLIPWAY_JSON_OBJECT, 1},
    };
    SlipwayJson *json = parse(SAMPLE);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(slipway_json_get_type(json, rows[i].pointer), rows[i].type);
        assert_int_equal(slipway_json_get_count(json, rows[i].pointer), rows[i].count);
    }
    assert_int_equal(slipway_json_get_type(NULL, ""), SLIPWAY_JSON_NULL);
    assert_int_equal(slipway_json_get_count(NULL, ""), 0);
    (void)slipway_json_unref(json);
}

static void walks_members_and_elements(void **state)
{
    SlipwayJson *json = parse("{\"b\":1,\"a\":[2,3],\"n\":null}");
    const SlipwayJson *array = slipway_json_get(json, "/a");
    static const char *const names[] = {"b", "a", "n"};
    SlipwayJsonMember none = {0};
    size_t i = 0;

    for (SlipwayJsonMember m = {0}; slipway_json_next_member(json, &m); i++) {
        assert_string_equal(m.name, names[i]);
        assert_int_equal(m.value == NULL, i == 2);
    }
    assert_int_equal(i, 3);
    assert_false(slipway_json_next_member(array, &none));
    assert_false(slipway_json_next_member(NULL, &none));
    assert_int_equal(slipway_json_get_int(slipway_json_get_element(array, 1), "", 0), 3);
    assert_null(slipway_json_get_element(array, 2));
    assert_null(slipway_json_get_element(json, 0));
    assert_null(slipway_json_get_element(NULL, 0));
    (void)slipway_json_unref(json);
}

/* One step after the other on the same value. */
static const struct {
    const char *pointer;
    const char *value; /* as JSON */
    int r;
    const char *after;
} steps[] = {
    {"/a", "1", 0, "{\"a\":1}"},
    {"/a", "\"x\"", 0, "{\"a\":\"x\"}"},
    {"/o/deep/er", "true", 0, "{\"a\":\"x\",\"o\":{\"deep\":{\"er\":true}}}"},
    {"/o", "[]", 0, "{\"a\":\"x\",\"o\":[]}"},
    {"/o/-", "1", 0, "{\"a\":\"x\",\"o\":[1]}"},
    {"/o/-/k", "2", 0, "{\"a\":\"x\",\"o\":[1,{\"k\":2}]}"},
    {"/o/1/k", "null", 0, "{\"a\":\"x\",\"o\":[1,{\"k\":null}]}"},
    {"/a/b", "1", -EINVAL, NULL}, /* through a string */
    {"/a/b/c", "1", -EINVAL, NULL},
    {"/o/0/k", "1", -EINVAL, NULL}, /* through a number */
    {"/o/0", "1", -EINVAL, NULL},   /* elements are only appended */
    {"/o/9/k", "1", -EINVAL, NULL},
    {"", "1", -EINVAL, NULL},
    {"a", "1", -EINVAL, NULL},
    {"/b~", "1", -EINVAL, NULL},
    {"/b~2", "1", -EINVAL, NULL},
    {"/b~/c", "1", -EINVAL, NULL},
    {"/m~0n~1o", "1", 0, "{\"a\":\"x\",\"o\":[1,{\"k\":null}],\"m~n/o\":1}"},
    {"/", "1", 0, "{\"a\":\"x\",\"o\":[1,{\"k\":null}],\"m~n/o\":1,\"\":1}"},
};

static void set_makes_its_way(void **state)
{
    SlipwayJson *json = slipway_json_new_object();
    const char *now = "{}";

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        SlipwayJson *value = parse(steps[i].value);
        int r = slipway_json_set(json, steps[i].pointer, value);

        (void)slipway_json_unref(value);
        if (r != steps[i].r) {
            fail_msg("'%s': %d", steps[i].pointer, r);
        }
        now = steps[i].after ? steps[i].after : now;
        assert_json(json, now);
    }
    assert_int_equal(slipway_json_set(NULL, "/a", NULL), -EINVAL);
    (void)slipway_json_unref(json);
}

static void set_writes_each_type(void **state)
{
    SlipwayJson *json = slipway_json_new_array();

    assert_int_equal(slipway_json_set_string(json, "/-", "a\"\n"), 0);
    assert_int_equal(slipway_json_set_int(json, "/-", INT64_MIN), 0);
    assert_int_equal(slipway_json_set_number(json, "/-", 0.25), 0);
    assert_int_equal(slipway_json_set_number(json, "/-", 1e300), 0);
    assert_int_equal(slipway_json_set_bool(json, "/-", true), 0);
    assert_int_equal(slipway_json_set(json, "/-", NULL), 0);
    assert_int_equal(slipway_json_set_number(json, "/-", INFINITY), -EINVAL);
    assert_int_equal(slipway_json_set_number(json, "/-", NAN), -EINVAL);
    assert_json(json, "[\"a\\\"\\n\",-9223372036854775808,0.25,1.0000000000000001e+300,true,null]");
    (void)slipway_json_unref(json);
}

/* Every number comes back as the one that it was, the largest and the smallest included. */
static void numbers_survive(void **state)
{
    static const double numbers[] = {0.0,
                                     -0.0,
                                     0.1,
                                     1.0 / 3,
                                     1e15,
                                     1e17,
                                     123456789012345678.0,
                                     1e22,
                                     9223372036854775808.0,
                                     1.7976931348623157e308,
                                     5e-324,
                                     -1e-7};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        SlipwayJson *json = slipway_json_new_object(), *again;
        char *text;

        assert_int_equal(slipway_json_set_number(json, "/n", numbers[i]), 0);
        text = slipway_json_format(json);
        again = parse(text);
        if (slipway_json_get_number(again, "/n", 42) != numbers[i]) {
            fail_msg("%s", text);
        }
        free(text);
        (void)slipway_json_unref(again);
        (void)slipway_json_unref(json);
    }
}

static void set_shares_the_value(void **state)
{
    SlipwayJson *json = slipway_json_new_object(), *shared = parse("{\"x\":1}");

    assert_int_equal(slipway_json_set(json, "/a", shared), 0);
    assert_int_equal(slipway_json_set(json, "/b", shared), 0);
    assert_int_equal(slipway_json_set_int(shared, "/x", 2), 0);
    (void)slipway_json_unref(shared);
    assert_json(json, "{\"a\":{\"x\":2},\"b\":{\"x\":2}}");
    shared = slipway_json_ref(slipway_json_get(json, "/a"));
    (void)slipway_json_unref(json);
    assert_json(shared, "{\"x\":2}");
    (void)slipway_json_unref(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_or_says_no), cmocka_unit_test(getters_fall_back),
        cmocka_unit_test(types_and_counts),  cmocka_unit_test(walks_members_and_elements),
        cmocka_unit_test(set_makes_its_way), cmocka_unit_test(set_writes_each_type),
        cmocka_unit_test(numbers_survive),   cmocka_unit_test(set_shares_the_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
