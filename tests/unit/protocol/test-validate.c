/* SPDX-License-Identifier: MIT */
#include "protocol/validate.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

static Json *parse(const char *text)
{
    _cleanup_error_ Error err = {0};
    Json *value = NULL;

    if (json_parse(text, strlen(text), &value, &err) < 0) {
        fail_msg("%s: %s", text, error_text(&err));
    }
    return value;
}

typedef struct Row {
    const char *schema;
    const char *value;
    const char *mistakes; /* NULL: right */
} Row;

static void check_rows(const Row *rows, size_t n, int expected)
{
    for (size_t i = 0; i < n; i++) {
        _cleanup_json_ Json *schema = parse(rows[i].schema), *value = parse(rows[i].value);
        _cleanup_error_ Error err = {0};
        int r = validate_value(schema, value, NULL, 0, &err);

        if (!rows[i].mistakes) {
            if (r != 0) {
                fail_msg("%s: %s: %s", rows[i].schema, rows[i].value, error_text(&err));
            }
            assert_null(err.text);
            continue;
        }
        if (r != expected) {
            fail_msg("%s: %s: %d", rows[i].schema, rows[i].value, r);
        }
        assert_string_equal(error_text(&err), rows[i].mistakes);
    }
}

/* Every keyword: a value that is right, one that is wrong, and one that it does not speak about. */
static const Row keyword_rows[] = {
    {"{\"type\":\"null\"}", "null", NULL},
    {"{\"type\":\"null\"}", "0", "(top): must be null, not integer"},
    {"{\"type\":\"boolean\"}", "true", NULL},
    {"{\"type\":\"boolean\"}", "1", "(top): must be boolean, not integer"},
    {"{\"type\":\"integer\"}", "1", NULL},
    {"{\"type\":\"integer\"}", "1.5", "(top): must be integer, not number"},
    {"{\"type\":\"integer\"}", "1.0", "(top): must be integer, not number"},
    {"{\"type\":\"number\"}", "1", NULL},
    {"{\"type\":\"number\"}", "1.5", NULL},
    {"{\"type\":\"number\"}", "\"1\"", "(top): must be number, not string"},
    {"{\"type\":\"string\"}", "\"\"", NULL},
    {"{\"type\":\"string\"}", "null", "(top): must be string, not null"},
    {"{\"type\":\"array\"}", "[]", NULL},
    {"{\"type\":\"array\"}", "{}", "(top): must be array, not object"},
    {"{\"type\":\"object\"}", "{}", NULL},
    {"{\"type\":\"object\"}", "[]", "(top): must be object, not array"},
    {"{\"type\":[\"string\",\"null\"]}", "null", NULL},
    {"{\"type\":[\"string\",\"number\"]}", "1", NULL},
    {"{\"type\":[\"string\",\"null\"]}", "1", "(top): must not be integer"},

    {"{\"enum\":[\"a\",1,null,[2]]}", "null", NULL},
    {"{\"enum\":[\"a\",1,null,[2]]}", "[2]", NULL},
    {"{\"enum\":[\"a\",1]}", "\"b\"", "(top): must be one of [\"a\",1]"},
    {"{\"enum\":[]}", "1", "(top): must be one of []"},
    {"{\"const\":{\"a\":1}}", "{\"a\":1}", NULL},
    {"{\"const\":null}", "null", NULL},
    {"{\"const\":null}", "0", "(top): must be null"},
    {"{\"const\":\"x\"}", "\"y\"", "(top): must be \"x\""},

    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"b\":1}", NULL},
    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":1}",
     "/a: must be string, not integer"},
    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":null}",
     "/a: must be string, not null"},
    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "[1]", NULL},
    {"{\"properties\":{\"a\":true,\"b\":false}}", "{\"a\":1}", NULL},
    {"{\"properties\":{\"a\":true,\"b\":false}}", "{\"a\":1,\"b\":1}", "/b: must not be there"},

    {"{\"required\":[\"a\"]}", "{\"a\":null}", NULL},
    {"{\"required\":[\"a\",\"b\",\"c\"]}", "{\"b\":1}",
     "(top): \"a\" is missing\n(top): \"c\" is missing"},
    {"{\"required\":[\"a\"]}", "[]", NULL},

    {"{\"additionalProperties\":true}", "{\"x\":1}", NULL},
    {"{\"additionalProperties\":false}", "{}", NULL},
    {"{\"additionalProperties\":false}", "{\"x\":1}", "/x: unknown member"},
    {"{\"properties\":{\"a\":true},\"additionalProperties\":{\"type\":\"string\"}}",
     "{\"a\":1,\"b\":\"x\"}", NULL},
    {"{\"properties\":{\"a\":true},\"additionalProperties\":{\"type\":\"string\"}}",
     "{\"a\":1,\"b\":2}", "/b: must be string, not integer"},
    {"{\"additionalProperties\":false}", "\"x\"", NULL},

    {"{\"propertyNames\":{\"pattern\":\"^[a-z]+$\"}}", "{\"abc\":1}", NULL},
    {"{\"propertyNames\":{\"pattern\":\"^[a-z]+$\"}}", "{\"abc\":1,\"A/~\":1}",
     "/A~1~0: does not match ^[a-z]+$"},
    {"{\"propertyNames\":{\"maxLength\":1}}", "[\"long\"]", NULL},

    {"{\"minProperties\":1}", "{\"a\":1}", NULL},
    {"{\"minProperties\":1}", "{}", "(top): must have at least 1 members"},
    {"{\"minProperties\":1}", "[]", NULL},
    {"{\"maxProperties\":1}", "{\"a\":1}", NULL},
    {"{\"maxProperties\":1}", "{\"a\":1,\"b\":2}", "(top): must have at most 1 members"},
    {"{\"maxProperties\":0}", "[1]", NULL},

    {"{\"items\":{\"type\":\"string\"}}", "[\"a\",\"b\"]", NULL},
    {"{\"items\":{\"type\":\"string\"}}", "[1,\"b\",null]",
     "/0: must be string, not integer\n/2: must be string, not null"},
    {"{\"items\":false}", "[]", NULL},
    {"{\"items\":false}", "[1]", "/0: must not be there"},
    {"{\"items\":{\"type\":\"string\"}}", "{\"0\":1}", NULL},
    {"{\"minItems\":2}", "[1,2]", NULL},
    {"{\"minItems\":2}", "[1]", "(top): must have at least 2 items"},
    {"{\"minItems\":2}", "{}", NULL},
    {"{\"maxItems\":2}", "[1,2]", NULL},
    {"{\"maxItems\":2}", "[1,2,3]", "(top): must have at most 2 items"},
    {"{\"maxItems\":0}", "\"abc\"", NULL},

    {"{\"minLength\":2}", "\"ab\"", NULL},
    {"{\"minLength\":2}", "\"a\"", "(top): must have at least 2 characters"},
    {"{\"minLength\":2}", "\"\xc3\xa9\"", "(top): must have at least 2 characters"},
    {"{\"minLength\":2}", "[]", NULL},
    {"{\"maxLength\":2}", "\"ab\"", NULL},
    {"{\"maxLength\":2}", "\"\xf0\x9f\x98\x80\xe2\x82\xac\"", NULL}, /* characters, not bytes */
    {"{\"maxLength\":2}", "\"abc\"", "(top): must have at most 2 characters"},
    {"{\"maxLength\":2}", "[1,2,3]", NULL},

    {"{\"minimum\":1}", "1", NULL},
    {"{\"minimum\":1}", "0.5", "(top): must be at least 1"},
    {"{\"minimum\":-1.5}", "-2", "(top): must be at least -1.5"},
    {"{\"minimum\":1}", "\"0\"", NULL},
    {"{\"maximum\":8589934592}", "8589934592", NULL},
    {"{\"maximum\":8589934592}", "8589934593", "(top): must be at most 8589934592"},
    {"{\"maximum\":9007199254740992}", "9007199254740993",
     "(top): must be at most 9007199254740992"}, /* not to be told apart as doubles */
    {"{\"minimum\":9223372036854775807}", "9223372036854775806",
     "(top): must be at least 9223372036854775807"},
    {"{\"maximum\":10}", "1e300", "(top): must be at most 10"},
    {"{\"maximum\":10}", "null", NULL},

    {"{\"pattern\":\"^a+$\"}", "\"aa\"", NULL},
    {"{\"pattern\":\"b\"}", "\"abc\"", NULL}, /* somewhere, unless it says otherwise */
    {"{\"pattern\":\"^a+$\"}", "\"ab\"", "(top): does not match ^a+$"},
    {"{\"pattern\":\"^a+$\"}", "\"aa\\nb\"", "(top): does not match ^a+$"},
    {"{\"pattern\":\"^a+$\",\"description\":\"some a\"}", "\"b\"",
     "(top): does not match ^a+$: some a"},
    {"{\"pattern\":\"^a+$\"}", "7", NULL},

    {"{\"oneOf\":[{\"type\":\"string\"},{\"required\":[\"x\"]}]}", "\"a\"",
     "(top): must have exactly one of its forms"},
    {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"required\":[\"x\"]}]}", "{\"x\":1}",
     NULL},
    {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"null\"}],\"description\":\"text or null\"}",
     "1", "(top): must have exactly one of its forms: text or null"},
    {"{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", "3",
     "(top): must have exactly one of its forms"},
    {"{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", "1", NULL},

    {"{\"$defs\":{\"n\":{\"type\":\"integer\"}},\"items\":{\"$ref\":\"#/$defs/n\"}}", "[1,\"x\"]",
     "/1: must be integer, not string"},
    {"{\"$defs\":{\"a/b\":{\"const\":1}},\"$ref\":\"#/$defs/a~1b\"}", "1", NULL},
    {"{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#\"}}", "{\"a\":{\"b\":{\"c\":1}}}",
     "/a/b/c: must be object, not integer"},

    {"true", "1", NULL},
    {"false", "1", "(top): must not be there"},
    {"{}", "[1]", NULL},
    {"{\"$schema\":1,\"$id\":2,\"$comment\":3,\"title\":4,\"description\":5,\"default\":6,"
     "\"examples\":7,\"$defs\":8}",
     "1", NULL},
};

