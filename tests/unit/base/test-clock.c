/* SPDX-License-Identifier: MIT */
#include "protocol/base/clock.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

static const struct {
    int64_t wall_us;
    const char *text;
} moments[] = {
    {0, "1970-01-01T00:00:00.000000Z"},
    {1, "1970-01-01T00:00:00.000001Z"},
    {-1, "1969-12-31T23:59:59.999999Z"},
    {-1000000, "1969-12-31T23:59:59.000000Z"},
    {951782400000000, "2000-02-29T00:00:00.000000Z"},
    {1767225599999999, "2025-12-31T23:59:59.999999Z"},
    {4102444800123456, "2100-01-01T00:00:00.123456Z"},
    {253402300799999999, "9999-12-31T23:59:59.999999Z"},
};

static void formats_and_parses_the_same(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
        char text[CLOCK_TEXT_SIZE];
        int64_t back;

        assert_ptr_equal(clock_format(moments[i].wall_us, text), text);
        assert_string_equal(text, moments[i].text);
        assert_int_equal(clock_parse(text, &back), 0);
        assert_true(back == moments[i].wall_us);
    }
}

static void formats_years_beyond_four_digits_in_bounds(void **state)
{
    char text[CLOCK_TEXT_SIZE];

    (void)clock_format(INT64_MAX, text);
    assert_int_equal(strlen(text), CLOCK_TEXT_SIZE - 1);
    (void)clock_format(INT64_MIN + 1000000, text);
    assert_int_equal(strlen(text), CLOCK_TEXT_SIZE - 1);
}

static void fraction_may_be_absent_or_of_any_length(void **state)
{
    static const struct {
        const char *text;
        int64_t wall_us;
    } rows[] = {
        {"1970-01-01T00:00:01Z", 1000000},
        {"1970-01-01T00:00:01.5Z", 1500000},
        {"1970-01-01T00:00:01.000001999Z", 1000001},
        {"1970-01-01T00:00:00.123456789012345678901234567890Z", 123456},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t wall_us;

        assert_int_equal(clock_parse(rows[i].text, &wall_us), 0);
        assert_true(wall_us == rows[i].wall_us);
    }
}

static void refuses_everything_else(void **state)
{
    static const char *const texts[] = {
        "",
        "Z",
        "2026",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00z",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00Zx",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01 00:00:00Z",
        " 2026-01-01T00:00:00Z",
        "2026-1-1T0:0:0Z",
        "2026- 1-01T00:00:00Z",
        "+026-01-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-02-31T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.5.5Z",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int64_t wall_us = 42;

        assert_int_equal(clock_parse(texts[i], &wall_us), -EINVAL);
        assert_true(wall_us == 42);
    }
}

static void clocks_go_forward(void **state)
{
    int64_t monotonic = clock_monotonic_ms(), wall = clock_wall_us();

    assert_true(monotonic > 0 && clock_monotonic_ms() >= monotonic);
    assert_true(wall > moments[4].wall_us); /* later than the year 2000, in the right unit */
    assert_true(wall < moments[6].wall_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_parses_the_same),
        cmocka_unit_test(formats_years_beyond_four_digits_in_bounds),
        cmocka_unit_test(fraction_may_be_absent_or_of_any_length),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(clocks_go_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
