/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-version.h"

#include "protocol/base/macro.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

#define COMMIT "abcdef0123456789abcdef0123456789abcdef01"
#define COMMITTED_AT 1767323045 /* 2026-01-02 03:04:05 */

static const struct {
    const char *describe, *version;
} rows[] = {
    {"v1.2.3", "1.2.3"},
    {"1.2.3", "1.2.3"},
    {"V2", "2"},
    {"2026.01.05", "2026.01.05"},
    {"greeter-1.2", "1.2"},
    {"greeter-v1.2", "1.2"},
    {"greeter/v1.2", "1.2"},
    {"release-1.2", "1.2"},
    {"release/1.2", "1.2"},
    {"v1.2.3-rc.1", "1.2.3~rc.1"},
    {"v1.2.3-RC2", "1.2.3~rc2"},
    {"v1.2.3rc1", "1.2.3~rc1"},
    {"v1.2.3.beta2", "1.2.3~beta2"},
    {"v1.2.3_alpha", "1.2.3~alpha"},
    {"v1.2.3-alpha.1-x", "1.2.3~alpha.1.x"},
    {"v1.2.3-SNAPSHOT", "1.2.3~~snapshot"},
    {"v1.2.3-dev", "1.2.3~~dev"},
    {"v1.2.3-hotfix1", "1.2.3.hotfix1"},
    {"v1.2.3-p1", "1.2.3.p1"},
    {"v1.2.3-4-gabcdef0", "1.2.3^4.gabcdef0"},
    {"v1.2.3-0-gabcdef0", "1.2.3"},
    {"v1.2.3-rc.1-14-gabcdef0", "1.2.3~rc.1^14.gabcdef0"},
    {"v1.2.3-hotfix1-2-gabcdef0", "1.2.3.hotfix1^2.gabcdef0"},
    {"abcdef0", "0^20260102030405.gabcdef0"},
    {COMMIT, "0^20260102030405.g" COMMIT},
};

static void test_describe(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_free_ char *version = NULL;
        _cleanup_error_ Error err = {0};

        if (rpm_version_from_describe(rows[i].describe, "greeter", COMMIT, COMMITTED_AT, &version,
                                      &err) < 0) {
            fail_msg("%s: %s", rows[i].describe, error_text(&err));
        }
        assert_string_equal(version, rows[i].version);
        assert_true(rpm_version_is_valid(version));
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *describe, *reason;
    } refused[] = {
        {"nightly", "does not begin with a number"},
        {"vx", "does not begin with a number"},
        {"", "does not begin with a number"},
        {"other-1.2", "does not begin with a number"},
        {"v1.2.3-4", "before or after"}, /* a Debian revision, or a pre-release of semver? */
        {"2026-01-05", "before or after"},
        {"v1.2.3-", "before or after"},
        {"v1.2.3.", "before or after"},
        {"v1.2.3-foo", "none that says before or after"},
        {"v1.2.3a", "none that says before or after"}, /* 1.0.2k is after, 1.0a1 before */
        {"v1.2.3-rc_\xc3\xa4", "characters that no version may have"},
        {"v1.2.3-rc 1", "characters that no version may have"},
        {"v1.2.3-rc..1", "characters that no version may have"},
        {"v1.2.3+build.5", "what follows the '+'"},
        {"1.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
         "0000000000000000000000000000000000000000000000000000000000000000",
         "too long"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        _cleanup_error_ Error err = {0};
        char *version = NULL;

        assert_int_equal(rpm_version_from_describe(refused[i].describe, "greeter", COMMIT,
                                                   COMMITTED_AT, &version, &err),
                         -EINVAL);
        assert_null(version);
        if (!strstr(error_text(&err), refused[i].reason)) {
            fail_msg("'%s': '%s' is not in: %s", refused[i].describe, refused[i].reason,
                     error_text(&err));
        }
    }
}

/* From old to new: each is older than all that follow. tests/integration/test-rpm.py asks rpm. */
static const char *const in_order[] = {
    "0",
    "0^20250102030405.gabc",
    "0^20260102030405.gaaa",
    "0.1",
    "1.2.3~~dev",
    "1.2.3~alpha.1",
    "1.2.3~beta2",
    "1.2.3~rc.1",
    "1.2.3~rc.1^1.gabc",
    "1.2.3~rc.2",
    "1.2.3~rc.10",
    "1.2.3",
    "1.2.3^4.gabc",
    "1.2.3^14.gabc",
    "1.2.3.hotfix1",
    "1.2.3.hotfix1^2.gabc",
    "1.2.3.1",
    "1.2.4~rc1",
    "1.2.4",
    "1.10",
};

static void test_order(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(in_order); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(in_order); k++) {
            int r = rpm_version_compare(in_order[i], in_order[k]);

            if ((r > 0) - (r < 0) != (i > k) - (i < k)) {
                fail_msg("'%s' and '%s' compare as %d", in_order[i], in_order[k], r);
            }
        }
    }
}

/* Of rpm's own tests (tests/rpmvercmp.at). */
static void test_oddities(void **state)
{
    static const struct {
        const char *a, *b;
        int order;
    } odd[] = {
        {"1.0", "1.0", 0},
        {"1.0", "1_0", 0},
        {"1.0", "1.00", 0},
        {"001", "1", 0},
        {"2.0.1a", "2.0.1", 1},
        {"5.5p1", "5.5p10", -1},
        {"10xyz", "10.1xyz", -1},
        {"xyz10", "xyz10.1", -1},
        {"xyz.4", "8", -1},
        {"5.5p2", "5.6p1", -1},
        {"6.0.rc1", "6.0", 1},
        {"10b2", "10a1", 1},
        {"1.0aa", "1.0a", 1},
        {"a", "a", 0},
        {"a+", "a_", 0},
        {"+_", "_+", 0},
        {"1.0~rc1", "1.0", -1},
        {"1.0~rc1~git123", "1.0~rc1", -1},
        {"1.0^", "1.0", 1},
        {"1.0^git1", "1.01", -1},
        {"1.0^20160101", "1.0.1", -1},
        {"1.0~rc1^git1", "1.0~rc1", 1},
        {"1.0^git1~pre", "1.0^git1", -1},
        {"", "1", -1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        int r = rpm_version_compare(odd[i].a, odd[i].b);
        int back = rpm_version_compare(odd[i].b, odd[i].a);

        if ((r > 0) - (r < 0) != odd[i].order || (back > 0) - (back < 0) != -odd[i].order) {
            fail_msg("'%s' and '%s' compare as %d, and back as %d", odd[i].a, odd[i].b, r, back);
        }
    }
}

static void test_valid(void **state)
{
    assert_true(rpm_version_is_valid("1.2~rc1^4.g_+a"));
    assert_false(rpm_version_is_valid(""));
    assert_false(rpm_version_is_valid("-1"));
    assert_false(rpm_version_is_valid("1-2"));
    assert_false(rpm_version_is_valid("~1"));
    assert_false(rpm_version_is_valid("1 2"));
    assert_false(rpm_version_is_valid("1..2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_describe), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_order),    cmocka_unit_test(test_oddities),
        cmocka_unit_test(test_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
