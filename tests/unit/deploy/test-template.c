/* SPDX-License-Identifier: MIT */
#include "agent/deploy/template.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static Json *parsed(const char *text)
{
    Json *j = NULL;

    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return j;
}

static const char own_text[] = "{\"name\":\"greeter\",\"digest\":\"sha256:ab\",\"root\":\"/r 1\","
                               "\"command\":[\"/app/x\",\"$\"],\"nothing\":null}";
static const char environment_text[] =
    "{\"port\":\"8081\",\"count\":3,\"ratio\":0.5,\"half\":\"0.5\",\"on\":true,\"off\":\"false\","
    "\"quote\":\"a\\\"},\\n{b\",\"list\":\"[1,null]\"}";

static int fill(const char *text, const char *call, Json **ret, Error *err)
{
    _cleanup_json_ Json *own = parsed(own_text), *environment = parsed(environment_text);
    _cleanup_json_ Json *of_call = parsed(call);
    TemplateNames names = {.own = own, .environment = environment, .call = of_call};

    return template_fill(text, strlen(text), &names, ret, err);
}

static void values_take_their_places(void **state)
{
    static const struct {
        const char *template;
        const char *filled;
    } cases[] = {
        {"\"plain\"", "\"plain\""},
        {"\"${name}\"", "\"greeter\""},
        {"\"a ${name} b ${name}\"", "\"a greeter b greeter\""},
        {"\"${port}\"", "\"8081\""},
        {"\"${port:integer}\"", "8081"},
        {"\"${count:integer}\"", "3"},
        {"\"${count}\"", "\"3\""},
        {"\"${count:number}\"", "3"},
        {"\"${ratio:number}\"", "0.5"},
        {"\"${half:number}\"", "0.5"},
        {"\"${on:boolean}\"", "true"},
        {"\"${off:boolean}\"", "false"},
        {"\"on: ${on}\"", "\"on: true\""},
        {"\"${command:json}\"", "[\"/app/x\",\"$\"]"},
        {"\"${list:json}\"", "[1,null]"},
        {"\"${nothing:json}\"", "null"},
        {"\"${quote}\"", "\"a\\\"},\\n{b\""},
        {"\"$${name} costs 5$ or $$ or $\"", "\"${name} costs 5$ or $$ or $\""},
        {"[1,2.50,null,true,{\"a\":[]}]", "[1,2.50,null,true,{\"a\":[]}]"},
        {"{\"${name}.x\":{\"y\":[\"${root}/z\"]}}", "{\"greeter.x\":{\"y\":[\"/r 1/z\"]}}"},
        {"null", "null"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *filled = NULL, *wanted = parsed(cases[i].filled);
        _cleanup_error_ Error err = {0};

        assert_int_equal(fill(cases[i].template, "{}", &filled, &err), 0);
        assert_true(json_equal(filled, wanted));
        assert_null(err.text);
    }
}

static void mistakes_are_told_with_their_place(void **state)
{
    static const struct {
        const char *template;
        const char *said;
    } cases[] = {
        {"{\"a\":\n[0,\n\"${nam}\"]}", "line 3: /a/1: there is no 'nam'"},
        {"\"${nam:integer}\"", "line 1: (top): there is no 'nam'"},
        {"\"${nam}\"", "name, digest, root, command"},
        {"\"${name:integer}\"", "'name' is to be integer, but it is 'greeter'"},
        {"\"${half:integer}\"", "'half' is to be integer, but it is '0.5'"},
        {"\"${on:integer}\"", "'on' is to be integer, but it is boolean"},
        {"\"${count:boolean}\"", "'count' is to be boolean, but it is integer"},
        {"\"${name:json}\"", "'name' is to be json, but it is 'greeter'"},
        {"\"${name:text}\"", "there are: integer, number, boolean, json"},
        {"\"${port:integer} \"", "the whole string"},
        {"\"${command}\"", "'command' is array"},
        {"\"${nothing}\"", "'nothing' is null"},
        {"\"${name\"", "is not closed"},
        {"\"${}\"", "'${}' is no placeholder"},
        {"\"${1a}\"", "is no placeholder"},
        {"\"${a b}\"", "is no placeholder"},
        {"\"${:integer}\"", "is no placeholder"},
        {"{\"${name}\":1,\"greeter\":2}", "two members are called 'greeter'"},
        {"{\"a\":1,}", "line 1"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *filled = NULL;
        _cleanup_error_ Error err = {0};

        assert_int_equal(fill(cases[i].template, "{}", &filled, &err), -EINVAL);
        assert_null(filled);
        if (!strstr(error_text(&err), cases[i].said)) {
            fail_msg("%s: %s", cases[i].template, error_text(&err));
        }
    }
}

static void all_mistakes_are_told_at_once(void **state)
{
    _cleanup_json_ Json *filled = NULL;
    _cleanup_error_ Error err = {0};

    assert_int_equal(fill("{\"a\":\"${x}\",\n\"b\":\"${y:integer}\"}", "{\"z\":1}", &filled, &err),
                     -EINVAL);
    assert_non_null(strstr(error_text(&err), "line 1: /a: there is no 'x'"));
    assert_non_null(strstr(error_text(&err), "\nline 2: /b: there is no 'y'"));
    assert_non_null(strstr(error_text(&err), "nothing uses the call's variable 'z'"));
}

static void mistakes_are_counted_beyond_the_limit(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_json_ Json *filled = NULL;
    _cleanup_error_ Error err = {0};

    for (int i = 0; i < TEMPLATE_MISTAKES_MAX + 5; i++) {
        assert_int_equal(buffer_append_text(&text, i ? ",\"${x}\"" : "[\"${x}\""), 0);
    }
    assert_int_equal(buffer_append_text(&text, "]"), 0);
    assert_int_equal(fill(buffer_text(&text), "{}", &filled, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "and 5 more"));
}

static void a_call_has_variables_of_its_own(void **state)
{
    _cleanup_json_ Json *filled = NULL;
    _cleanup_error_ Error err = {0};

    assert_int_equal(fill("\"${greeting}\"", "{\"greeting\":\"hi\"}", &filled, &err), 0);
    assert_string_equal(json_as_string(filled), "hi");
}

static void nobody_takes_a_name_that_is_taken(void **state)
{
    static const struct {
        const char *call;
        const char *said;
    } cases[] = {
        {"{\"port\":\"1\"}", "the variable 'port' is the environment's"},
        {"{\"digest\":\"sha256:00\"}", "the call's variable 'digest' is called like one of"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *filled = NULL;
        _cleanup_error_ Error err = {0};

        assert_int_equal(fill("\"${port} ${digest}\"", cases[i].call, &filled, &err), -EINVAL);
        assert_null(filled);
        assert_non_null(strstr(error_text(&err), cases[i].said));
    }
}

static void the_environment_takes_no_name_of_ours(void **state)
{
    _cleanup_json_ Json *own = parsed(own_text), *environment = parsed("{\"root\":\"/\"}");
    TemplateNames names = {.own = own, .environment = environment};
    _cleanup_json_ Json *filled = NULL;
    _cleanup_error_ Error err = {0};

    assert_int_equal(template_fill("1", 1, &names, &filled, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "the environment's variable 'root'"));
}

/* A value may be as deep as JSON goes by itself, and too deep where it is put. */
static void what_comes_out_is_json(void **state)
{
    _cleanup_buffer_ Buffer call = BUFFER_INIT(0);
    _cleanup_json_ Json *filled = NULL;
    _cleanup_error_ Error err = {0};

    assert_int_equal(buffer_append_text(&call, "{\"deep\":"), 0);
    for (int i = 0; i < JSON_DEPTH_MAX - 1; i++) {
        assert_int_equal(buffer_append_text(&call, "["), 0);
    }
    for (int i = 0; i < JSON_DEPTH_MAX - 1; i++) {
        assert_int_equal(buffer_append_text(&call, "]"), 0);
    }
    assert_int_equal(buffer_append_text(&call, "}"), 0);
    assert_int_equal(fill("[\"${deep:json}\"]", buffer_text(&call), &filled, &err), 0);
    filled = json_unref(filled);
    assert_int_equal(fill("[[\"${deep:json}\"]]", buffer_text(&call), &filled, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "nested too deep"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_take_their_places),
        cmocka_unit_test(mistakes_are_told_with_their_place),
        cmocka_unit_test(all_mistakes_are_told_at_once),
        cmocka_unit_test(mistakes_are_counted_beyond_the_limit),
        cmocka_unit_test(a_call_has_variables_of_its_own),
        cmocka_unit_test(nobody_takes_a_name_that_is_taken),
        cmocka_unit_test(the_environment_takes_no_name_of_ours),
        cmocka_unit_test(what_comes_out_is_json),
    };

    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
