/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb-date.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static void test_both_ways(void **state)
{
    static const struct {
        int64_t seconds;
        const char *zone, *text;
    } rows[] = {
        {0, "+0000", "Thu, 01 Jan 1970 00:00:00 +0000"},
        {1700000000, "UTC", "Tue, 14 Nov 2023 22:13:20 UTC"},
        {1709164800, "+0000", "Thu, 29 Feb 2024 00:00:00 +0000"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
        int64_t seconds = -1;

        assert_int_equal(deb_date_append(&text, rows[i].seconds, rows[i].zone), 0);
        assert_string_equal(buffer_text(&text), rows[i].text);
        assert_int_equal(deb_date_parse(rows[i].text, &seconds), 0);
        assert_int_equal(seconds, rows[i].seconds);
    }
}

static void test_refused(void **state)
{
    static const char *const rows[] = {"",
                                       "now",
                                       "Tue, 14 Nov 2023 22:13:20",
                                       "Tue, 14 Nov 2023 22:13:20 +0100",
                                       "Tue, 14 Foo 2023 22:13:20 UTC",
                                       "Tue, 14 Nov 2023 22:13:20 UTC x"};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t seconds = -1;

        assert_int_equal(deb_date_parse(rows[i], &seconds), -EINVAL);
        assert_int_equal(seconds, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
