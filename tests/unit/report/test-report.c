/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/report.h"

#include "plugin/cli/report/moment.h"
#include "tests/unit/report/records.h"

#define _cleanup_report_ __attribute__((cleanup(report_done)))

#define HOUR 3600.0
#define SHOP ",\"name\":\"shop\""
#define DIGEST(d) ",\"digest\":\"" d "\""
#define COMMITTED(moment) ",\"committedAt\":\"" moment "\""
#define DEPLOY(moment, outcome, members) END("deploy-prod", moment, outcome, SHOP members)
#define VERIFY(moment, outcome, members) END("verify-prod", moment, outcome, SHOP members)
#define ROLLBACK(moment, outcome, members) END("rollback-prod", moment, outcome, SHOP members)

static int64_t moment(const char *text)
{
    int64_t us = MOMENT_NONE;

    assert_int_equal(moment_parse_said(text, false, 0, &us), 0);
    return us;
}

/* From the beginning of one day to that of another; NULL: from the first record. */
static void make(const History *h, const char *since, const char *until, Report *report)
{
    ReportPeriod period = {
        .environment = "prod",
        .since_us = since ? moment(since) : MOMENT_NONE,
        .until_us = moment(until),
        .now_us = moment("2026-12-31"),
    };

    assert_int_equal(report_make(h, &period, report), 0);
}

static void expect_number(double got, double expected)
{
    if (got < expected - 1e-9 || got > expected + 1e-9) {
        fail_msg("%.9f instead of %.9f", got, expected);
    }
}

static void expect_spread(const ReportSpread *spread, size_t n, double median, double p90,
                          double max)
{
    assert_int_equal(spread->n, n);
    expect_number(spread->median, median);
    expect_number(spread->p90, p90);
    expect_number(spread->max, max);
}

/* A week from Monday, 2 November, in which everything happens. */
static void make_week(History *h)
{
    make_history(
        h,
        DEPLOY(DAY("02", "10:00:00"), "succeeded",
               DIGEST("d1") COMMITTED(DAY("02", "09:00:00")) ",\"seconds\":10"),
        VERIFY(DAY("02", "10:05:00"), "succeeded", DIGEST("d1") ",\"seconds\":1"),
        DEPLOY(DAY("02", "12:00:00"), "succeeded",
               DIGEST("d2") COMMITTED(DAY("02", "11:50:00")) ",\"seconds\":20"),
        VERIFY(DAY("02", "12:01:00"), "failed", DIGEST("d2") ",\"seconds\":90"),
        ROLLBACK(DAY("02", "12:11:00"), "succeeded",
                 DIGEST("d1") ",\"previousDigest\":\"d2\",\"seconds\":5"),
        DEPLOY(DAY("03", "10:00:00"), "failed", DIGEST("d3") ",\"seconds\":120"),
        DEPLOY(DAY("03", "10:30:00"), "succeeded",
               DIGEST("d4") COMMITTED(DAY("03", "08:30:00")) ",\"seconds\":30"),
        DEPLOY(DAY("04", "10:00:00"), "succeeded",
               DIGEST("d5") COMMITTED(DAY("04", "09:30:00")) ",\"seconds\":40"),
        ROLLBACK(DAY("04", "11:00:00"), "succeeded",
                 DIGEST("d4") ",\"previousDigest\":\"d5\",\"seconds\":7"),
        DEPLOY(DAY("05", "10:00:00"), "failed", DIGEST("d6") ",\"isRestored\":true"),
        DEPLOY(DAY("05", "11:00:00"), "succeeded",
               DIGEST("d4") ",\"isUnchanged\":true,\"seconds\":0.1"),
        DEPLOY(DAY("06", "10:00:00"), "refused", DIGEST("d7") ",\"reason\":\"no approval\""),
        DEPLOY(DAY("06", "11:00:00"), "succeeded", DIGEST("d7")),
        VERIFY(DAY("06", "12:00:00"), "failed", DIGEST("d7")),
        END("build", DAY("06", "09:00:00"), "succeeded", SHOP ",\"seconds\":60"),
        END("deploy-staging", DAY("06", "09:30:00"), "failed", SHOP DIGEST("d7")));
}

