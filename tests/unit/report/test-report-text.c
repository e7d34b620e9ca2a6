/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/report-text.h"

#include "plugin/cli/report/moment.h"
#include "tests/unit/report/records.h"

#define _cleanup_report_ __attribute__((cleanup(report_done)))

static void make(const History *h, Report *report)
{
    ReportPeriod period = {.environment = "prod", .since_us = MOMENT_NONE};

    assert_int_equal(moment_parse("2026-11-04T00:00:00Z", &period.until_us), 0);
    period.now_us = period.until_us;
    assert_int_equal(report_make(h, &period, report), 0);
}

static void make_two_days(History *h)
{
    make_history(
        h,
        END("deploy-prod", DAY("02", "10:00:00"), "succeeded",
            ",\"name\":\"shop\",\"version\":\"1.0\",\"commit\":\"0123456789\",\"digest\":\"d1\","
            "\"committedAt\":\"2026-11-02T09:30:00Z\",\"seconds\":12,\"subject\":\"Fix it\","
            "\"approver\":{\"name\":\"Ada\",\"via\":\"jenkins\"},\"call\":\"c1\""),
        END("deploy-prod", DAY("03", "10:00:00"), "failed",
            ",\"name\":\"search\",\"reason\":\"not healthy\",\"digest\":\"d2\""));
}

static void expect_line(const char *text, const char *line)
{
    const char *at = strstr(text, line);

    if (!at || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n') {
        fail_msg("'%s' is no line of:\n%s", line, text);
    }
}

static void a_terminal_gets_lines(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);

    make_two_days(&h);
    make(&h, &report);
    assert_int_equal(history_note(&h, "a note"), 0);
    report_write_text(out, &report);
    assert_int_equal(fclose(out), 0);
    expect_line(text,
                "releases to prod, 2026-11-02 00:00 to 2026-11-04 00:00 UTC: 2 days (2 working)");
    expect_line(text, "deploys              1, 0.50 a working day, 0.50 a day");
    expect_line(text, "lead time            30 min median, 30 min p90, 30 min longest (of 1)");
    expect_line(text,
                "change-fail rate     50.0 % (1 of 2: 1 failed, 0 taken back, 0 failed a check)");
    expect_line(text, "time to restore      -");
    expect_line(text, "not over yet         1");
    expect_line(text, "rollbacks            0");
    expect_line(text, "deploy-prod               12 s      12 s         1      1       0");
    expect_line(text,
                "shop                         1    30 min     0.0 %         -         0        0");
    expect_line(text, "2026-11-03 10:00  failed         search: not healthy");
    expect_line(text, "2026-11-02 10:00  released       shop 1.0 01234567  Fix it  by Ada");
    expect_line(text, "note: a note");
    free(text);
}

static void a_machine_gets_an_object(void **state)
{
    static const struct {
        const char *pointer;
        double number;
    } numbers[] = {
        {"/days", 2},
        {"/workingDays", 2},
        {"/deploys", 1},
        {"/deploysPerDay", 0.5},
        {"/deploysPerWorkingDay", 0.5},
        {"/failedDeploys", 1},
        {"/changeFailures", 1},
        {"/changeFailRate", 0.5},
        {"/leadTime/count", 1},
        {"/leadTime/medianSeconds", 1800},
        {"/leadTime/p90Seconds", 1800},
        {"/timeToRestore/count", 0},
        {"/openOutages", 1},
        {"/actions/0/time/medianSeconds", 12},
        {"/actions/0/failed", 1},
        {"/services/1/deploys", 1},
        {"/latest/1/leadSeconds", 1800},
    };
    static const char *const texts[][2] = {
        {"/environment", "prod"},
        {"/since", "2026-11-02T00:00:00Z"},
        {"/until", "2026-11-04T00:00:00Z"},
        {"/logs/0", "host"},
        {"/services/0/service", "search"},
        {"/latest/0/fate", "failed"},
        {"/latest/0/reason", "not healthy"},
        {"/latest/1/time", "2026-11-02T10:00:00Z"},
        {"/latest/1/who", "Ada"},
        {"/latest/1/via", "jenkins"},
        {"/latest/1/commit", "0123456789"},
        {"/latest/1/call", "c1"},
    };
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};
    SlipwayJson *json;

    make_two_days(&h);
    make(&h, &report);
    json = report_to_json(&report);
    assert_non_null(json);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        double got = slipway_json_get_number(json, numbers[i].pointer, -1);

        if (got != numbers[i].number) {
            fail_msg("%s is %f", numbers[i].pointer, got);
        }
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_string_equal(slipway_json_get_string(json, texts[i][0], ""), texts[i][1]);
    }
    assert_int_equal(slipway_json_get_type(json, "/timeToRestore/medianSeconds"),
                     SLIPWAY_JSON_NULL);
    assert_int_equal(slipway_json_get_type(json, "/notes"), SLIPWAY_JSON_ARRAY);
    (void)slipway_json_unref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_gets_lines),
        cmocka_unit_test(a_machine_gets_an_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
