/* SPDX-License-Identifier: MIT */
#include "agent/source/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_set(void **state)
{
    _cleanup_environment_ Environment env = {0};

    assert_null(environment_get(&env, "A"));
    assert_int_equal(environment_set(&env, "A", "1"), 0);
    assert_int_equal(environment_set(&env, "AB", "2"), 0);
    assert_int_equal(environment_set(&env, "A", "3=4"), 0);
    assert_int_equal(env.count, 2);
    assert_string_equal(environment_get(&env, "A"), "3=4");
    assert_string_equal(environment_get(&env, "AB"), "2");
    assert_null(env.entries[2]);
}

static void test_remove(void **state)
{
    _cleanup_environment_ Environment env = {0};

    assert_int_equal(environment_set(&env, "A", NULL), 0);
    assert_int_equal(environment_set(&env, "A", "1"), 0);
    assert_int_equal(environment_set(&env, "B", ""), 0);
    assert_int_equal(environment_set(&env, "A", NULL), 0);
    assert_int_equal(env.count, 1);
    assert_string_equal(env.entries[0], "B=");
    assert_null(env.entries[1]);
}

static void test_add_all(void **state)
{
    char a1[] = "A=1", odd[] = "nothing", a2[] = "A=2", b[] = "B=";
    char *entries[] = {a1, odd, a2, b, NULL};
    _cleanup_environment_ Environment env = {0};

    assert_int_equal(environment_add_all(&env, NULL), 0);
    assert_int_equal(environment_add_all(&env, entries), 0);
    assert_int_equal(env.count, 2);
    assert_string_equal(environment_get(&env, "A"), "2");
    assert_string_equal(environment_get(&env, "B"), "");
}

static bool starts_with_x(const char *name, size_t n)
{
    return n > 0 && name[0] == 'X';
}

static void test_filter(void **state)
{
    _cleanup_environment_ Environment env = {0};

    environment_filter(&env, starts_with_x);
    assert_int_equal(environment_set(&env, "X1", "1"), 0);
    assert_int_equal(environment_set(&env, "X2", "1"), 0);
    assert_int_equal(environment_set(&env, "Y", "X"), 0);
    environment_filter(&env, starts_with_x);
    assert_int_equal(env.count, 1);
    assert_string_equal(env.entries[0], "Y=X");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_add_all),
        cmocka_unit_test(test_filter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
