/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb-version.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define COMMIT "abcdef1234567890abcdef1234567890abcdef12"

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

/* Each below the next; `dpkg --compare-versions` says the same (tests/integration/test-deb.py). */
static void test_order(void **state)
{
    static const char *const rising[] = {"0~git20231114221320.abcdef1",
                                         "0",
                                         "0.1~alpha",
                                         "0.1~alpha.1",
                                         "0.1~alpha.beta",
                                         "0.1~rc2",
                                         "0.1~rc10",
                                         "0.1",
                                         "0.1-1~bpo1",
                                         "0.1-1",
                                         "0.1-1+deb12u1",
                                         "0.1-2",
                                         "0.1+1.gabc",
                                         "0.1+1.gabc-1",
                                         "0.1+2.gaaa",
                                         "0.1+10.gaaa",
                                         "0.1.1",
                                         "0.2a",
                                         "0.2+a",
                                         "0.10",
                                         "1:0.1"};

    for (size_t i = 0; i < ARRAY_SIZE(rising); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(rising); k++) {
            int wanted = (i > k) - (i < k);

            if (sign(deb_version_compare(rising[i], rising[k])) != wanted) {
                fail_msg("%s and %s", rising[i], rising[k]);
            }
        }
    }
    assert_int_equal(deb_version_compare("1.0", "1.00"), 0);
    assert_int_equal(deb_version_compare("0:1.0", "1.0-0"), 0);
    assert_int_equal(deb_version_compare("1.99999999999999999999999", "1.99999999999999999999999"),
                     0);
    assert_true(deb_version_compare("1.99999999999999999999998", "1.99999999999999999999999") < 0);
}

static void test_check(void **state)
{
    static const char *const good[] = {"1", "1:1.2-3", "1.2~rc1+x-1-2", "0~git.g"};
    static const struct {
        const char *version, *complaint;
    } bad[] = {
        {"", "does not begin with a digit"},
        {"v1", "does not begin with a digit"},
        {"1_2", "has '_'"},
        {"1 2", "has ' '"},
        {"1:", "does not begin with a digit"},
        {":1", "is no epoch"},
        {"x:1", "is no epoch"},
        {"9999999999:1", "is no epoch"},
        {"1-", "has an empty revision"},
        {"1:2:3", "has ':'"},
        {"1-\xc3\xa9", "has '?'"},
    };
    char big[DEB_VERSION_MAX + 2];

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        _cleanup_error_ Error err = {0};

        if (deb_version_check(good[i], &err) < 0) {
            fail_msg("%s: %s", good[i], error_text(&err));
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_error_ Error err = {0};

        assert_int_equal(deb_version_check(bad[i].version, &err), -EINVAL);
        if (!strstr(error_text(&err), bad[i].complaint)) {
            fail_msg("%s: %s", bad[i].version, error_text(&err));
        }
    }
    memset(big, '1', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(deb_version_check(big, NULL), -EINVAL);
}

static void test_map(void **state)
{
    static const struct {
        const char *version, *wanted;
    } rows[] = {
        {"v1.2.3", "1.2.3"},
        {"V2", "2"},
        {"1.2.3", "1.2.3"},
        {"greeter-1.2", "1.2"},
        {"greeter/v1.2", "1.2"},
        {"v1.2.3-4-gabcdef1", "1.2.3+4.gabcdef1"},
        {"v1.2.3-rc.1", "1.2.3~rc.1"},
        {"v1.2.3-rc-1", "1.2.3~rc.1"},
        {"v1.2.3-RC1-4-gabcdef1", "1.2.3~rc1+4.gabcdef1"},
        {"1.2.3rc1", "1.2.3~rc1"},
        {"1.2.3.dev4", "1.2.3~dev4"},
        {"1.0a1", "1.0~a1"},
        {"1.1.1a", "1.1.1a"},
        {"1.0-SNAPSHOT", "1.0~snapshot"},
        {"1.0+build.5", "1.0+build.5"},
        {"2026-11-25", "2026.11.25"},
        {"2026-11-25-2", "2026.11.25.2"},
        {"2026-11-25-3-gabcdef1", "2026.11.25+3.gabcdef1"},
        {"abcdef1", "0~git20231114221320.abcdef1"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        _cleanup_free_ char *version = NULL;

        if (deb_version_map(&(DebVersionRequest){.version = rows[i].version,
                                                 .name = "greeter",
                                                 .commit = COMMIT,
                                                 .committed_at = 1700000000},
                            &version, &err) < 0) {
            fail_msg("%s: %s", rows[i].version, error_text(&err));
        }
        assert_string_equal(version, rows[i].wanted);
    }
}

static void test_epoch_and_revision(void **state)
{
    _cleanup_free_ char *version = NULL;

    assert_int_equal(deb_version_map(
                         &(DebVersionRequest){
                             .version = "v1-rc1", .name = "x", .epoch = 2, .revision = "1~bpo1"},
                         &version, NULL),
                     0);
    assert_string_equal(version, "2:1~rc1-1~bpo1");
}

static void test_refused(void **state)
{
    static const struct {
        const char *version, *complaint;
    } rows[] = {
        {"1.2-hotfix1", "is '-hotfix1' before or after"},
        {"1.2-3", "what is behind its hyphen would be a revision"},
        {"latest", "does not begin with a number"},
        {"v", "does not begin with a number"},
        {"release_1", "does not begin with a number"},
        {"1_2", "has '_'"},
        {"1:2", "has ':'"},
        {"0123456789ab", "neither its commit nor a tag"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        char *version = NULL;

        assert_int_equal(
            deb_version_map(&(DebVersionRequest){.version = rows[i].version, .name = "greeter"},
                            &version, &err),
            -EINVAL);
        assert_null(version);
        if (!strstr(error_text(&err), rows[i].complaint)) {
            fail_msg("%s: %s", rows[i].version, error_text(&err));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),   cmocka_unit_test(test_check),
        cmocka_unit_test(test_map),     cmocka_unit_test(test_epoch_and_revision),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