static void every_keyword_is_kept(void **state)
{
    check_rows(keyword_rows, ARRAY_SIZE(keyword_rows), -EINVAL);
}

static const Row several_rows[] = {
    /* The type first, wherever it stands; of a value of the wrong type nothing else is told. */
    {"{\"minLength\":9,\"type\":\"string\",\"pattern\":\"^b\"}", "\"a\"",
     "(top): must have at least 9 characters\n(top): does not match ^b"},
    {"{\"enum\":[\"a\"],\"type\":\"string\"}", "1", "(top): must be string, not integer"},
    {"{\"type\":\"object\",\"required\":[\"a\"],\"additionalProperties\":false,"
     "\"properties\":{\"n\":{\"type\":\"array\",\"items\":{\"maximum\":1}}}}",
     "{\"n\":[1,2,3],\"x\":1}",
     "(top): \"a\" is missing\n/x: unknown member\n/n/1: must be at most 1\n"
     "/n/2: must be at most 1"},
    {"{\"properties\":{\"a/b\":{\"properties\":{\"m~n\":{\"items\":{\"type\":\"null\"}}}}}}",
     "{\"a/b\":{\"m~n\":[null,1]}}", "/a~1b/m~0n/1: must be null, not integer"},
};

static void every_mistake_is_told_at_once(void **state)
{
    check_rows(several_rows, ARRAY_SIZE(several_rows), -EINVAL);
}

