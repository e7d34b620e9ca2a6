/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/specification.h"

#include "protocol/schema.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define _cleanup_specification_ _cleanup_(specification_freep)

static double default_of(const Json *schema, const char *pointer)
{
    return json_as_number(json_pointer(schema, pointer), -1);
}

static void its_defaults_are_those_of_the_schema(void **state)
{
    _cleanup_specification_ Specification *s = place_specification("[\"x\"]", NULL);
    _cleanup_json_ Json *schema = NULL;
    const Json *members;

    assert_int_equal(schema_load("local-service", &schema, NULL), 0);
    members = json_get(schema, "properties");
    assert_string_equal(s->address, json_as_string(json_pointer(members, "/address/default")));
    assert_string_equal(s->health_path,
                        json_as_string(json_pointer(members, "/health/properties/path/default")));
    assert_int_equal(s->instances, (int64_t)default_of(members, "/instances/default"));
    assert_int_equal(s->stop_grace_ms,
                     (int64_t)(1000 * default_of(members, "/stopGraceSeconds/default")));
    members = json_pointer(members, "/health/properties");
    assert_int_equal(s->health_interval_ms,
                     (int64_t)(1000 * default_of(members, "/intervalSeconds/default")));
    assert_int_equal(s->health_timeout_ms,
                     (int64_t)(1000 * default_of(members, "/timeoutSeconds/default")));
    assert_int_equal(s->health_deadline_ms,
                     (int64_t)(1000 * default_of(members, "/deadlineSeconds/default")));
    assert_null(s->root);
    assert_string_equal(s->working_directory, "/");
}

static void reads_what_is_given(void **state)
{
    _cleanup_specification_ Specification *s = place_specification(
        "[\"x\"]", ",\"address\":\"::1\",\"instances\":3,\"root\":\"/srv/a\","
                   "\"health\":{\"path\":\"/up?x=1\",\"intervalSeconds\":0.05,\"timeoutSeconds\":2,"
                   "\"deadlineSeconds\":1.5},\"stopGraceSeconds\":0");
    _cleanup_free_ char *url = specification_url(s);

    assert_string_equal(s->id, "app");
    assert_int_equal(s->port, 1);
    assert_int_equal(s->instances, 3);
    assert_string_equal(s->working_directory, "/srv/a");
    assert_string_equal(s->health_path, "/up?x=1");
    assert_int_equal(s->health_interval_ms, 50);
    assert_int_equal(s->health_timeout_ms, 2000);
    assert_int_equal(s->health_deadline_ms, 1500);
    assert_int_equal(s->stop_grace_ms, 0);
    assert_string_equal(url, "http://[::1]:1");
}

