/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/moment.h"

#include "tests/unit/cmocka.h"

#define HOUR_US (3600 * MOMENT_SECOND_US)

static void a_moment_is_read(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-02T00:00:01.5Z", MOMENT_DAY_US + 1500000},
        {"2026-11-25T10:00:00.000001Z", 1795600800000001},
        {"2026-11-25T10:00:00.123456789Z", 1795600800123456},
        {"2024-02-29T23:59:59Z", 1709251199000000},
        {"1969-12-31T23:59:59Z", -1000000},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t us = 7;

        assert_int_equal(moment_parse(rows[i].text, &us), 0);
        assert_int_equal(us, rows[i].us);
    }
}

static void what_is_no_moment_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-11-25",
        "2026-11-25T10:00:00",
        "2026-11-25T10:00:00+01:00",
        "2026-11-25 10:00:00Z",
        "2026-11-25T10:00:00.Z",
        "2026-11-25T10:00:00ZZ",
        "2026-02-30T10:00:00Z",
        "2026-13-01T10:00:00Z",
        "2026-00-01T10:00:00Z",
        "2026-11-25T24:00:00Z",
        "2026-11-25T10:60:00Z",
        "2026-11-25T10:00:60Z",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t us = 7;

        if (moment_parse(texts[i], &us) == 0) {
            fail_msg("'%s' was taken", texts[i]);
        }
        assert_int_equal(us, 7);
    }
}

static void people_say_days_and_how_long_ago(void **state)
{
    const int64_t now = 1795600800000000; /* 2026-11-25T10:00:00Z */
    static const struct {
        const char *text;
        bool is_end;
        const char *moment;
    } rows[] = {
        {"2026-11-01", false, "2026-11-01T00:00:00Z"},
        {"2026-11-01", true, "2026-11-02T00:00:00Z"},
        {"2026-11-01T08:30:00Z", true, "2026-11-01T08:30:00Z"},
        {"36h", false, "2026-11-23T22:00:00Z"},
        {"30d", false, "2026-10-26T10:00:00Z"},
        {"2w", true, "2026-11-11T10:00:00Z"},
        {"0d", false, "2026-11-25T10:00:00Z"},
    };
    static const char *const wrong[] = {"",    "soon", "d",        "3",          "3m",      "3dd",
                                        "-3d", "3 d",  "1234567d", "2026-02-30", "2026-1-1"};
    int64_t us;
    char text[MOMENT_TEXT_SIZE];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(moment_parse_said(rows[i].text, rows[i].is_end, now, &us), 0);
        assert_string_equal(moment_rfc3339(us, text), rows[i].moment);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (moment_parse_said(wrong[i], false, now, &us) == 0) {
            fail_msg("'%s' was taken", wrong[i]);
        }
    }
}

static void days_weeks_and_months_begin_where_they_do(void **state)
{
    static const struct {
        const char *moment, *day, *week, *month, *next;
        int weekday;
    } rows[] = {
        {"2026-11-25T10:00:00Z", "2026-11-25", "2026-11-23", "2026-11-01", "2026-12-01", 2},
        {"2026-11-23T00:00:00Z", "2026-11-23", "2026-11-23", "2026-11-01", "2026-12-01", 0},
        {"2026-11-01T23:59:59Z", "2026-11-01", "2026-10-26", "2026-11-01", "2026-12-01", 6},
        {"2024-02-29T12:00:00Z", "2024-02-29", "2024-02-26", "2024-02-01", "2024-03-01", 3},
        {"2025-12-31T12:00:00Z", "2025-12-31", "2025-12-29", "2025-12-01", "2026-01-01", 2},
        {"1970-01-01T00:00:00Z", "1970-01-01", "1969-12-29", "1970-01-01", "1970-02-01", 3},
    };
    char text[MOMENT_TEXT_SIZE];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t us;

        assert_int_equal(moment_parse(rows[i].moment, &us), 0);
        assert_memory_equal(moment_rfc3339(moment_day(us), text), rows[i].day, 10);
        assert_memory_equal(moment_rfc3339(moment_week(us), text), rows[i].week, 10);
        assert_memory_equal(moment_rfc3339(moment_month(us), text), rows[i].month, 10);
        assert_memory_equal(moment_rfc3339(moment_next_month(moment_month(us)), text), rows[i].next,
                            10);
        assert_int_equal(moment_weekday(us), rows[i].weekday);
    }
}

static void a_person_is_told_in_words(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } rows[] = {
        {0, "0 ms"},
        {0.25, "250 ms"},
        {1, "1.0 s"},
        {9.94, "9.9 s"},
        {9.96, "10 s"},
        {99.4, "99 s"},
        {100, "1.7 min"},
        {3600, "60 min"},
        {5999, "100 min"},
        {6000, "1.7 h"},
        {36 * 3600, "36 h"},
        {2 * 86400, "2.0 d"},
        {400 * 86400, "400 d"},
    };
    const int64_t us = 1793491200000000 + 8 * HOUR_US; /* 2026-11-01T00:00:00Z + 8 h */
    char text[MOMENT_TEXT_SIZE];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(moment_duration(rows[i].seconds, text), rows[i].text);
    }
    assert_string_equal(moment_minute(us, text), "2026-11-01 08:00");
    assert_string_equal(moment_date(us, text), "1 Nov 2026");
    assert_string_equal(moment_short(us + 24 * MOMENT_DAY_US, text), "25 Nov");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moment_is_read),
        cmocka_unit_test(what_is_no_moment_is_refused),
        cmocka_unit_test(people_say_days_and_how_long_ago),
        cmocka_unit_test(days_weeks_and_months_begin_where_they_do),
        cmocka_unit_test(a_person_is_told_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