#define KNOWN                                                                       \
    "{\"additionalProperties\":false,\"properties\":{\"timeoutSeconds\":true,"      \
    "\"silenceTimeoutSeconds\":true,\"run\":true,\"parameters\":true,\"url\":true," \
    "\"a-very-long-name-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on\":true}}"

static const Row suggestion_rows[] = {
    {KNOWN, "{\"timeoutSecond\":1}",
     "/timeoutSecond: unknown member; did you mean \"timeoutSeconds\"?"},
    {KNOWN, "{\"TimeoutSeconds\":1}",
     "/TimeoutSeconds: unknown member; did you mean \"timeoutSeconds\"?"},
    {KNOWN, "{\"timeout\":1}", "/timeout: unknown member; did you mean \"timeoutSeconds\"?"},
    {KNOWN, "{\"silenceTimeout\":1}",
     "/silenceTimeout: unknown member; did you mean \"silenceTimeoutSeconds\"?"},
    {KNOWN, "{\"rnu\":1}", "/rnu: unknown member; did you mean \"run\"?"},
    {KNOWN, "{\"prameters\":1}", "/prameters: unknown member; did you mean \"parameters\"?"},
    {KNOWN, "{\"paramters\":1}", "/paramters: unknown member; did you mean \"parameters\"?"},
    {KNOWN, "{\"params\":1}", "/params: unknown member"},
    {KNOWN, "{\"ulr\":1}", "/ulr: unknown member; did you mean \"url\"?"},
    {KNOWN, "{\"action\":1}", "/action: unknown member"},
    {KNOWN, "{\"x\":1}", "/x: unknown member"},
    {KNOWN, "{\"\":1}", "/: unknown member"},
};

static void a_slip_of_the_finger_is_told_as_one(void **state)
{
    check_rows(suggestion_rows, ARRAY_SIZE(suggestion_rows), -EINVAL);
}

#define CANNOT "cannot check against the schema: "

