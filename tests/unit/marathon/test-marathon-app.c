/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/marathon/marathon-app.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define V1 "2026-01-01T00:00:00.001Z"
#define V2 "2026-01-01T00:00:00.002Z"
#define V3 "2026-01-01T00:00:00.003Z"
#define TASK(version, state, health)                                                    \
    "{\"version\":\"" version "\",\"state\":\"TASK_" state "\",\"healthCheckResults\":" \
    "[" health "]}"
#define WELL "{\"alive\":true}"
#define ILL "{\"alive\":false}"

static Json *parsed(const char *text)
{
    Json *j = NULL;

    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return j;
}

/* Each way in which a task can look as if it counted. */
static void tasks_are_counted_by_what_they_are(void **state)
{
    static const struct {
        const char *tasks;
        EngineCounts counts; /* of two wanted, with two checks */
    } cases[] = {
        {"", {2, 0, 0, 0}},
        {TASK(V2, "RUNNING", WELL "," WELL), {2, 1, 1, 0}},
        {TASK(V3, "RUNNING", WELL "," WELL), {2, 1, 1, 0}}, /* scaled since */
        {TASK(V1, "RUNNING", WELL "," WELL), {2, 0, 0, 1}},
        {TASK(V1, "KILLING", ""), {2, 0, 0, 1}},
        {TASK(V1, "UNREACHABLE", ""), {2, 0, 0, 1}},
        {TASK(V1, "FAILED", ""), {2, 0, 0, 0}},
        {TASK(V2, "KILLING", WELL "," WELL), {2, 0, 0, 0}},
        {TASK(V2, "STAGING", WELL "," WELL), {2, 1, 0, 0}},
        {TASK(V2, "UNREACHABLE", WELL "," WELL), {2, 1, 0, 0}},
        {TASK(V2, "RUNNING", ""), {2, 1, 0, 0}},
        {TASK(V2, "RUNNING", WELL), {2, 1, 0, 0}}, /* the other check has said nothing */
        {TASK(V2, "RUNNING", WELL "," ILL), {2, 1, 0, 0}},
        {TASK(V2, "RUNNING", WELL ",{}"), {2, 1, 0, 0}},
        {"{\"state\":\"TASK_RUNNING\"}", {2, 0, 0, 1}}, /* of nobody knows what */
        {"7", {2, 0, 0, 1}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ Json *app = NULL;
        EngineCounts counts;

        assert_true(asprintf(&text,
                             "{\"instances\":2,\"healthChecks\":[{},{}],\"version\":\"" V3 "\","
                             "\"versionInfo\":{\"lastConfigChangeAt\":\"" V2 "\"},"
                             "\"tasks\":[%s]}",
                             cases[i].tasks) > 0);
        app = parsed(text);
        marathon_app_count(app, marathon_app_config_version(app), &counts);
        assert_memory_equal(&counts, &cases[i].counts, sizeof(counts));
    }
}

/* Marathon's own tasksHealthy stays 0 without checks. */
static void without_checks_running_is_healthy(void **state)
{
    _cleanup_json_ Json *app = parsed("{\"version\":\"" V1 "\",\"tasksHealthy\":0,\"tasks\":["
                                      "{\"version\":\"" V1 "\",\"state\":\"TASK_RUNNING\"}]}");
    EngineCounts counts;

    marathon_app_count(app, marathon_app_config_version(app), &counts);
    assert_true(engine_counts_are_settled(&counts));
    assert_int_equal(counts.healthy, 1);
}

static void a_version_is_of_a_configuration(void **state)
{
    assert_true(marathon_app_is_of(V2, V2));
    assert_true(marathon_app_is_of(V3, V2));
    assert_false(marathon_app_is_of(V1, V2));
    assert_false(marathon_app_is_of(NULL, V2));
    assert_false(marathon_app_is_of(V1, NULL));
}

static void what_serves_while_another_is_wanted(void **state)
{
    _cleanup_json_ Json *app =
        parsed("{\"version\":\"" V2 "\",\"labels\":{\"slipway.deployment\":\"d2\"},"
               "\"deployments\":[{\"id\":\"m1\"}],\"tasks\":[" TASK(V2, "RUNNING", "") "," TASK(
                   V1, "KILLING", "") "," TASK(V1, "RUNNING", "") "]}");

    assert_string_equal(marathon_app_old_version(app), V1);
    assert_string_equal(marathon_app_deployment(app), "m1");
    assert_string_equal(marathon_app_label(app, ENGINE_LABEL_DEPLOYMENT), "d2");
    assert_true(marathon_app_is_locked(app));
    app = json_unref(app);
    app = parsed("{\"version\":\"" V2
                 "\",\"deployments\":[],\"tasks\":[" TASK(V2, "RUNNING", "") "]}");
    assert_null(marathon_app_old_version(app));
    assert_null(marathon_app_deployment(app));
    assert_null(marathon_app_label(app, ENGINE_LABEL_DEPLOYMENT));
    assert_false(marathon_app_is_locked(app));
}

static void what_is_told_is_not_sent(void **state)
{
    _cleanup_json_ Json *app = parsed(
        "{\"id\":\"/x\",\"version\":\"" V1 "\",\"versionInfo\":{},\"tasks\":[],\"deployments\":[],"
        "\"tasksStaged\":0,\"tasksRunning\":0,\"tasksHealthy\":0,\"tasksUnhealthy\":0,"
        "\"lastTaskFailure\":{},\"readinessCheckResults\":[],\"tasksStats\":{},\"user\":null,"
        "\"fetch\":[],\"uris\":[],\"portDefinitions\":[],\"ports\":[1],\"cpus\":1.0,\"cmd\":null}");
    _cleanup_json_ Json *wanted =
        parsed("{\"id\":\"/x\",\"fetch\":[],\"portDefinitions\":[],\"cpus\":1.0}");
    _cleanup_json_ Json *specification = NULL;

    assert_int_equal(marathon_app_specification(app, &specification), 0);
    assert_true(json_equal(specification, wanted));
    assert_true(json_has(app, "version")); /* it is a copy */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_are_counted_by_what_they_are),
        cmocka_unit_test(without_checks_running_is_healthy),
        cmocka_unit_test(a_version_is_of_a_configuration),
        cmocka_unit_test(what_serves_while_another_is_wanted),
        cmocka_unit_test(what_is_told_is_not_sent),
    };

    return cmocka_run_group_tests_name("marathon-app", tests, NULL, NULL);
}