static void a_week_has_these_figures(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};
    const ReportFigures *f = &report.total;

    make_week(&h);
    make(&h, NULL, "2026-11-09", &report);
    assert_true(report.since_us == moment("2026-11-02"));
    assert_int_equal(report.n_days, 7);
    assert_int_equal(report.n_working_days, 5);
    assert_int_equal(f->n_changed, 5);
    assert_int_equal(f->n_unchanged, 1);
    assert_int_equal(f->n_failed, 2);
    assert_int_equal(f->n_failures, 5);
    assert_int_equal(f->n_taken_back, 2);
    assert_int_equal(f->n_failed_checks, 1);
    assert_int_equal(f->n_rollbacks, 2);
    assert_int_equal(f->n_failed_rollbacks, 0);
    assert_int_equal(f->n_refusals, 1);
    assert_int_equal(f->n_open, 1);
    expect_number(report_per_day(&report), 5.0 / 7);
    expect_number(report_per_working_day(&report), 1);
    expect_number(report_fail_rate(f), 5.0 / 7);
    expect_spread(&f->lead, 4, 2700, 6120, 7200);
    expect_spread(&f->restore, 3, 1800, 3240, 3600);
    assert_int_equal(report.n_undated, 1);
    assert_int_equal(report.n_negative, 0);
    assert_int_equal(report.n_future, 0);
    assert_int_equal(report.n_services, 1);
    assert_string_equal(report.services[0].name, "shop");
    assert_int_equal(report.services[0].n_failures, 5);
    expect_spread(&report.services[0].restore, 3, 1800, 3240, 3600);
}

static void lead_times_fall_into_classes(void **state)
{
    static const size_t expected[REPORT_LEAD_CLASSES] = {0, 1, 1, 1, 1, 0, 0, 0, 0, 0};
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};

    make_week(&h);
    make(&h, NULL, "2026-11-09", &report);
    for (size_t i = 0; i < REPORT_LEAD_CLASSES; i++) {
        assert_int_equal(report.lead_classes[i], expected[i]);
    }
}

static void each_day_has_its_deploys(void **state)
{
    static const size_t fine[] = {1, 1, 0, 0, 0, 0, 0}, failures[] = {1, 1, 1, 1, 1, 0, 0};
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};

    make_week(&h);
    make(&h, NULL, "2026-11-09", &report);
    assert_int_equal(report.unit, REPORT_DAYS);
    assert_int_equal(report.n_buckets, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(report.buckets[i].n_fine, fine[i]);
        assert_int_equal(report.buckets[i].n_failures, failures[i]);
        assert_true(report.buckets[i].start_us ==
                    moment("2026-11-02") + (int64_t)i * MOMENT_DAY_US);
    }
}

static void each_action_has_its_time(void **state)
{
    static const struct {
        const char *name;
        size_t succeeded, failed, refused, n;
        double median, p90;
    } rows[] = {
        {"build", 1, 0, 0, 1, 60, 60},         {"deploy-staging", 0, 1, 0, 0, 0, 0},
        {"deploy-prod", 6, 2, 1, 4, 25, 37},   {"verify-prod", 1, 2, 0, 1, 1, 1},
        {"rollback-prod", 2, 0, 0, 2, 6, 6.8},
    };
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};

    make_week(&h);
    make(&h, NULL, "2026-11-09", &report);
    assert_int_equal(report.n_actions, 5);
    for (size_t i = 0; i < 5; i++) {
        const ReportAction *a = &report.actions[i];

        assert_string_equal(a->name, rows[i].name);
        assert_int_equal(a->n_succeeded, rows[i].succeeded);
        assert_int_equal(a->n_failed, rows[i].failed);
        assert_int_equal(a->n_refused, rows[i].refused);
        assert_int_equal(a->seconds.n, rows[i].n);
        expect_number(a->seconds.median, rows[i].median);
        expect_number(a->seconds.p90, rows[i].p90);
    }
}

static void each_row_tells_what_became_of_it(void **state)
{
    static const char *const newest_first[] = {
        "failed a check", "refused", "failed, undone", "rollback",    "rolled back",
        "released",       "failed",  "rollback",       "rolled back", "released",
    };
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};
    size_t indices[20];

    make_week(&h);
    make(&h, NULL, "2026-11-09", &report);
    assert_int_equal(report_latest(&report, 20, indices), 10);
    for (size_t i = 0; i < 10; i++) {
        assert_string_equal(report_fate(&report.rows[indices[i]]), newest_first[i]);
    }
    assert_true(report.rows[indices[0]].lead_seconds < 0);
    expect_number(report.rows[indices[9]].lead_seconds, 3600);
    assert_int_equal(report_latest(&report, 3, indices), 3);
    assert_string_equal(report_fate(&report.rows[indices[2]]), "failed, undone");
}

/* Causes and ends may lie beyond the period; what counts is where the deploy and the failure are.
 */
