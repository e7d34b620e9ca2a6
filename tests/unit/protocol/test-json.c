/* SPDX-License-Identifier: MIT */
#include "protocol/base/text.h"
#include "protocol/json.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
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

static void assert_json(const Json *value, const char *expected)
{
    _cleanup_buffer_ Buffer b = {0};

    assert_int_equal(json_format(value, &b), 0);
    assert_string_equal(buffer_text(&b), expected);
}

/* ---- parsing ----------------------------------------------------------------------------------
 */

/* A text, and how it is written again; NULL: the same. */
static const struct {
    const char *text;
    const char *formatted;
} good[] = {
    {"null", NULL},
    {"true", NULL},
    {"false", NULL},
    {"0", NULL},
    {"-1", NULL},
    {"9223372036854775807", NULL},
    {"-9223372036854775808", NULL},
    {"0.5", NULL},
    {"-1.5e-3", NULL},
    {"1E+2", NULL},
    {"1.0", NULL},
    {"0.1", NULL},
    {"1e308", NULL},
    {"1e-400", NULL}, /* so small that it is zero, which is near enough */
    {"\"\"", NULL},
    {"\"a\"", NULL},
    {"{}", NULL},
    {"[]", NULL},
    {" [ 1 ,\t{ \"a\" :\r\n null } ] ", "[1,{\"a\":null}]"},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
    {"\"\\u00e9\\u20AC\\uD83D\\uDE00\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {"\"\\u001f\\u0001\"", NULL},
    {"\"\\ufffe\\uffff\"", "\"\xef\xbf\xbe\xef\xbf\xbf\""},
    {"\"\x7f\"", NULL},
    {"{\"b\":1,\"a\":2}", NULL}, /* members keep their order */
    {"{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"},
    {"{\"\":{\"\":[]}}", NULL},
};

static void takes_json_and_writes_it_again(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        _cleanup_json_ Json *value = parse(good[i].text);

        assert_json(value, good[i].formatted ? good[i].formatted : good[i].text);
    }
}

