/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/ssh/ssh-service.h"

#include "protocol/schema.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BEGINNING "{\"id\":\"greeter\",\"base\":\"/srv/greeter\",\"root\":\"/r\","
#define UNIT "\"restart\":{\"unit\":\"greeter\"}"

static Json *parsed(const char *text)
{
    Json *j = NULL;

    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return j;
}

static SshService *service_of(const char *text)
{
    _cleanup_json_ Json *json = parsed(text);
    SshService *service = NULL;

    assert_int_equal(ssh_service_from_json(json, &service, NULL), 0);
    return service;
}

static double default_of(const Json *members, const char *pointer)
{
    const Json *value = json_pointer(members, pointer);

    assert_non_null(value);
    return json_as_number(value, -1);
}

static void its_defaults_are_those_of_the_schema(void **state)
{
    _cleanup_(ssh_service_freep) SshService *s = service_of(BEGINNING UNIT "}");
    _cleanup_json_ Json *schema = NULL;
    const Json *members, *health;

    assert_int_equal(schema_load("ssh-service", &schema, NULL), 0);
    members = json_get(schema, "properties");
    health = json_pointer(members, "/health/properties");
    assert_int_equal(
        s->restart_timeout_ms,
        (int64_t)(1000 * default_of(members, "/restart/properties/timeoutSeconds/default")));
    assert_int_equal(s->health_passes, (int64_t)default_of(health, "/passes/default"));
    assert_int_equal(s->health_interval_ms,
                     (int64_t)(1000 * default_of(health, "/intervalSeconds/default")));
    assert_int_equal(s->health_timeout_ms,
                     (int64_t)(1000 * default_of(health, "/timeoutSeconds/default")));
    assert_int_equal(s->health_deadline_ms,
                     (int64_t)(1000 * default_of(health, "/deadlineSeconds/default")));
    assert_int_equal(s->keep, (int64_t)default_of(members, "/keep/default"));
    assert_int_equal(s->batch, (int64_t)default_of(members, "/batch/default"));
    assert_null(s->health_url);
}