static void a_period_is_looked_at_with_what_is_around_it(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};
    const ReportFigures *f = &report.total;

    make_week(&h);
    make(&h, "2026-11-04", "2026-11-04T10:30:00Z", &report);
    assert_int_equal(f->n_changed, 1);
    assert_int_equal(f->n_taken_back, 1); /* by what came after the period */
    assert_int_equal(f->n_rollbacks, 0);
    expect_spread(&f->restore, 1, 3600, 3600, 3600);
    assert_int_equal(report.n_days, 1);
    report_done(&report);

    make(&h, "2026-11-04T10:30:00Z", "2026-11-05", &report);
    assert_int_equal(f->n_changed, 0);
    assert_int_equal(f->n_rollbacks, 1);
    assert_int_equal(f->restore.n, 0); /* the outage began before */
    expect_number(report_fail_rate(f), -1);
    report_done(&report);

    make(&h, "2026-11-02T10:00:00Z", "2026-11-02T12:00:00Z", &report); /* the end is not in it */
    assert_int_equal(f->n_changed, 1);
}

static void without_deploys_nothing_is_divided(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};
    size_t index;

    make_week(&h);
    make(&h, "2026-11-07", "2026-11-09", &report); /* a weekend */
    assert_int_equal(report.n_days, 2);
    assert_int_equal(report.n_working_days, 0);
    expect_number(report_per_day(&report), 0);
    expect_number(report_per_working_day(&report), -1);
    expect_number(report_fail_rate(&report.total), -1);
    assert_int_equal(report.total.lead.n + report.total.restore.n, 0);
    assert_int_equal(report.n_services, 0);
    assert_int_equal(report.n_actions, 0);
    assert_int_equal(report.n_buckets, 2);
    assert_int_equal(report_latest(&report, 1, &index), 0);
}

static void an_empty_history_is_today_without_deploys(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};

    assert_int_equal(history_merge(&h), 0);
    make(&h, NULL, "2026-11-09T15:00:00Z", &report);
    assert_true(report.since_us == moment("2026-11-09"));
    assert_int_equal(report.n_days, 1);
    assert_int_equal(report.total.n_changed, 0);
    assert_int_equal(report_add_notes(&report, &h), 0);
    assert_int_equal(h.n_notes, 1);
    assert_string_equal(h.notes[0], "no deploy to 'prod' is in the log");
}

static void one_deploy_is_its_own_median(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};

    make_history(&h, DEPLOY(DAY("02", "10:00:00"), "succeeded", COMMITTED(DAY("02", "09:00:00"))));
    make(&h, NULL, "2026-11-02T12:00:00Z", &report);
    expect_spread(&report.total.lead, 1, HOUR, HOUR, HOUR);
    expect_number(report_per_day(&report), 1);
    expect_number(report_fail_rate(&report.total), 0);
    assert_int_equal(report_add_notes(&report, &h), 0);
    assert_int_equal(h.n_notes, 0);
}

static void a_clock_that_goes_back_gives_no_negative_times(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};

    make_history(&h,
                 DEPLOY(DAY("02", "10:00:00"), "succeeded",
                        DIGEST("d1")
                            COMMITTED(DAY("02", "10:00:01"))), /* younger than its deploy */
                 VERIFY(DAY("02", "10:05:00"), "failed", DIGEST("d1")),
                 DEPLOY(DAY("02", "10:01:00"), "succeeded", DIGEST("d2")),
                 DEPLOY("2027-01-01T00:00:00Z", "succeeded", DIGEST("d3")));
    make(&h, NULL, "2026-11-03", &report);
    assert_int_equal(report.n_negative, 2);
    assert_int_equal(report.n_future, 1);
    assert_int_equal(report.total.lead.n, 0);
    assert_int_equal(report.total.restore.n, 0);
    assert_int_equal(report.total.n_changed, 2);
    assert_int_equal(report.total.n_open, 0);
    assert_int_equal(report_add_notes(&report, &h), 0);
    assert_int_equal(h.n_notes, 4);
    assert_non_null(strstr(h.notes[0], "clock went back 1 time, first at record 0"));
    assert_non_null(strstr(h.notes[1], "2 durations were left out"));
    assert_non_null(strstr(h.notes[2], "of 1 deploy the commit's time is not known"));
    assert_non_null(strstr(h.notes[3], "1 end is dated after now"));
}

/* One service's repair does not mend another's. */
static void services_are_counted_apart(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};

    make_history(
        &h,
        END("deploy-prod", DAY("02", "10:00:00"), "failed", ",\"name\":\"b\",\"digest\":\"b1\""),
        END("deploy-prod", DAY("02", "10:10:00"), "succeeded", ",\"name\":\"a\",\"digest\":\"a1\""),
        END("deploy-prod", DAY("02", "11:00:00"), "succeeded", ",\"name\":\"b\",\"digest\":\"b2\""),
        END("deploy-staging", DAY("02", "11:00:00"), "succeeded", ",\"name\":\"c\""));
    make(&h, NULL, "2026-11-03", &report);
    assert_int_equal(report.n_services, 2);
    assert_string_equal(report.services[0].name, "a");
    assert_int_equal(report.services[0].n_changed, 1);
    assert_int_equal(report.services[0].restore.n, 0);
    assert_string_equal(report.services[1].name, "b");
    assert_int_equal(report.services[1].n_failures, 1);
    expect_spread(&report.services[1].restore, 1, HOUR, HOUR, HOUR);
    expect_spread(&report.total.restore, 1, HOUR, HOUR, HOUR);
    assert_int_equal(report.total.n_changed, 2);
}

