/* SPDX-License-Identifier: MIT */
#include "agent/calls/vitals/host-clock.h"

#include "tests/unit/cmocka.h"

#include <string.h>
#include <sys/timex.h>

static void explains_both_units(void **state)
{
    const struct timex micro = {.offset = -1500, .maxerror = 20000};
    const struct timex nano = {.offset = -1500, .maxerror = 20000, .status = STA_NANO};
    _cleanup_json_ Json *a = json_new_object(), *b = json_new_object();

    assert_int_equal(host_clock_explain(TIME_OK, &micro, a), 0);
    assert_true(json_get_bool(a, "isSynchronized", false));
    assert_true(json_as_number(json_get(a, "offsetSeconds"), 0) == -0.0015);
    assert_true(json_as_number(json_get(a, "maxErrorSeconds"), 0) == 0.02);
    assert_int_equal(host_clock_explain(TIME_INS, &nano, b), 0);
    assert_true(json_as_number(json_get(b, "offsetSeconds"), 0) == -0.0000015);
}

static void has_no_offset_where_nobody_keeps_it(void **state)
{
    const struct timex kernel = {.offset = 5, .status = STA_UNSYNC};
    _cleanup_json_ Json *clock = json_new_object();

    assert_int_equal(host_clock_explain(TIME_ERROR, &kernel, clock), 0);
    assert_false(json_get_bool(clock, "isSynchronized", true));
    assert_false(json_has(clock, "offsetSeconds"));
}

static void always_tells_the_time(void **state)
{
    _cleanup_json_ Json *object = json_new_object();

    assert_int_equal(host_clock_describe(object), 0);
    assert_int_equal(strncmp(json_get_string(json_get(object, "clock"), "time"), "20", 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explains_both_units),
        cmocka_unit_test(has_no_offset_where_nobody_keeps_it),
        cmocka_unit_test(always_tells_the_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