static const Row problem_rows[] = {
    {"{\"minimun\":1}", "1", CANNOT "\"minimun\" is not a keyword that is known here"},
    {"{\"anyOf\":[{}]}", "1", CANNOT "\"anyOf\" is not a keyword that is known here"},
    {"{\"items\":{\"uniqueItems\":true}}", "[[]]",
     CANNOT "\"uniqueItems\" is not a keyword that is known here"},
    {"{\"oneOf\":[{\"format\":\"x\"},{}]}", "1",
     CANNOT "\"format\" is not a keyword that is known here"},
    {"{\"type\":\"strin\"}", "1", CANNOT "\"type\" names a type that there is not"},
    {"{\"type\":7}", "1", CANNOT "\"type\" names a type that there is not"},
    {"{\"type\":[null]}", "1", CANNOT "\"type\" names a type that there is not"},
    {"{\"enum\":1}", "1", CANNOT "\"enum\" must be an array"},
    {"{\"properties\":[]}", "{}", CANNOT "\"properties\" must be an object"},
    {"{\"properties\":{\"a\":null}}", "{\"a\":1}",
     CANNOT "\"properties\" holds something that is no schema"},
    {"{\"required\":\"a\"}", "{}", CANNOT "\"required\" must be an array"},
    {"{\"required\":[null]}", "{}", CANNOT "\"required\" must hold strings only"},
    {"{\"additionalProperties\":1}", "{\"a\":1}",
     CANNOT "\"additionalProperties\" holds something that is no schema"},
    {"{\"items\":[]}", "[1]", CANNOT "\"items\" holds something that is no schema"},
    {"{\"minItems\":\"1\"}", "[1]", CANNOT "\"minItems\" must be a whole number"},
    {"{\"maxLength\":-1}", "1", CANNOT "\"maxLength\" must be a whole number"},
    {"{\"maxLength\":1.5}", "1", CANNOT "\"maxLength\" must be a whole number"},
    {"{\"minimum\":\"1\"}", "1", CANNOT "\"minimum\" must be a number"},
    {"{\"maximum\":null}", "1", CANNOT "\"maximum\" must be a number"},
    {"{\"pattern\":\"([\"}", "\"x\"", CANNOT "\"pattern\" is no POSIX extended regular expression"},
    {"{\"pattern\":7}", "\"x\"", CANNOT "\"pattern\" is no POSIX extended regular expression"},
    {"{\"oneOf\":{}}", "1", CANNOT "\"oneOf\" must be an array of schemas"},
    {"{\"$ref\":\"#/$defs/none\"}", "1", CANNOT "\"$ref\" points nowhere"},
    {"{\"$ref\":\"other.json\"}", "1", CANNOT "\"$ref\" points nowhere"},
    {"{\"$ref\":1}", "1", CANNOT "\"$ref\" points nowhere"},
    {"{\"$ref\":\"#\"}", "1", CANNOT "\"$ref\" goes round in circles"},
    {"{\"oneOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}", "1",
     CANNOT "\"$ref\" goes round in circles"},
    {"[]", "1", CANNOT "\"\" holds something that is no schema"},
};

static void a_schema_at_fault_is_told_as_such(void **state)
{
    check_rows(problem_rows, ARRAY_SIZE(problem_rows), -ENOTSUP);
}

/* A schema that doubles with every level: it ends in time, with or without a verdict. */
static void a_schema_that_explodes_ends(void **state)
{
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_json_ Json *schema = NULL, *value = parse("1");
    _cleanup_error_ Error err = {0};

    assert_int_equal(buffer_append_text(&text, "{\"$defs\":{\"d0\":{\"const\":1}"), 0);
    for (int i = 1; i <= 60; i++) {
        assert_int_equal(buffer_append_format(&text,
                                              ",\"d%d\":{\"oneOf\":[{\"$ref\":\"#/$defs/d%d\"},"
                                              "{\"$ref\":\"#/$defs/d%d\"}]}",
                                              i, i - 1, i - 1),
                         0);
    }
    assert_int_equal(buffer_append_text(&text, "},\"$ref\":\"#/$defs/d60\"}"), 0);
    schema = parse(text.data);
    assert_int_equal(validate_value(schema, value, NULL, 0, &err), -ENOTSUP);
    assert_non_null(strstr(error_text(&err), "takes too long"));
}

