/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void an_engine_is_found_by_its_name(void **state)
{
    _cleanup_error_ Error err = {0};
    _cleanup_json_ Json *template = NULL;
    const Engine *engine = NULL;

    assert_int_equal(engine_find("local", &engine, &err), 0);
    assert_string_equal(engine->name, "local");
    assert_int_equal(engine->interface_version, ENGINE_INTERFACE_VERSION);
    assert_int_equal(
        json_parse(engine->default_template, strlen(engine->default_template), &template, &err), 0);
    assert_int_equal(json_type_of(template), JSON_OBJECT);
}

static void one_that_is_not_is_told_with_those_that_are(void **state)
{
    static const char *const names[] = {"mesos", "", "loca", "locals", NULL};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_error_ Error err = {0};
        const Engine *engine = NULL;

        assert_int_equal(engine_find(names[i], &engine, &err), -EINVAL);
        assert_null(engine);
        assert_non_null(strstr(error_text(&err), "there are: local"));
    }
}

static void settled_means_all_new_healthy_and_none_old(void **state)
{
    assert_true(engine_counts_are_settled(&(EngineCounts){2, 2, 2, 0}));
    assert_true(engine_counts_are_settled(&(EngineCounts){0, 0, 0, 0}));
    assert_false(engine_counts_are_settled(&(EngineCounts){2, 2, 2, 1}));
    assert_false(engine_counts_are_settled(&(EngineCounts){2, 2, 1, 0}));
    assert_false(engine_counts_are_settled(&(EngineCounts){2, 1, 2, 0}));
    assert_false(engine_counts_are_settled(&(EngineCounts){2, 3, 2, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_is_found_by_its_name),
        cmocka_unit_test(one_that_is_not_is_told_with_those_that_are),
        cmocka_unit_test(settled_means_all_new_healthy_and_none_old),
    };

    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
