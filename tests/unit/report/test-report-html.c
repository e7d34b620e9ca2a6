/* SPDX-License-Identifier: MIT */
/* What the page looks like, and that it is well-formed, is looked at by tests/integration; here is
 * what may never get into it. */
#include "plugin/cli/report/report-html.h"

#include "plugin/cli/report/moment.h"
#include "tests/unit/report/records.h"

#define _cleanup_report_ __attribute__((cleanup(report_done)))

/* What somebody would put into a commit's subject, a name, a reason, … */
#define EVIL "</td></title></svg>'\\\"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"

static char *write_page(const History *h, const char *environment)
{
    _cleanup_report_ Report report = {0};
    ReportPeriod period = {.environment = environment, .since_us = MOMENT_NONE};
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);

    assert_int_equal(moment_parse("2026-11-04T00:00:00Z", &period.until_us), 0);
    period.now_us = period.until_us;
    assert_int_equal(report_make(h, &period, &report), 0);
    report_write_html(out, &report);
    assert_int_equal(fclose(out), 0);
    return text;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;

    for (; (text = strstr(text, part)); text += strlen(part)) {
        n++;
    }
    return n;
}

static void nothing_of_the_log_becomes_markup(void **state)
{
    static const char *const log[] = {
        "{\"event\":\"decided\",\"time\":\"2026-11-02T10:00:00Z\",\"call\":\"c1\",\"isAllowed\":"
        "true,"
        "\"approver\":{\"name\":\"N" EVIL "\",\"via\":\"V" EVIL "\"}}",
        END("deploy-" EVIL, DAY("02", "10:00:00"), "failed",
            ",\"call\":\"c1\",\"name\":\"S" EVIL "\",\"version\":\"1" EVIL "\",\"commit\":\"<b>c\","
            "\"subject\":\"T" EVIL "\",\"reason\":\"R" EVIL "\",\"seconds\":1,\"digest\":\"<d>\""),
        END("deploy-" EVIL, DAY("02", "11:00:00"), "succeeded",
            ",\"name\":\"other\",\"seconds\":1,\"digest\":\"<d>\""),
        NULL};
    _cleanup_history_ History h = {0};
    char *page;

    add_log(&h, "<i>host</i>", log);
    assert_int_equal(history_merge(&h), 0);
    assert_int_equal(history_note(&h, "<u>note</u>"), 0);
    page = write_page(&h, "</td></title></svg>'\"><script>alert(1)</script><img src=x "
                          "onerror=alert(2)>&amp;");
    assert_int_equal(count(page, "<script"), 0);
    assert_int_equal(count(page, "<img"), 0);
    assert_int_equal(count(page, "<b>c"), 0);
    assert_int_equal(count(page, "<d>"), 0);
    assert_int_equal(count(page, "<i>host"), 0);
    assert_int_equal(count(page, "<u>"), 0);
    assert_int_equal(count(page, "</title>"), 1 + count(page, "<g><title>"));
    /* It is all there: name, via, service (twice), version, subject, reason. */
    assert_true(count(page, "&lt;script&gt;alert(1)&lt;/script&gt;") >= 8);
    assert_int_equal(count(page, "T&lt;/td&gt;"), 1);
    assert_int_equal(count(page, "N&lt;/td&gt;"), 1);
    assert_int_equal(count(page, "R&lt;/td&gt;"), 1);
    assert_int_equal(count(page, "&lt;u&gt;note"), 1);
    free(page);
}

static void the_page_needs_nothing_else(void **state)
{
    static const char *const never[] = {
        "<script", "http://", "https://", "src=",    "href=",      "url(",
        "@import", "<link",   "<base",    "<iframe", "javascript:"};
    _cleanup_history_ History h = {0};
    char *page;

    make_history(&h, END("deploy-prod", DAY("02", "10:00:00"), "succeeded",
                         ",\"name\":\"shop\",\"seconds\":3"));
    page = write_page(&h, "prod");
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strstr(page, never[i])) {
            fail_msg("the page has '%s'", never[i]);
        }
    }
    assert_non_null(strstr(page, "default-src 'none'"));
    assert_non_null(strstr(page, "prefers-color-scheme:dark"));
    assert_non_null(strstr(page, "@media print"));
    free(page);
}

static void the_definitions_stand_on_it(void **state)
{
    static const char *const abouts[] = {
        REPORT_ABOUT_DEPLOYS, REPORT_ABOUT_LEAD,   REPORT_ABOUT_FAILURES, REPORT_ABOUT_RESTORE,
        REPORT_ABOUT_TIMES,   REPORT_ABOUT_COUNTS, REPORT_ABOUT_SPREAD,
    };
    _cleanup_history_ History h = {0};
    char *page;

    assert_int_equal(history_merge(&h), 0);
    page = write_page(&h, "prod"); /* of an empty log, too */
    for (size_t i = 0; i < sizeof(abouts) / sizeof(abouts[0]); i++) {
        assert_non_null(strstr(page, abouts[i]));
    }
    assert_null(strstr(page, "nan"));
    assert_null(strstr(page, "inf%"));
    assert_non_null(strstr(page, "Nothing in this period."));
    free(page);
}

static void one_service_has_no_table_of_services(void **state)
{
    _cleanup_history_ History one = {0}, two = {0};
    char *page;

    make_history(&one, END("deploy-prod", DAY("02", "10:00:00"), "succeeded", ",\"name\":\"a\""));
    page = write_page(&one, "prod");
    assert_null(strstr(page, "By service"));
    free(page);
    make_history(&two, END("deploy-prod", DAY("02", "10:00:00"), "succeeded", ",\"name\":\"a\""),
                 END("deploy-prod", DAY("02", "10:00:00"), "succeeded", ",\"name\":\"b\""));
    page = write_page(&two, "prod");
    assert_non_null(strstr(page, "By service"));
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_the_log_becomes_markup),
        cmocka_unit_test(the_page_needs_nothing_else),
        cmocka_unit_test(the_definitions_stand_on_it),
        cmocka_unit_test(one_service_has_no_table_of_services),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
