/* SPDX-License-Identifier: MIT */
#include "agent/calls/vitals/tally.h"

#include "tests/unit/cmocka.h"

#include <stdio.h>
#include <string.h>

static Json *describe(const Tally *tally)
{
    Json *object = json_new_object();

    assert_int_equal(tally_describe(tally, object, "ended"), 0);
    return object;
}

static void counts_by_action_and_status(void **state)
{
    _cleanup_json_ Json *object = NULL;
    const Json *list, *built;
    Tally tally = {0};

    tally_add(&tally, "build", "succeeded", 1.5);
    tally_add(&tally, "build", "failed", 9);
    tally_add(&tally, "test", "succeeded", 1);
    tally_add(&tally, "build", "succeeded", 0.25);
    tally_add(&tally, "build", "succeeded", -7); /* a clock that was set back takes nothing away */
    object = describe(&tally);
    list = json_get(object, "ended");
    built = json_at(list, 0);
    assert_int_equal(json_length(list), 3);
    assert_string_equal(json_get_string(built, "action"), "build");
    assert_string_equal(json_get_string(built, "status"), "succeeded");
    assert_int_equal(json_get_int(built, "count", 0), 3);
    assert_true(json_as_number(json_get(built, "seconds"), 0) == 1.75);
    tally_done(&tally);
}

static void is_empty_before_the_first(void **state)
{
    _cleanup_json_ Json *object = describe(&(Tally){0});

    assert_int_equal(json_type_of(json_get(object, "ended")), JSON_ARRAY);
    assert_int_equal(json_length(json_get(object, "ended")), 0);
}

static void has_a_limit(void **state)
{
    _cleanup_json_ Json *object = NULL;
    Tally tally = {0};
    char name[16];

    for (int i = 0; i < TALLY_ROWS_MAX + 10; i++) {
        (void)snprintf(name, sizeof(name), "a%d", i);
        tally_add(&tally, name, "succeeded", 1);
    }
    tally_add(&tally, "a0", "succeeded", 1);
    object = describe(&tally);
    assert_int_equal(tally.n, TALLY_ROWS_MAX + 1);
    assert_int_equal(tally.rows[0].n, 2);
    assert_string_equal(tally.rows[TALLY_ROWS_MAX].action, "other");
    assert_int_equal(tally.rows[TALLY_ROWS_MAX].n, 10);
    tally_done(&tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_by_action_and_status),
        cmocka_unit_test(is_empty_before_the_first),
        cmocka_unit_test(has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
