/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/svg.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>
#include <string.h>

static size_t count(const char *text, const char *part)
{
    size_t n = 0;

    for (; (text = strstr(text, part)); text += strlen(part)) {
        n++;
    }
    return n;
}

/* Whole numbers on the axis, at most four above zero, and the largest bar below the last. */
static void an_axis_has_few_round_numbers(void **state)
{
    static const struct {
        double max, step;
    } rows[] = {{0, 1}, {1, 1},  {4, 1},   {5, 2},   {8, 2},
                {9, 5}, {20, 5}, {21, 10}, {41, 20}, {1e6, 5e5}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(svg_step(rows[i].max) == rows[i].step);
    }
}

static char *draw(const SvgColumn *columns, size_t n)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    svg_columns(
        out, &(SvgColumns){
                 .title = "A <title>", .columns = columns, .n = n, .width_max = 4, .height = 100});
    assert_int_equal(fclose(out), 0);
    return text;
}

static void bars_are_as_high_as_their_numbers(void **state)
{
    static const SvgColumn columns[] = {
        {.fine = 4, .tip = "four", .label = "first"},
        {.fine = 1, .bad = 1, .tip = "<both>"},
        {.tip = "none", .is_off = true},
        {.bad = 2, .tip = "bad", .label = "last"},
    };
    char *text = draw(columns, 4);

    assert_non_null(strstr(text, "aria-label=\"A &lt;title&gt;\""));
    assert_int_equal(count(text, "class=\"fine\""), 2);
    assert_int_equal(count(text, "class=\"bad\""), 2);
    assert_int_equal(count(text, "class=\"off\""), 1);
    /* 0 to 4 are five lines on 100 pixels, from 14 to 114. */
    assert_int_equal(count(text, "<line"), 5);
    assert_non_null(strstr(text, "y=\"14.0\" height=\"100.0\" rx=\"2\""));
    assert_non_null(strstr(text, "y=\"89.0\" height=\"25.0\""));
    assert_non_null(strstr(text, "y=\"64.0\" height=\"23.0\"")); /* a gap between the two */
    assert_non_null(strstr(text, "y=\"64.0\" height=\"50.0\""));
    assert_non_null(strstr(text, "<title>&lt;both&gt;</title>"));
    assert_null(strstr(text, "none"));
    assert_non_null(strstr(text, ">first</text>"));
    assert_non_null(strstr(text, ">last</text>"));
    free(text);
}

static void nothing_is_an_empty_plot(void **state)
{
    char *text = draw(NULL, 0);

    assert_int_equal(count(text, "<rect"), 0);
    assert_int_equal(count(text, "<line"), 2);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
}

static void spans_share_one_scale(void **state)
{
    static const SvgSpan spans[] = {
        {.name = "build", .text = "1 · 2", .tip = "b", .median = 1, .p90 = 2},
        {.name = "<deploy>", .text = "4 · 8", .tip = "d", .median = 4, .p90 = 8},
        {.name = "nothing", .text = "0 · 0", .tip = "n"},
    };
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    svg_spans(out, "Times", spans, 3);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(count(text, "<rect"), 9);
    assert_non_null(strstr(text, "class=\"fine\" x=\"0.00%\" width=\"12.50%\""));
    assert_non_null(strstr(text, "class=\"light\" x=\"0.00%\" width=\"25.00%\""));
    assert_non_null(strstr(text, "class=\"fine\" x=\"0.00%\" width=\"50.00%\""));
    assert_non_null(strstr(text, "class=\"light\" x=\"0.00%\" width=\"100.00%\""));
    assert_non_null(strstr(text, "&lt;deploy&gt;"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_axis_has_few_round_numbers),
        cmocka_unit_test(bars_are_as_high_as_their_numbers),
        cmocka_unit_test(nothing_is_an_empty_plot),
        cmocka_unit_test(spans_share_one_scale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