static void failures_until_the_repair_are_one_outage(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};

    make_history(&h, DEPLOY(DAY("02", "10:00:00"), "succeeded", DIGEST("d1")),
                 VERIFY(DAY("02", "10:10:00"), "failed", DIGEST("d1")),
                 ROLLBACK(DAY("02", "10:20:00"), "failed", ",\"previousDigest\":\"d1\""),
                 DEPLOY(DAY("02", "10:30:00"), "failed", DIGEST("d2")),
                 DEPLOY(DAY("02", "10:40:00"), "refused", DIGEST("d3")),
                 VERIFY(DAY("02", "10:50:00"), "succeeded", DIGEST("d1")),
                 ROLLBACK(DAY("02", "12:00:00"), "failed", ",\"previousDigest\":\"other\""),
                 ROLLBACK(DAY("02", "12:30:00"), "succeeded", ",\"previousDigest\":\"other\""));
    make(&h, NULL, "2026-11-03", &report);
    assert_int_equal(report.total.restore.n, 2);
    expect_number(report.total.restore.max, 2400);
    assert_int_equal(report.total.n_failed_rollbacks, 2);
    assert_int_equal(report.total.n_rollbacks, 1);
    assert_int_equal(report.total.n_failures, 2);
    assert_int_equal(report.total.n_open, 0);
}

static void long_periods_have_weeks_and_months(void **state)
{
    static const struct {
        const char *since, *until;
        ReportUnit unit;
        size_t n;
        const char *first;
    } rows[] = {
        {"2026-09-08", "2026-11-09", REPORT_DAYS, 62, "2026-09-08"},
        {"2026-09-07", "2026-11-09", REPORT_WEEKS, 9, "2026-09-07"},
        {"2026-09-09", "2026-11-11", REPORT_WEEKS, 10, "2026-09-07"},
        {"2025-01-15", "2026-11-09", REPORT_MONTHS, 23, "2025-01-01"},
        {"1600-01-01", "2026-11-09", REPORT_MONTHS, 1200, "1600-01-01"}, /* the limit */
    };
    _cleanup_history_ History h = {0};

    make_week(&h);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        _cleanup_report_ Report report = {0};
        size_t n = 0;

        make(&h, rows[i].since, rows[i].until, &report);
        assert_int_equal(report.unit, rows[i].unit);
        assert_int_equal(report.n_buckets, rows[i].n);
        assert_true(report.buckets[0].start_us == moment(rows[i].first));
        for (size_t k = 0; k < report.n_buckets; k++) {
            n += report.buckets[k].n_fine + report.buckets[k].n_failures;
        }
        assert_int_equal(n, 7);
    }
}

static void other_environments_are_named_where_ours_is_not(void **state)
{
    _cleanup_history_ History h = {0};
    _cleanup_report_ Report report = {0};

    make_history(&h, END("deploy-staging", DAY("02", "10:00:00"), "succeeded", ""),
                 END("deploy-qa", DAY("02", "10:00:00"), "succeeded", ""),
                 END("deploy-staging", DAY("02", "11:00:00"), "succeeded", ""));
    make(&h, NULL, "2026-11-03", &report);
    assert_int_equal(report_add_notes(&report, &h), 0);
    assert_string_equal(h.notes[0], "no deploy to 'prod' is in the log; it tells of staging, qa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_week_has_these_figures),
        cmocka_unit_test(lead_times_fall_into_classes),
        cmocka_unit_test(each_day_has_its_deploys),
        cmocka_unit_test(each_action_has_its_time),
        cmocka_unit_test(each_row_tells_what_became_of_it),
        cmocka_unit_test(a_period_is_looked_at_with_what_is_around_it),
        cmocka_unit_test(without_deploys_nothing_is_divided),
        cmocka_unit_test(an_empty_history_is_today_without_deploys),
        cmocka_unit_test(one_deploy_is_its_own_median),
        cmocka_unit_test(a_clock_that_goes_back_gives_no_negative_times),
        cmocka_unit_test(services_are_counted_apart),
        cmocka_unit_test(failures_until_the_repair_are_one_outage),
        cmocka_unit_test(long_periods_have_weeks_and_months),
        cmocka_unit_test(other_environments_are_named_where_ours_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