static const struct {
    const char *text;
    const char *problem;
} bad[] = {
    {"", "line 1, column 1: the text ends where a value is expected"},
    {" \n ", "line 2, column 2: the text ends where a value is expected"},
    {"{", "line 1, column 2: a member name in double quotes is expected here"},
    {"{\"a\"}", "line 1, column 5: ':' is expected after a member name"},
    {"{\"a\":}", "line 1, column 6: a value is expected here"},
    {"{\"a\":1", "line 1, column 7: ',' or '}' is expected here"},
    {"{\"a\":1,}", "line 1, column 8: a member name in double quotes is expected here"},
    {"{\"a\":1 \"b\":2}", "line 1, column 8: ',' or '}' is expected here"},
    {"{a:1}", "line 1, column 2: a member name in double quotes is expected here"},
    {"{'a':1}", "line 1, column 2: a member name in double quotes is expected here"},
    {"{1:1}", "line 1, column 2: a member name in double quotes is expected here"},
    {"[", "line 1, column 2: the text ends where a value is expected"},
    {"[1", "line 1, column 3: ',' or ']' is expected here"},
    {"[1,]", "line 1, column 4: a value is expected here"},
    {"[,1]", "line 1, column 2: a value is expected here"},
    {"[1}", "line 1, column 3: ',' or ']' is expected here"},
    {"]", "line 1, column 1: a value is expected here"},
    {"1 2", "line 1, column 3: more text after the value"},
    {"{} x", "line 1, column 4: more text after the value"},
    {"nul", "line 1, column 1: a value is expected here"},
    {"nulll", "line 1, column 5: more text after the value"},
    {"True", "line 1, column 1: a value is expected here"},
    {"NaN", "line 1, column 1: a value is expected here"},
    {"Infinity", "line 1, column 1: a value is expected here"},
    {"-Infinity", "line 1, column 2: a number is not complete"},
    {"// x\n1", "line 1, column 1: a value is expected here"},
    {"/* x */ 1", "line 1, column 1: a value is expected here"},
    {"\xef\xbb\xbf{}", "line 1, column 1: a value is expected here"}, /* byte order mark */
    {"\f1", "line 1, column 1: a value is expected here"},
    /* numbers */
    {"01", "line 1, column 2: more text after the value"},
    {"-01", "line 1, column 3: more text after the value"},
    {"-", "line 1, column 2: a number is not complete"},
    {"+1", "line 1, column 1: a value is expected here"},
    {".5", "line 1, column 1: a value is expected here"},
    {"1.", "line 1, column 3: a number is not complete"},
    {"1.e5", "line 1, column 3: a number is not complete"},
    {"1e", "line 1, column 3: a number is not complete"},
    {"1e+", "line 1, column 4: a number is not complete"},
    {"0x10", "line 1, column 2: more text after the value"},
    {"[1,9223372036854775808]",
     "line 1, column 4: a whole number does not fit 64 bits; write it as a string"},
    {"-9223372036854775809",
     "line 1, column 1: a whole number does not fit 64 bits; write it as a string"},
    {"18446744073709551615",
     "line 1, column 1: a whole number does not fit 64 bits; write it as a string"},
    {"[1e309]", "line 1, column 2: a number is too large"},
    {"-1e99999999999999999999", "line 1, column 1: a number is too large"},
    /* strings */
    {"\"", "line 1, column 2: a string is not closed"},
    {"\"a", "line 1, column 3: a string is not closed"},
    {"\"a\\\"", "line 1, column 5: a string is not closed"},
    {"\"\n\"", "line 1, column 2: a control character stands in a string; escape it"},
    {"\"\x1f\"", "line 1, column 2: a control character stands in a string; escape it"},
    {"\"\\x41\"", "line 1, column 4: unknown escape in a string"},
    {"\"\\", "line 1, column 3: unknown escape in a string"},
    {"\"\\u12", "line 1, column 6: a \\u escape needs four hexadecimal digits"},
    {"\"\\u12g4\"", "line 1, column 6: a \\u escape needs four hexadecimal digits"},
    {"\"\\u+123\"", "line 1, column 4: a \\u escape needs four hexadecimal digits"},
    {"\"\\u 123\"", "line 1, column 4: a \\u escape needs four hexadecimal digits"},
    {"\"\\u0000\"", "line 1, column 8: \\u0000 is not accepted in a string"},
    {"{\"a\\u0000\":1}", "line 1, column 10: \\u0000 is not accepted in a string"},
    {"\"\\ud800\"", "line 1, column 8: a surrogate stands alone"},
    {"\"\\ud800x\"", "line 1, column 8: a surrogate stands alone"},
    {"\"\\ud800\\n12345\"", "line 1, column 8: a surrogate stands alone"},
    {"\"\\ud800\\ud800\"", "line 1, column 14: a surrogate stands alone"},
    {"\"\\ud800\\u0041\"", "line 1, column 14: a surrogate stands alone"},
    {"\"\\udc00\\ud800\"", "line 1, column 8: a surrogate stands alone"},
    /* not UTF-8; the column counts characters */
    {"\"\xc3\xa9\xff\"", "line 1, column 3: not UTF-8"},
    {"{}\xc0\x80", "line 1, column 3: not UTF-8"},
    {"\"\xed\xa0\x80\"", "line 1, column 2: not UTF-8"},
    {"\"\xe2\x82", "line 1, column 2: not UTF-8"},
    {"{\n  \"\xc3\xa9\": 1,\n  \xe2\x82\xac\n}",
     "line 3, column 3: a member name in double quotes is expected here"},
};

static void refuses_everything_else_with_the_place(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_error_ Error err = {0};
        Json *value = NULL;

        if (json_parse(bad[i].text, strlen(bad[i].text), &value, &err) != -EINVAL) {
            fail_msg("'%s' was taken", bad[i].text);
        }
        assert_null(value);
        assert_string_equal(error_text(&err), bad[i].problem);
    }
}

static void refuses_nul_bytes(void **state)
{
    static const char texts[][6] = {"\"a\0b\"", "1\0", "\0", "[1\0]", "{}\0"};
    static const size_t lens[] = {5, 2, 1, 4, 3};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        Json *value;

        assert_int_equal(json_parse(texts[i], lens[i], &value, NULL), -EINVAL);
    }
}