static void every_mistake_is_told_at_once(void **state)
{
    static const struct {
        const char *text;
        const char *words[4];
    } mistakes[] = {
        {"{\"id\":\"no/name\",\"base\":\"srv\",\"root\":\"r\",\"restrat\":1}",
         {"/id: does not match", "/base: does not match", "/root: does not match",
          "/restrat: unknown member"}},
        {"{\"id\":\"a\",\"base\":\"/srv/../etc\",\"root\":\"/r\",\"restart\":{\"unit\":\"x\","
         "\"command\":[\"\"]},\"stop\":{\"command\":[\"a\"]},\"health\":{\"url\":\"http://h\","
         "\"command\":[\"b\"]}}",
         {"/base: must not have '..'", "/restart: needs either", "/stop: only for",
          "/health: only one of"}},
        {BEGINNING "\"restart\":{\"command\":[\"\"],\"sudo\":true}}",
         {"/restart/command/0: names no program", "/restart: \"scope\" and \"sudo\""}},
        {BEGINNING "\"restart\":{\"unit\":\"-H evil\"},\"env\":{\"A-B\":\"x\",\"C\":1}}",
         {"/restart/unit: does not match", "/env/A-B", "/env/C: must be string"}},
        {BEGINNING "\"restart\":{\"unit\":\"x\"},\"keep\":1,\"batch\":0}",
         {"/keep: must be at least 2", "/batch: must be at least 1"}},
        {"[]", {"must be object"}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
        _cleanup_json_ Json *json = parsed(mistakes[i].text);
        _cleanup_error_ Error err = {0};
        SshService *service = NULL;

        assert_int_equal(ssh_service_from_json(json, &service, &err), -EINVAL);
        assert_null(service);
        for (size_t k = 0; k < ARRAY_SIZE(mistakes[i].words) && mistakes[i].words[k]; k++) {
            if (!strstr(error_text(&err), mistakes[i].words[k])) {
                fail_msg("'%s' is not in: %s", mistakes[i].words[k], error_text(&err));
            }
        }
    }
}

static void values_are_quoted(void **state)
{
    _cleanup_(ssh_service_freep) SshService *s =
        service_of(BEGINNING "\"restart\":{\"command\":[\"a'b\",\"$(c)\"]},\"env\":{\"E\":"
                             "\"\\\"$x`\\\\'\\n\"}}");
    _cleanup_buffer_ Buffer control = BUFFER_INIT(0), env = BUFFER_INIT(0);

    assert_int_equal(ssh_service_append_control(s, &control), 0);
    assert_non_null(strstr(buffer_text(&control), "program='a'\\''b'\n"));
    assert_non_null(strstr(buffer_text(&control), " '$(c)'\n"));
    assert_non_null(strstr(buffer_text(&control), "stop)\n    echo 'it has no stop command"));
    assert_int_equal(ssh_service_append_env(s, &env), 0);
    assert_string_equal(buffer_text(&env), "E=\"\\\"\\$x\\`\\\\'\n\"\n");
}

static void a_unit_is_asked_as_its_scope_says(void **state)
{
    static const struct {
        const char *restart;
        const char *wanted;
    } rows[] = {
        {"\"unit\":\"x\"", "systemctl='systemctl'\n"},
        {"\"unit\":\"x\",\"scope\":\"user\"", "systemctl='systemctl --user'\n"},
        {"\"unit\":\"x\",\"sudo\":true", "systemctl='sudo -n systemctl'\n"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0), control = BUFFER_INIT(0);
        _cleanup_(ssh_service_freep) SshService *s = NULL;

        assert_int_equal(
            buffer_append_format(&text, BEGINNING "\"restart\":{%s}}", rows[i].restart), 0);
        s = service_of(buffer_text(&text));
        assert_int_equal(ssh_service_append_control(s, &control), 0);
        assert_non_null(strstr(buffer_text(&control), "unit='x'\n"));
        assert_non_null(strstr(buffer_text(&control), rows[i].wanted));
    }
}

static void the_address_has_the_host(void **state)
{
    static const struct {
        const char *url;
        const char *host;
        const char *wanted;
    } rows[] = {
        {"http://${host}:80/${host}", "web1", "http://web1:80/web1"},
        {"http://${host}/", "fe80::1", "http://[fe80::1]/"},
        {"http://one.example/$${hos}", "web1", "http://one.example/$${hos}"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        SshService service = {.health_url = rows[i].url};
        _cleanup_buffer_ Buffer url = BUFFER_INIT(0);

        assert_int_equal(ssh_service_append_health_url(&service, rows[i].host, &url), 0);
        assert_string_equal(buffer_text(&url), rows[i].wanted);
    }
}

static void an_app_has_its_base(void **state)
{
    _cleanup_(ssh_service_freep) SshService *s = service_of(BEGINNING UNIT "}");
    _cleanup_buffer_ Buffer app = BUFFER_INIT(0);

    assert_int_equal(ssh_service_append_app(s, &app), 0);
    assert_string_equal(buffer_text(&app), "greeter:/srv/greeter");
    assert_string_equal(ssh_service_base_of(buffer_text(&app)), "/srv/greeter");
    assert_string_equal(ssh_service_base_of("a:~/b"), "~/b");
    assert_null(ssh_service_base_of("greeter-staging"));
    assert_null(ssh_service_base_of("a:b"));
    assert_null(ssh_service_base_of(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_defaults_are_those_of_the_schema),
        cmocka_unit_test(every_mistake_is_told_at_once),
        cmocka_unit_test(values_are_quoted),
        cmocka_unit_test(a_unit_is_asked_as_its_scope_says),
        cmocka_unit_test(the_address_has_the_host),
        cmocka_unit_test(an_app_has_its_base),
    };

    return cmocka_run_group_tests_name("ssh-service", tests, NULL, NULL);
}
