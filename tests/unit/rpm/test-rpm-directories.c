/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-directories.h"

#include "tests/unit/cmocka.h"

static void test_systems(void **state)
{
    assert_true(rpm_directory_is_the_systems("bin"));
    assert_true(rpm_directory_is_the_systems("usr/bin"));
    assert_true(rpm_directory_is_the_systems("usr/lib/systemd/system"));
    assert_true(rpm_directory_is_the_systems("usr/share/man/man1"));
    assert_true(rpm_directory_is_the_systems("etc"));
    assert_true(rpm_directory_is_the_systems("var/yp"));
}

static void test_own(void **state)
{
    assert_false(rpm_directory_is_the_systems(""));
    assert_false(rpm_directory_is_the_systems("usr/share/greeter"));
    assert_false(rpm_directory_is_the_systems("opt/greeter"));
    assert_false(rpm_directory_is_the_systems("etc/greeter"));
    assert_false(rpm_directory_is_the_systems("/usr"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_systems), cmocka_unit_test(test_own)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