/* It looks at `n` bytes, wherever the memory ends. */
static void stops_at_the_length(void **state)
{
    static const char text[] = "[12]345";
    _cleanup_json_ Json *value = NULL, *number = NULL;

    assert_int_equal(json_parse(text, 4, &value, NULL), 0);
    assert_json(value, "[12]");
    assert_int_equal(json_parse(text + 4, 2, &number, NULL), 0);
    assert_json(number, "34");
    for (size_t n = 0; n < 4; n++) {
        Json *cut;
        char *exact = malloc(n ? n : 1);

        memcpy(exact, text, n);
        assert_int_equal(json_parse(exact, n, &cut, NULL), -EINVAL);
        free(exact);
    }
}

/* Whatever bytes text_append_json() is given, what it writes can be read. */
static void written_strings_can_be_read(void **state)
{
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            const char bytes[] = {(char)first, (char)second, 'x'};
            _cleanup_buffer_ Buffer text = {0};
            _cleanup_json_ Json *value = NULL;

            assert_int_equal(text_append_json(&text, bytes, sizeof(bytes)), 0);
            assert_int_equal(json_parse(text.data, text.len, &value, NULL), 0);
            if (first > 0 && second > 0 && text_is_utf8(bytes, sizeof(bytes))) {
                assert_int_equal(json_as_string_len(value), sizeof(bytes));
                assert_memory_equal(json_as_string(value), bytes, sizeof(bytes));
            }
        }
    }
}

static void depth_is_limited(void **state)
{
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        for (int is_object = 0; is_object < 2; is_object++) {
            _cleanup_buffer_ Buffer text = {0};
            _cleanup_json_ Json *value = NULL;
            _cleanup_error_ Error err = {0};

            for (size_t i = 0; i < depth; i++) {
                assert_int_equal(buffer_append_text(&text, is_object ? "{\"a\":" : "["), 0);
            }
            assert_int_equal(buffer_append_text(&text, is_object ? "1" : ""), 0);
            for (size_t i = 0; i < depth; i++) {
                assert_int_equal(buffer_append_text(&text, is_object ? "}" : "]"), 0);
            }
            if (depth <= JSON_DEPTH_MAX) {
                assert_int_equal(json_parse(text.data, text.len, &value, NULL), 0);
            } else {
                assert_int_equal(json_parse(text.data, text.len, &value, &err), -EINVAL);
                assert_non_null(strstr(error_text(&err), "nested too deep"));
            }
        }
    }
}

static void digits_are_limited(void **state)
{
    char text[600];

    for (size_t n = 398; n <= 402; n++) {
        _cleanup_json_ Json *value = NULL;
        _cleanup_error_ Error err = {0};

        memset(text, '1', sizeof(text));
        memcpy(text, "0.", 2);
        if (n <= 400) {
            assert_int_equal(json_parse(text, n, &value, NULL), 0);
        } else {
            assert_int_equal(json_parse(text, n, &value, &err), -EINVAL);
            assert_string_equal(error_text(&err), "line 1, column 1: a number has too many digits");
        }
    }
}

/* Much of each shape that could make a parser slow. A quadratic one would be noticed. */
static void large_texts_are_parsed_in_time(void **state)
{
    static const char *const pieces[] = {"1,", "[],", "\"\\u00e9\",", "{\"a\":1},", " \n1,"};

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        _cleanup_buffer_ Buffer text = {0};
        _cleanup_json_ Json *value = NULL;
        size_t count = 0;

        assert_int_equal(buffer_append_text(&text, "["), 0);
        for (; text.len < 100000; count++) {
            assert_int_equal(buffer_append_text(&text, pieces[i]), 0);
        }
        assert_int_equal(buffer_append_text(&text, "0]"), 0);
        assert_int_equal(json_parse(text.data, text.len, &value, NULL), 0);
        assert_int_equal(json_length(value), count + 1);
    }
}

static void many_members_are_parsed_in_time(void **state)
{
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_json_ Json *value = NULL;

    assert_int_equal(buffer_append_text(&text, "{\"x\":0"), 0);
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(buffer_append_format(&text, ",\"n%d\":%d", i, i), 0);
    }
    assert_int_equal(buffer_append_text(&text, "}"), 0);
    assert_int_equal(json_parse(text.data, text.len, &value, NULL), 0);
    assert_int_equal(json_member_count(value), 20001);
    assert_int_equal(json_get_int(value, "n19999", 0), 19999);
}

