/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/deployment.h"

#include "protocol/base/clock.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <errno.h>
#include <string.h>

#define _cleanup_deployment_ _cleanup_(deployment_freep)

static Deployment *make(const char *id)
{
    Deployment *d = deployment_new_take(
        id, place_specification("[\"x\"]", ",\"health\":{\"deadlineSeconds\":10}"));

    assert_non_null(d);
    return d;
}

static void starts_and_finishes(void **state)
{
    _cleanup_deployment_ Deployment *d = make("d1");

    assert_true(deployment_is_running(d));
    assert_string_equal(deployment_state_name(d), "running");
    assert_string_equal(deployment_phase_name(d), "starting");
    assert_true(deployment_set_state(d, DEPLOYMENT_FINISHING, NULL, NULL));
    assert_string_equal(deployment_state_name(d), "running");
    assert_string_equal(deployment_phase_name(d), "finishing");
    assert_int_equal(d->finished_us, 0);
    assert_true(deployment_set_state(d, DEPLOYMENT_SUCCEEDED, NULL, NULL));
    assert_false(deployment_is_running(d));
    assert_string_equal(deployment_state_name(d), "succeeded");
    assert_true(d->finished_us >= d->started_us);
}

static void there_is_no_other_way(void **state)
{
    static const bool allowed[_DEPLOYMENT_STATE_MAX][_DEPLOYMENT_STATE_MAX] = {
        {false, true, false, true, true},
        {false, false, true, true, false},
    };

    for (DeploymentState from = 0; from < _DEPLOYMENT_STATE_MAX; from++) {
        for (DeploymentState to = 0; to < _DEPLOYMENT_STATE_MAX; to++) {
            _cleanup_deployment_ Deployment *d = make("d1");

            d->state = from;
            assert_int_equal(deployment_set_state(d, to, NULL, NULL), allowed[from][to]);
            assert_int_equal(d->state, allowed[from][to] ? to : from);
        }
    }
}

static void an_id_is_made_where_none_is_given(void **state)
{
    _cleanup_deployment_ Deployment *a = make(NULL), *b = make(NULL);

    assert_string_not_equal(a->id, b->id);
}

static void describes_itself(void **state)
{
    const DeploymentCounts counts = {.wanted = 3, .updated = 2, .healthy = 1, .old = 4};
    _cleanup_deployment_ Deployment *d = make("d1");
    _cleanup_json_ Json *running = NULL, *failed = NULL;

    assert_int_equal(deployment_describe(d, &counts, &running), 0);
    assert_string_equal(json_get_string(running, "deployment"), "d1");
    assert_string_equal(json_get_string(running, "app"), "app");
    assert_string_equal(json_get_string(running, "state"), "running");
    assert_false(json_has(running, "reason"));
    assert_false(json_has(running, "finishedAt"));
    assert_int_equal(json_length(json_get(running, "logTail")), 0);
    assert_int_equal(json_as_int(json_pointer(running, "/instances/wanted"), -1), 3);
    assert_int_equal(json_as_int(json_pointer(running, "/instances/updated"), -1), 2);
    assert_int_equal(json_as_int(json_pointer(running, "/instances/healthy"), -1), 1);
    assert_int_equal(json_as_int(json_pointer(running, "/instances/old"), -1), 4);

    assert_true(deployment_set_state(d, DEPLOYMENT_FAILED, "why", "one\n\xff two\n"));
    d->counts = (DeploymentCounts){.wanted = 7};
    assert_int_equal(deployment_describe(d, &counts, &failed), 0);
    assert_string_equal(json_get_string(failed, "reason"), "why");
    assert_string_equal(json_as_string(json_pointer(failed, "/logTail/0")), "one");
    assert_string_equal(json_as_string(json_pointer(failed, "/logTail/1")), "\xef\xbf\xbd two");
    assert_int_equal(json_as_int(json_pointer(failed, "/instances/wanted"), -1), 7);
    assert_true(json_has(failed, "finishedAt"));
}

static void comes_back_from_disk_as_it_was(void **state)
{
    _cleanup_deployment_ Deployment *d = make("d1"), *again = NULL;
    _cleanup_json_ Json *json = NULL, *json_again = NULL;

    assert_true(deployment_set_state(d, DEPLOYMENT_FAILED, "why", "a line\n"));
    d->counts = (DeploymentCounts){.wanted = 1, .updated = 2, .healthy = 3, .old = 4};
    assert_int_equal(deployment_to_json(d, &json), 0);
    assert_int_equal(deployment_from_json(json, &again, NULL), 0);
    assert_int_equal(deployment_to_json(again, &json_again), 0);
    assert_true(json_equal(json, json_again));
    assert_string_equal(again->log_tail, "a line\n");
    assert_int_equal(again->finished_us, d->finished_us);
}

static void one_that_ran_has_what_is_left_of_its_time(void **state)
{
    _cleanup_deployment_ Deployment *d = make("d1"), *again = NULL;
    _cleanup_json_ Json *json = NULL;
    int64_t left;

    d->started_us -= 4000000;
    assert_int_equal(deployment_to_json(d, &json), 0);
    assert_int_equal(deployment_from_json(json, &again, NULL), 0);
    assert_true(deployment_is_running(again));
    left = again->deadline_ms - clock_monotonic_ms();
    assert_in_range(left, 1000, 6000);
}

static void what_is_no_deployment_is_an_error(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"id\":\"d\",\"state\":\"tired\",\"specification\":{}}",
        "{\"id\":\"../d\",\"state\":\"failed\"}",
        "{\"id\":\"d\",\"state\":\"failed\",\"specification\":{\"id\":\"app\"}}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_json_ Json *json = NULL;
        _cleanup_error_ Error err = {0};
        Deployment *d = NULL;

        assert_int_equal(json_parse(texts[i], strlen(texts[i]), &json, NULL), 0);
        assert_true(deployment_from_json(json, &d, &err) < 0);
        assert_null(d);
        assert_non_null(err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_and_finishes),
        cmocka_unit_test(there_is_no_other_way),
        cmocka_unit_test(an_id_is_made_where_none_is_given),
        cmocka_unit_test(describes_itself),
        cmocka_unit_test(comes_back_from_disk_as_it_was),
        cmocka_unit_test(one_that_ran_has_what_is_left_of_its_time),
        cmocka_unit_test(what_is_no_deployment_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