static void places_are_given_by_line(void **state)
{
    static const char text[] = "{\n"
                               "  \"name\": 1,\n"
                               "  \"list\": [\n"
                               "    1,\n"
                               "    \"x\"\n"
                               "  ],\n"
                               "  \"lst\": 1\n"
                               "}\n";
    _cleanup_json_ Json *value = parse(text);
    _cleanup_json_ Json *schema =
        parse("{\"required\":[\"id\"],\"additionalProperties\":false,\"properties\":"
              "{\"name\":{\"type\":\"string\"},\"list\":{\"items\":{\"type\":\"integer\"}}}}");
    _cleanup_error_ Error err = {0};

    assert_int_equal(validate_value(schema, value, text, strlen(text), &err), -EINVAL);
    assert_string_equal(error_text(&err), "line 1: (top): \"id\" is missing\n"
                                          "line 7: /lst: unknown member; did you mean \"list\"?\n"
                                          "line 2: /name: must be string, not integer\n"
                                          "line 5: /list/1: must be integer, not string");
}

static void mistakes_are_limited(void **state)
{
    for (unsigned count = VALIDATE_MISTAKES_MAX; count <= VALIDATE_MISTAKES_MAX + 1; count++) {
        _cleanup_json_ Json *schema = parse("{\"items\":{\"type\":\"null\"}}");
        _cleanup_json_ Json *value = json_new_array();
        _cleanup_error_ Error err = {0};
        unsigned lines = 1;

        for (unsigned i = 0; i < count; i++) {
            assert_int_equal(json_append_take(value, json_new_int(i)), 0);
        }
        assert_int_equal(validate_value(schema, value, NULL, 0, &err), -EINVAL);
        for (const char *p = error_text(&err); (p = strchr(p, '\n')); p++) {
            lines++;
        }
        assert_int_equal(lines, count);
        assert_int_equal(!!strstr(error_text(&err), "\n… and 1 more"),
                         count > VALIDATE_MISTAKES_MAX);
    }
}

/* Whoever made the value chose the names: one of a megabyte is not sent back whole. */
static void long_names_are_cut_between_characters(void **state)
{
    _cleanup_json_ Json *schema = parse("{\"additionalProperties\":false}");
    _cleanup_json_ Json *value = json_new_object();
    _cleanup_error_ Error err = {0};
    _cleanup_buffer_ Buffer name = {0}, expected = {0};

    for (int i = 0; i < 300000; i++) {
        assert_int_equal(buffer_append_text(&name, "\xe2\x82\xac"), 0);
    }
    assert_int_equal(json_set_int(value, name.data, 1), 0);
    assert_int_equal(validate_value(schema, value, NULL, 0, &err), -EINVAL);
    assert_int_equal(buffer_append_text(&expected, "/"), 0);
    assert_int_equal(buffer_append(&expected, name.data, 198), 0);
    assert_int_equal(buffer_append_text(&expected, "…: unknown member"), 0);
    assert_string_equal(error_text(&err), buffer_text(&expected));
}

static void long_rules_are_told_whole(void **state)
{
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_json_ Json *schema = NULL, *value = parse("0");
    _cleanup_error_ Error err = {0};

    assert_int_equal(buffer_append_text(&text, "{\"enum\":[1"), 0);
    for (int i = 2; i < 1000; i++) {
        assert_int_equal(buffer_append_format(&text, ",%d", i), 0);
    }
    assert_int_equal(buffer_append_text(&text, "]}"), 0);
    schema = parse(text.data);
    assert_int_equal(validate_value(schema, value, NULL, 0, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), ",998,999]"));
}

/* The largest array that fits on a line, with a mistake at its very end. */
static void large_values_are_checked_in_time(void **state)
{
    _cleanup_json_ Json *schema = parse("{\"items\":{\"type\":\"integer\",\"maximum\":1}}");
    _cleanup_json_ Json *value = json_new_array();
    _cleanup_error_ Error err = {0};

    for (int i = 0; i < 500000; i++) {
        assert_int_equal(json_append_take(value, json_new_int(i == 499999 ? 2 : 1)), 0);
    }
    assert_int_equal(validate_value(schema, value, NULL, 0, &err), -EINVAL);
    assert_string_equal(error_text(&err), "/499999: must be at most 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_keyword_is_kept),
        cmocka_unit_test(every_mistake_is_told_at_once),
        cmocka_unit_test(a_slip_of_the_finger_is_told_as_one),
        cmocka_unit_test(a_schema_at_fault_is_told_as_such),
        cmocka_unit_test(a_schema_that_explodes_ends),
        cmocka_unit_test(places_are_given_by_line),
        cmocka_unit_test(mistakes_are_limited),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(long_rules_are_told_whole),
        cmocka_unit_test(large_values_are_checked_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