static void strict_reading_leaves_no_two_readings(void **state)
{
    static const struct {
        const char *text;
        const char *problem;
    } rows[] = {
        {"{\"a\":1,\"b\":{\"a\":2}}", NULL},
        {"[{\"a\":1},{\"a\":2}]", NULL},
        {"{\"a\":1,\"a\":1}", "a second member of the same name"},
        {"{\"x\":{\"a\":1,\"b\":2,\"a\":3}}", "a second member of the same name"},
        {"{\"\\u0061\":1}", "a member name must be written without escapes here"},
        {"{\"a\":\"\\u0061\"}", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        _cleanup_json_ Json *value = NULL;
        int r = json_parse_strict(rows[i].text, strlen(rows[i].text), &value, &err);

        assert_int_equal(r, rows[i].problem ? -EINVAL : 0);
        if (rows[i].problem) {
            assert_non_null(strstr(error_text(&err), rows[i].problem));
        }
    }
}

static void strict_reading_limits_members(void **state)
{
    for (int count = JSON_STRICT_MEMBERS_MAX; count <= JSON_STRICT_MEMBERS_MAX + 1; count++) {
        _cleanup_buffer_ Buffer text = {0};
        _cleanup_json_ Json *value = NULL;

        for (int i = 0; i < count; i++) {
            assert_int_equal(buffer_append_format(&text, "%c\"n%d\":0", i ? ',' : '{', i), 0);
        }
        assert_int_equal(buffer_append_text(&text, "}"), 0);
        assert_int_equal(json_parse_strict(text.data, text.len, &value, NULL),
                         count <= JSON_STRICT_MEMBERS_MAX ? 0 : -EINVAL);
    }
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static void getters_answer_absent_for_another_type(void **state)
{
    _cleanup_json_ Json *j =
        parse("{\"s\":\"t\",\"i\":7,\"d\":1.5,\"b\":true,\"n\":null,\"a\":[1,null],\"o\":{}}");

    assert_string_equal(json_get_string(j, "s"), "t");
    assert_null(json_get_string(j, "i"));
    assert_null(json_get_string(j, "none"));
    assert_null(json_get_string(NULL, "s"));
    assert_int_equal(json_get_int(j, "i", 1), 7);
    assert_int_equal(json_get_int(j, "d", 1), 1);
    assert_int_equal(json_get_int(j, "s", 1), 1);
    assert_int_equal(json_get_int(j, "b", 2), 2);
    assert_true(json_get_bool(j, "b", false));
    assert_true(json_get_bool(j, "i", true));
    assert_false(json_get_bool(j, "i", false));
    assert_true(json_as_number(json_get(j, "d"), 0) == 1.5);
    assert_true(json_as_number(json_get(j, "i"), 0) == 7.0);
    assert_true(json_as_number(json_get(j, "s"), 9) == 9.0);
    assert_true(json_has(j, "n"));
    assert_null(json_get(j, "n"));
    assert_false(json_has(j, "none"));
    assert_false(json_has(json_get(j, "a"), "0"));
    assert_int_equal(json_length(json_get(j, "a")), 2);
    assert_int_equal(json_length(json_get(j, "o")), 0);
    assert_int_equal(json_length(NULL), 0);
    assert_null(json_at(json_get(j, "a"), 1));
    assert_null(json_at(json_get(j, "a"), 2));
    assert_null(json_at(j, 0));
    assert_int_equal(json_member_count(j), 7);
    assert_int_equal(json_member_count(json_get(j, "a")), 0);
    assert_int_equal(json_as_string_len(json_get(j, "s")), 1);
    assert_int_equal(json_as_string_len(json_get(j, "i")), 0);
}

static void types_have_names(void **state)
{
    static const char *const texts[] = {"null", "true", "1", "1.0", "\"\"", "[]", "{}"};
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_json_ Json *j = parse(texts[i]);

        assert_string_equal(json_type_name(json_type_of(j)), names[i]);
    }
}

static void members_come_in_the_order_of_the_text(void **state)
{
    _cleanup_json_ Json *j = parse("{\"z\":1,\"a\":null,\"m\":[2]}");
    const char *const names[] = {"z", "a", "m"};
    JsonMember none = {0};
    size_t i = 0;

    for (JsonMember m = {0}; json_next_member(j, &m); i++) {
        assert_string_equal(m.name, names[i]);
        assert_ptr_equal(m.value, json_get(j, names[i]));
    }
    assert_int_equal(i, 3);
    assert_false(json_next_member(NULL, &none));
    assert_false(json_next_member(json_get(j, "m"), &none));
}

/* RFC 6901, section 5, and what is no pointer. */
static const struct {
    const char *pointer;
    const char *value; /* NULL: nothing there */
} pointers[] = {
    {"/foo/0", "\"bar\""},
    {"/", "0"},
    {"/a~1b", "1"},
    {"/c%d", "2"},
    {"/e^f", "3"},
    {"/g|h", "4"},
    {"/i\\j", "5"},
    {"/k\"l", "6"},
    {"/ ", "7"},
    {"/m~0n", "8"},
    {"/~01", "9"},
    {"/foo", "[\"bar\",\"baz\"]"},
    {"/foo/2", NULL},
    {"/foo/-", NULL},
    {"/foo/00", NULL},
    {"/foo/01", NULL},
    {"/foo/", NULL},
    {"/foo/0/x", NULL},
    {"/foo/18446744073709551616", NULL},
    {"/foo/99999999999999999999999999", NULL},
    {"/none", NULL},
    {"/fo", NULL},
    {"/fooo", NULL},
    {"foo", NULL},
    {"#/foo", NULL},
    {"/m~n", NULL},
    {"/m~2n", NULL},
    {"/m~", NULL},
    {"/foo~", NULL},
    {"/null", NULL},
    {"/null/x", NULL},
};

static void pointers_follow_rfc_6901(void **state)
{
    _cleanup_json_ Json *j = parse("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,"
                                   "\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,"
                                   "\"m~n\":8,\"~1\":9,\"null\":null}");

    assert_ptr_equal(json_pointer(j, ""), j);
    assert_null(json_pointer(NULL, "/a"));
    for (size_t i = 0; i < ARRAY_SIZE(pointers); i++) {
        Json *found = json_pointer(j, pointers[i].pointer);

        if (!found != !pointers[i].value) {
            fail_msg("%s", pointers[i].pointer);
        }
        if (found) {
            assert_json(found, pointers[i].value);
        }
    }
}

static void tokens_are_escaped(void **state)
{
    static const struct {
        const char *token;
        const char *pointer;
    } rows[] = {
        {"", "/x/"}, {"a", "/x/a"}, {"/", "/x/~1"}, {"~", "/x/~0"}, {"~1/~0", "/x/~01~1~00"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buffer_ Buffer pointer = {0};

        assert_int_equal(json_pointer_append(&pointer, "x"), 0);
        assert_int_equal(json_pointer_append(&pointer, rows[i].token), 0);
        assert_string_equal(buffer_text(&pointer), rows[i].pointer);
    }
}

static void places_are_found(void **state)
{
    static const char text[] = "{\n"
                               "  \"a\": {\"x/y\": 1,\n"
                               "        \"\xc3\xa9\": 2, \"z\": 3},\n"
                               "  \"list\": [\n"
                               "    10, 20,\n"
                               "    {\"deep\": []}\n"
                               "  ],\n"
                               "  \"twice\": {\"in\": 1},\n"
                               "  \"twice\": {\"on\": 1}\n"
                               "}\n";
    static const struct {
        const char *pointer;
        unsigned line, column;
    } rows[] = {
        {"", 1, 1},
        {"/a", 2, 3},
        {"/a/x~1y", 2, 9},
        {"/a/\xc3\xa9", 3, 9},
        {"/a/z", 3, 17}, /* characters, not bytes */
        {"/list", 4, 3},
        {"/list/0", 5, 5},
        {"/list/1", 5, 9},
        {"/list/2", 6, 5},
        {"/list/2/deep", 6, 6},
        {"/list/3", 4, 3}, /* not there: the nearest parent that is */
        {"/list/00", 4, 3},
        {"/a/none/more", 2, 3},
        {"/none", 1, 1},
        {"/twice", 9, 3}, /* the last one counts */
        {"/twice/on", 9, 13},
        {"/twice/in", 9, 3},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        unsigned line = 0, column = 0;

        json_locate(text, strlen(text), rows[i].pointer, &line, &column);
        if (line != rows[i].line || column != rows[i].column) {
            fail_msg("%s: line %u, column %u", rows[i].pointer, line, column);
        }
    }
}

/* ---- building ---------------------------------------------------------------------------------
 */

static void builds_what_it_reads(void **state)
{
    _cleanup_json_ Json *j = json_new_object(), *again = NULL;
    _cleanup_buffer_ Buffer b = {0};
    Json *list = json_new_array();

    assert_int_equal(json_set_string(j, "s", "a\"b\n\x01/"), 0);
    assert_int_equal(json_set_string(j, "absent", NULL), 0);
    assert_int_equal(json_set_int(j, "min", INT64_MIN), 0);
    assert_int_equal(json_set_bool(j, "b", false), 0);
    assert_int_equal(json_set_null(j, "n"), 0);
    assert_int_equal(json_append_string(list, "x"), 0);
    assert_int_equal(json_append_null(list), 0);
    assert_int_equal(json_append_take(list, json_new_string_n("abcdef", 3)), 0);
    assert_int_equal(json_set_take(j, "list", list), 0);
    assert_json(j, "{\"s\":\"a\\\"b\\n\\u0001/\",\"min\":-9223372036854775808,\"b\":false,"
                   "\"n\":null,\"list\":[\"x\",null,\"abc\"]}");
    assert_int_equal(json_format(j, &b), 0);
    assert_int_equal(json_parse(b.data, b.len, &again, NULL), 0);
    assert_true(json_equal(j, again));

    assert_int_equal(json_set_int(j, "s", 1), 0); /* replaces, in its place */
    json_remove(j, "min");
    json_remove(j, "none");
    assert_json(j, "{\"s\":1,\"b\":false,\"n\":null,\"list\":[\"x\",null,\"abc\"]}");
    assert_false(json_equal(j, again));
}

static void texts_from_anywhere_can_be_read_again(void **state)
{
    _cleanup_json_ Json *j = json_new_object(), *again = NULL;
    _cleanup_buffer_ Buffer b = {0};

    assert_int_equal(json_set_string(j, "latin1",
                                     "Gr\xfc\xdf"
                                     "e"),
                     0);
    assert_int_equal(json_set_take(j, "nul", json_new_string_n("a\0b", 3)), 0);
    assert_int_equal(json_format(j, &b), 0);
    assert_int_equal(json_parse(b.data, b.len, &again, NULL), 0);
    assert_string_equal(json_get_string(again, "latin1"), "Gr\xef\xbf\xbd\xef\xbf\xbd"
                                                          "e");
    assert_string_equal(json_get_string(again, "nul"), "a\xef\xbf\xbd"
                                                       "b");
    assert_true(json_equal(j, again));
}

static void setters_consume_also_when_they_fail(void **state)
{
    _cleanup_json_ Json *j = json_new_object();

    assert_int_equal(json_set_take(NULL, "a", json_new_string("freed")), -ENOMEM);
    assert_int_equal(json_append_take(NULL, json_new_string("freed")), -ENOMEM);
    assert_int_equal(json_set_take(j, "a", NULL), -ENOMEM);
    assert_int_equal(json_member_count(j), 0);
}

static void copies_are_deep(void **state)
{
    _cleanup_json_ Json *j = parse("{\"a\":[1,{\"b\":1.50}],\"n\":null}"), *copy = NULL;
    Json *nothing = j;

    assert_int_equal(json_copy(j, &copy), 0);
    assert_true(json_equal(j, copy));
    assert_json(copy, "{\"a\":[1,{\"b\":1.50}],\"n\":null}");
    assert_int_equal(json_set_int(json_at(json_get(copy, "a"), 1), "b", 2), 0);
    assert_json(j, "{\"a\":[1,{\"b\":1.50}],\"n\":null}");
    assert_int_equal(json_copy(NULL, &nothing), 0);
    assert_null(nothing);
}

static void equality_is_of_values(void **state)
{
    static const struct {
        const char *a, *b;
        bool is_equal;
    } rows[] = {
        {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true},
        {"[1,2]", "[2,1]", false},
        {"\"\\u00e9\"", "\"\xc3\xa9\"", true},
        {"null", "null", true},
        {"null", "false", false},
        {"{\"a\":null}", "{}", false},
        {"0", "false", false},
        {"\"1\"", "1", false},
        {"1.50", "1.5", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_json_ Json *a = parse(rows[i].a), *b = parse(rows[i].b);

        assert_int_equal(json_equal(a, b), rows[i].is_equal);
        assert_int_equal(json_equal(b, a), rows[i].is_equal);
    }
}

static void pretty_is_for_people_and_the_same_value(void **state)
{
    _cleanup_json_ Json *j = parse("{\"a\":[1,{}],\"path\":\"a/b\"}"), *again = NULL;
    _cleanup_buffer_ Buffer b = {0}, null = {0};

    assert_int_equal(json_format_pretty(j, &b), 0);
    assert_non_null(strchr(buffer_text(&b), '\n'));
    assert_non_null(strstr(buffer_text(&b), "\"a/b\""));
    assert_int_equal(json_parse(b.data, b.len, &again, NULL), 0);
    assert_true(json_equal(j, again));
    assert_int_equal(json_format_pretty(NULL, &null), 0);
    assert_string_equal(buffer_text(&null), "null");
}

static void format_stops_at_the_limit(void **state)
{
    _cleanup_json_ Json *j = parse("[1,2,3]");
    _cleanup_buffer_ Buffer exact = BUFFER_INIT(7), small = BUFFER_INIT(6);

    assert_int_equal(json_format(j, &exact), 0);
    assert_int_equal(json_format(j, &small), -ENOBUFS);
    assert_int_equal(small.len, 0);
}

static void references_are_counted(void **state)
{
    Json *j = parse("[1]"), *second = json_ref(j);

    assert_null(json_unref(j));
    assert_json(second, "[1]");
    assert_null(json_unref(second));
    assert_null(json_unref(NULL));
    assert_null(json_ref(NULL));
}

static void numbers_are_written_as_short_as_they_can_be(void **state)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0.1, "0.1"},
                {1.234, "1.234"},
                {0, "0"},
                {-2.5e-7, "-2.5e-07"},
                {1.0 / 3, "0.33333333333333331"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_json_ Json *value = json_new_number(rows[i].value);
        _cleanup_buffer_ Buffer text = {0};

        assert_int_equal(json_format(value, &text), 0);
        assert_string_equal(text.data, rows[i].text);
    }
    assert_null(json_new_number(1.0 / 0.0));
    assert_null(json_new_number(0.0 / 0.0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_short_as_they_can_be),
        cmocka_unit_test(takes_json_and_writes_it_again),
        cmocka_unit_test(refuses_everything_else_with_the_place),
        cmocka_unit_test(refuses_nul_bytes),
        cmocka_unit_test(stops_at_the_length),
        cmocka_unit_test(written_strings_can_be_read),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(digits_are_limited),
        cmocka_unit_test(large_texts_are_parsed_in_time),
        cmocka_unit_test(many_members_are_parsed_in_time),
        cmocka_unit_test(strict_reading_leaves_no_two_readings),
        cmocka_unit_test(strict_reading_limits_members),
        cmocka_unit_test(getters_answer_absent_for_another_type),
        cmocka_unit_test(types_have_names),
        cmocka_unit_test(members_come_in_the_order_of_the_text),
        cmocka_unit_test(pointers_follow_rfc_6901),
        cmocka_unit_test(tokens_are_escaped),
        cmocka_unit_test(places_are_found),
        cmocka_unit_test(builds_what_it_reads),
        cmocka_unit_test(texts_from_anywhere_can_be_read_again),
        cmocka_unit_test(setters_consume_also_when_they_fail),
        cmocka_unit_test(copies_are_deep),
        cmocka_unit_test(equality_is_of_values),
        cmocka_unit_test(pretty_is_for_people_and_the_same_value),
        cmocka_unit_test(format_stops_at_the_limit),
        cmocka_unit_test(references_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