static void says_every_mistake(void **state)
{
    static const struct {
        const char *text;
        const char *wanted;
    } cases[] = {
        {"", "line 1"},
        {"[]", "must be object"},
        {"{\"id\":\"a\",\"port\":1}", "\"command\" is missing"},
        {"{\"id\":\"a\",\"port\":1,\"command\":[]}", "/command: must have at least 1"},
        {"{\"id\":\"a\",\"port\":1,\"command\":[\"\"]}", "/command/0: names no program"},
        {"{\"id\":\"a\",\"port\":1,\"command\":[\"a\\u0000b\"]}", "\\u0000 is not accepted"},
        {"{\"id\":\"a\",\"port\":1,\"command\":[\"a\"],\"env\":{\"A=\":\"\"}}", "/env/A="},
        {"{\"id\":\"-a\",\"port\":0,\"command\":[\"a\"]}", "/id: does not match"},
        {"{\"id\":\"-a\",\"port\":0,\"command\":[\"a\"]}", "/port: must be at least 1"},
        {"{\"id\":\"a\",\"port\":1,\"command\":[\"a\"],\"address\":\"1.2.3\"}",
         "/address: '1.2.3'"},
        {"{\"id\":\"a\",\"port\":1,\"command\":[\"a\"],\"instances\":17}",
         "/instances: must be at most"},
        {"{\"id\":\"a\",\"port\":1,\"command\":[\"a\"],\"root\":\"x\"}", "/root: does not match"},
        {"{\"id\":\"a\",\"port\":1,\"command\":[\"a\"],\"health\":{\"path\":\"/a b\"}}",
         "/health/path"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_error_ Error err = {0};
        Specification *s = NULL;

        assert_int_equal(specification_parse(cases[i].text, strlen(cases[i].text), &s, &err),
                         -EINVAL);
        assert_null(s);
        if (!strstr(error_text(&err), cases[i].wanted)) {
            fail_msg("%s: '%s' is not in '%s'", cases[i].text, cases[i].wanted, error_text(&err));
        }
    }
}

static void the_order_of_members_does_not_matter(void **state)
{
    _cleanup_specification_ Specification *a =
        place_specification("[\"x\"]", ",\"env\":{\"A\":\"1\",\"B\":\"2\"}");
    _cleanup_specification_ Specification *b =
        place_specification("[\"x\"]", ",\"env\":{\"B\":\"2\",\"A\":\"1\"}");
    _cleanup_specification_ Specification *c =
        place_specification("[\"x\"]", ",\"env\":{\"A\":\"1\",\"B\":\"3\"}");

    assert_true(specification_equal(a, b));
    assert_false(specification_equal(a, c));
}

static void make_file(const Place *place, const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", place->path, name);
    assert_int_equal(mknod(path, S_IFREG | 0700, 0), 0);
}

static void paths_are_taken_below_root_where_they_exist(void **state)
{
    _cleanup_specification_ Specification *s = NULL;
    _cleanup_(specification_command_freep) char **command = NULL;
    _cleanup_free_ char *directory = NULL, *more = NULL, *wanted = NULL;
    const Place *place = *state;

    make_file(place, "program");
    assert_true(asprintf(&more, ",\"root\":\"%s\",\"workingDirectory\":\"/logs\"", place->path) >
                0);
    s = place_specification("[\"/program\",\"/program\",\"program\",\"/etc/passwd\"]", more);
    assert_int_equal(specification_command(s, &command, &directory, NULL), 0);
    assert_true(asprintf(&wanted, "%s/program", place->path) > 0);
    assert_string_equal(command[0], wanted);
    assert_string_equal(command[1], wanted);
    assert_string_equal(command[2], "program");
    assert_string_equal(command[3], "/etc/passwd");
    assert_null(command[4]);
    strcpy(strrchr(wanted, '/'), "/logs");
    assert_string_equal(directory, wanted);
}

static void the_root_itself_is_the_default_directory(void **state)
{
    _cleanup_specification_ Specification *s = NULL;
    _cleanup_(specification_command_freep) char **command = NULL;
    _cleanup_free_ char *directory = NULL, *more = NULL;
    const Place *place = *state;

    assert_true(asprintf(&more, ",\"root\":\"%s\"", place->path) > 0);
    s = place_specification("[\"x\"]", more);
    assert_int_equal(specification_command(s, &command, &directory, NULL), 0);
    assert_string_equal(directory, place->path);
}

static void a_root_that_is_gone_is_not_the_root_of_the_host(void **state)
{
    _cleanup_specification_ Specification *s =
        place_specification("[\"/bin/sh\"]", ",\"root\":\"/no/such/root\"");
    _cleanup_error_ Error err = {0};
    char **command = NULL, *directory = NULL;

    assert_int_equal(specification_command(s, &command, &directory, &err), -ENOENT);
    assert_string_equal(error_text(&err), "the root '/no/such/root' is no directory");
    assert_null(command);
    assert_null(directory);
}

/* How many entries `name=…` there are, and the value of the last. */
static size_t find_entry(const Buffer *text, const char *name, const char **ret)
{
    size_t n = strlen(name), found = 0;

    for (const char *at = text->data; at < text->data + text->len; at += strlen(at) + 1) {
        if (strncmp(at, name, n) == 0 && at[n] == '=') {
            *ret = at + n + 1;
            found++;
        }
    }
    return found;
}

static void the_environment_is_whole_and_has_nothing_twice(void **state)
{
    _cleanup_specification_ Specification *s = place_specification(
        "[\"x\"]",
        ",\"env\":{\"PATH\":\"/own\",\"PORT\":\"1\",\"SLIPWAY_APP\":\"z\",\"EMPTY\":\"\"}");
    static const char *const wanted[][2] = {
        {"PATH", "/own"},          {"HOME", "/test/home"}, {"EMPTY", ""},
        {"PORT", "1234"},          {"SLIPWAY_APP", "app"}, {"SLIPWAY_DEPLOYMENT", "d"},
        {"SLIPWAY_INSTANCE", "i"},
    };
    _cleanup_buffer_ Buffer text = {0};
    const char *value;

    (void)setenv("HOME", "/test/home", 1);
    (void)setenv("SECRET_OF_THE_ENGINE", "x", 1);
    assert_int_equal(specification_environment(s, "d", "i", 1234, &text), 0);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        assert_int_equal(find_entry(&text, wanted[i][0], &value), 1);
        assert_string_equal(value, wanted[i][1]);
    }
    assert_int_equal(find_entry(&text, "SECRET_OF_THE_ENGINE", &value), 0);
}

int main(void)
{
#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_defaults_are_those_of_the_schema),
        cmocka_unit_test(reads_what_is_given),
        cmocka_unit_test(says_every_mistake),
        cmocka_unit_test(the_order_of_members_does_not_matter),
        IN_PLACE(paths_are_taken_below_root_where_they_exist),
        IN_PLACE(the_root_itself_is_the_default_directory),
        cmocka_unit_test(a_root_that_is_gone_is_not_the_root_of_the_host),
        cmocka_unit_test(the_environment_is_whole_and_has_nothing_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
