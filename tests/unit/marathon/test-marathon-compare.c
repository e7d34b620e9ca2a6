/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/marathon/marathon-compare.h"

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

static void what_marathon_adds_is_no_change(void **state)
{
    static const struct {
        const char *sent;
        const char *running;
        bool is_covered;
    } cases[] = {
        {"{\"cpus\":1}", "{\"cpus\":1.0,\"mem\":128.0,\"executor\":\"\"}", true},
        {"{\"cpus\":1}", "{\"cpus\":1.5}", false},
        {"{\"cpus\":1}", "{}", false},
        {"{\"id\":\"x\"}", "{\"id\":\"/x\"}", true},
        {"{\"args\":[]}", "{}", true},
        {"{\"args\":[\"a\"]}", "{}", false},
        {"{\"args\":[\"a\",\"b\"]}", "{\"args\":[\"b\",\"a\"]}", false},
        {"{\"user\":null}", "{}", true},
        {"{\"uris\":[\"u\"]}", "{\"fetch\":[{\"uri\":\"u\"}]}", true},
        {"{\"constraints\":[[\"a\",\"UNIQUE\"],[\"b\",\"UNIQUE\"]]}",
         "{\"constraints\":[[\"b\",\"UNIQUE\"],[\"a\",\"UNIQUE\"]]}", true},
        {"{\"constraints\":[[\"a\",\"UNIQUE\"]]}",
         "{\"constraints\":[[\"b\",\"UNIQUE\"],[\"a\",\"UNIQUE\"]]}", false},
        {"{\"healthChecks\":[{\"path\":\"/h\"}]}",
         "{\"healthChecks\":[{\"path\":\"/h\",\"intervalSeconds\":60}]}", true},
        {"{\"healthChecks\":[{\"path\":\"/h\"}]}", "{\"healthChecks\":[{\"path\":\"/x\"}]}", false},
        {"{\"portDefinitions\":[{\"port\":0}]}", "{\"portDefinitions\":[{\"port\":10001}]}", true},
        {"{\"portDefinitions\":[{\"port\":1}]}", "{\"portDefinitions\":[{\"port\":10001}]}", false},
        {"{\"instances\":0}", "{\"instances\":3}", false},
        {"{\"env\":{\"A\":\"1\"}}", "{\"env\":{\"A\":\"1\"}}", true},
        {"{\"env\":{\"A\":\"1\"}}", "{\"env\":{\"A\":\"1\",\"B\":\"2\"}}", false},
        {"{\"env\":{\"A\":{\"secret\":\"s\"}}}", "{\"env\":{\"A\":{\"secret\":\"s\"}}}", true},
        {"{}", "{\"env\":{\"B\":\"2\"}}", false},
        {"{}", "{\"env\":{}}", true},
        {"{\"labels\":{\"a\":\"b\"}}",
         "{\"labels\":{\"a\":\"b\",\"slipway.deployment\":\"d\",\"slipway.sent\":\"s\"}}", true},
        {"{\"labels\":{\"a\":\"b\"}}", "{\"labels\":{\"a\":\"b\",\"team\":\"c\"}}", false},
        {"{}", "{\"labels\":{\"slipway.deployment\":\"d\"}}", true},
        {"{\"container\":{\"docker\":{\"image\":\"i\",\"network\":\"HOST\"}}}",
         "{\"container\":{\"type\":\"DOCKER\",\"docker\":{\"image\":\"i\"}}}", true},
        {"{\"cmd\":\"ls\"}", "{\"cmd\":[\"ls\"]}", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *sent = parsed(cases[i].sent), *running = parsed(cases[i].running);

        if (marathon_compare_covers(sent, running) != cases[i].is_covered) {
            fail_msg("%s against %s", cases[i].sent, cases[i].running);
        }
    }
}

static void what_is_reduced_shows_real_differences_alone(void **state)
{
    _cleanup_json_ Json *sent =
        parsed("{\"id\":\"/x\",\"cpus\":1,\"mem\":64,\"labels\":{\"team\":\"a\"},"
               "\"portDefinitions\":[{\"port\":0}],\"healthChecks\":[{\"path\":\"/h\"}]}");
    _cleanup_json_ Json *running =
        parsed("{\"id\":\"/x\",\"cpus\":1.0,\"mem\":32.0,\"disk\":0.0,\"instances\":1,\"env\":{},"
               "\"backoffFactor\":1.15,\"upgradeStrategy\":{\"minimumHealthCapacity\":1.0,"
               "\"maximumOverCapacity\":1.0},\"networks\":[{\"mode\":\"host\"}],\"user\":\"web\","
               "\"unreachableStrategy\":{\"inactiveAfterSeconds\":5,\"expungeAfterSeconds\":9},"
               "\"labels\":{\"slipway.deployment\":\"d\"},\"portDefinitions\":[{\"port\":10001,"
               "\"name\":\"default\"}],\"healthChecks\":[{\"path\":\"/h\",\"intervalSeconds\":60,"
               "\"gracePeriodSeconds\":10}]}");
    _cleanup_json_ Json *wanted =
        parsed("{\"id\":\"/x\",\"cpus\":1,\"mem\":32.0,\"user\":\"web\","
               "\"unreachableStrategy\":{\"inactiveAfterSeconds\":5,\"expungeAfterSeconds\":9},"
               "\"labels\":{},\"portDefinitions\":[{\"port\":0}],\"healthChecks\":[{\"path\":"
               "\"/h\"}]}");
    _cleanup_json_ Json *reduced = NULL;

    assert_int_equal(marathon_compare_reduce(running, sent, &reduced), 0);
    assert_true(json_equal(reduced, wanted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_marathon_adds_is_no_change),
        cmocka_unit_test(what_is_reduced_shows_real_differences_alone),
    };

    return cmocka_run_group_tests_name("marathon-compare", tests, NULL, NULL);
}
