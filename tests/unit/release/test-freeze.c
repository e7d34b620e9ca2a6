/* SPDX-License-Identifier: MIT */
#include "agent/release/freeze.h"

#include "protocol/base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WEEKEND                                                                     \
    "[{\"from\":\"Fri 16:00\",\"to\":\"Mon 08:00\",\"timeZone\":\"Europe/Berlin\"," \
    "\"reason\":\"weekend\"}]"

static int find(const char *windows, const char *now, char *reason, Error *err)
{
    _cleanup_json_ Json *parsed = NULL;
    const Json *window = NULL;
    int64_t now_us;
    int r;

    assert_int_equal(json_parse(windows, strlen(windows), &parsed, NULL), 0);
    assert_int_equal(clock_parse(now, &now_us), 0);
    r = freeze_find(parsed, now_us, &window, err);
    if (r == FREEZE_ACTIVE && reason) {
        (void)snprintf(reason, 64, "%s", json_get_string(window, "reason"));
    }
    return r;
}

/* 2026-11-27 is a Friday; Berlin is one hour ahead of UTC in winter, two in summer. */
static void test_windows(void **state)
{
    static const struct {
        const char *windows;
        const char *now;
        int answer;
    } cases[] = {
        {"[]", "2026-11-27T15:00:00Z", 0},
        {WEEKEND, "2026-11-27T14:59:59Z", 0},
        {WEEKEND, "2026-11-27T15:00:00Z", FREEZE_ACTIVE},
        {WEEKEND, "2026-11-29T12:00:00Z", FREEZE_ACTIVE},
        {WEEKEND, "2026-11-30T06:59:59Z", FREEZE_ACTIVE},
        {WEEKEND, "2026-11-30T07:00:00Z", 0},
        {WEEKEND, "2026-07-03T13:59:59Z", 0},
        {WEEKEND, "2026-07-03T14:00:00Z", FREEZE_ACTIVE},
        {"[{\"from\":\"Tue 09:00\",\"to\":\"Tue 10:00\"}]", "2026-11-24T09:30:00Z", FREEZE_ACTIVE},
        {"[{\"from\":\"Tue 09:00\",\"to\":\"Tue 10:00\"}]", "2026-11-25T09:30:00Z", 0},
        {"[{\"from\":\"Sun 00:00\",\"to\":\"Sun 24:00\"}]", "2026-11-29T23:59:59Z", FREEZE_ACTIVE},
        {"[{\"from\":\"Mon 00:00\",\"to\":\"Sun 24:00\"}]", "2026-11-29T23:59:59Z", FREEZE_ACTIVE},
        {"[{\"from\":\"Mon 00:00\",\"to\":\"Sun 24:00\"}]", "2026-11-30T00:00:00Z", FREEZE_ACTIVE},
        {"[{\"from\":\"2026-12-23T18:00\",\"to\":\"2027-01-02T08:00\"}]", "2026-12-23T17:59:59Z",
         0},
        {"[{\"from\":\"2026-12-23T18:00\",\"to\":\"2027-01-02T08:00\"}]", "2026-12-31T00:00:00Z",
         FREEZE_ACTIVE},
        {"[{\"from\":\"2026-12-23T18:00\",\"to\":\"2027-01-02T08:00\"}]", "2027-01-02T08:00:00Z",
         0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int r = find(cases[i].windows, cases[i].now, NULL, NULL);

        if (r != cases[i].answer) {
            fail_msg("case %zu, %s: %d", i, cases[i].now, r);
        }
    }
}

static void test_the_window_is_told(void **state)
{
    char reason[64];

    assert_int_equal(find(WEEKEND, "2026-11-28T00:00:00Z", reason, NULL), FREEZE_ACTIVE);
    assert_string_equal(reason, "weekend");
}

static void test_a_window_that_cannot_be_understood_is_no_window_to_pass(void **state)
{
    static const char *const windows[] = {
        "[{\"from\":\"Friday\",\"to\":\"Mon 08:00\"}]",
        "[{\"from\":\"Fri 25:00\",\"to\":\"Mon 08:00\"}]",
        "[{\"from\":\"onT 08:00\",\"to\":\"Mon 08:00\"}]",
        "[{\"from\":\"Fri 16:00\",\"to\":\"2026-12-23T18:00\"}]",
        "[{\"from\":\"2026-12-23\",\"to\":\"2026-12-24\"}]",
        "[{\"from\":\"Fri 16:00\"}]",
        "[{\"from\":\"Fri 16:00\",\"to\":\"Mon 08:00\",\"timeZone\":\"Europe/Brelin\"}]",
        "[{\"from\":\"Fri 16:00\",\"to\":\"Mon 08:00\",\"timeZone\":\"../../etc/passwd\"}]",
        "[{\"from\":\"Fri 16:00\",\"to\":\"Mon 08:00\"},{\"from\":\"x\",\"to\":\"y\"}]",
    };

    for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
        _cleanup_error_ Error err = {0};

        assert_int_equal(find(windows[i], "2026-11-28T00:00:00Z", NULL, &err), -EINVAL);
        assert_non_null(err.text);
    }
}

static void test_the_process_keeps_its_time_zone(void **state)
{
    assert_int_equal(setenv("TZ", "Asia/Tokyo", 1), 0);
    assert_int_equal(find(WEEKEND, "2026-11-28T00:00:00Z", NULL, NULL), FREEZE_ACTIVE);
    assert_string_equal(getenv("TZ"), "Asia/Tokyo");
    assert_int_equal(unsetenv("TZ"), 0);
    assert_int_equal(find(WEEKEND, "2026-11-28T00:00:00Z", NULL, NULL), FREEZE_ACTIVE);
    assert_null(getenv("TZ"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_the_window_is_told),
        cmocka_unit_test(test_a_window_that_cannot_be_understood_is_no_window_to_pass),
        cmocka_unit_test(test_the_process_keeps_its_time_zone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
