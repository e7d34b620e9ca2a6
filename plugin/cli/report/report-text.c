/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/report-text.h"

#include "plugin/cli/report/moment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAME_WIDTH 20

static const char *duration(const ReportSpread *spread, double seconds, char *text)
{
    return spread->n > 0 ? moment_duration(seconds, text) : "-";
}

static void write_spread(FILE *out, const char *name, const ReportSpread *spread, const char *of)
{
    char median[MOMENT_TEXT_SIZE], p90[MOMENT_TEXT_SIZE], max[MOMENT_TEXT_SIZE];

    if (spread->n == 0) {
        (void)fprintf(out, "%-*s -\n", NAME_WIDTH, name);
        return;
    }
    (void)fprintf(out, "%-*s %s median, %s p90, %s longest (of %zu%s)\n", NAME_WIDTH, name,
                  moment_duration(spread->median, median), moment_duration(spread->p90, p90),
                  moment_duration(spread->max, max), spread->n, of);
}

static void write_rate(FILE *out, const char *name, const ReportFigures *f)
{
    double rate = report_fail_rate(f);

    if (rate < 0) {
        (void)fprintf(out, "%-*s -\n", NAME_WIDTH, name);
        return;
    }
    (void)fprintf(out,
                  "%-*s %.1f %% (%zu of %zu: %zu failed, %zu taken back, %zu failed a check)\n",
                  NAME_WIDTH, name, 100 * rate, f->n_failures, f->n_changed + f->n_failed,
                  f->n_failed, f->n_taken_back, f->n_failed_checks);
}

static void write_frequency(FILE *out, const Report *report)
{
    const ReportFigures *f = &report->total;
    double by_working_day = report_per_working_day(report);

    (void)fprintf(out, "%-*s %zu", NAME_WIDTH, "deploys", f->n_changed);
    if (by_working_day >= 0) {
        (void)fprintf(out, ", %.2f a working day", by_working_day);
    }
    (void)fprintf(out, ", %.2f a day", report_per_day(report));
    if (f->n_unchanged > 0) {
        (void)fprintf(out, " (and %zu that changed nothing)", f->n_unchanged);
    }
    (void)fprintf(out, "\n");
}

static void write_figures(FILE *out, const Report *report)
{
    const ReportFigures *f = &report->total;

    write_frequency(out, report);
    write_spread(out, "lead time", &f->lead, "");
    write_rate(out, "change-fail rate", f);
    write_spread(out, "time to restore", &f->restore, f->restore.n == 1 ? " outage" : " outages");
    if (f->n_open > 0) {
        (void)fprintf(out, "%-*s %zu\n", NAME_WIDTH, "not over yet", f->n_open);
    }
    (void)fprintf(out, "%-*s %zu", NAME_WIDTH, "rollbacks", f->n_rollbacks);
    if (f->n_failed_rollbacks > 0) {
        (void)fprintf(out, " (and %zu that failed)", f->n_failed_rollbacks);
    }
    (void)fprintf(out, "\n%-*s %zu\n", NAME_WIDTH, "refusals", f->n_refusals);
}

static void write_actions(FILE *out, const Report *report)
{
    char median[MOMENT_TEXT_SIZE], p90[MOMENT_TEXT_SIZE];

    (void)fprintf(out, "\n%-*s %9s %9s %9s %6s %7s\n", NAME_WIDTH, "time in each action", "median",
                  "p90", "succeeded", "failed", "refused");
    for (size_t i = 0; i < report->n_actions; i++) {
        const ReportAction *a = &report->actions[i];

        (void)fprintf(out, "%-*s %9s %9s %9zu %6zu %7zu\n", NAME_WIDTH, a->name,
                      duration(&a->seconds, a->seconds.median, median),
                      duration(&a->seconds, a->seconds.p90, p90), a->n_succeeded, a->n_failed,
                      a->n_refused);
    }
}

static void write_services(FILE *out, const Report *report)
{
    char lead[MOMENT_TEXT_SIZE], restore[MOMENT_TEXT_SIZE], rate[MOMENT_TEXT_SIZE];

    (void)fprintf(out, "\n%-*s %9s %9s %9s %9s %9s %8s\n", NAME_WIDTH, "service", "deploys",
                  "lead time", "failures", "restore", "rollbacks", "refusals");
    for (size_t i = 0; i < report->n_services; i++) {
        const ReportFigures *f = &report->services[i];
        double share = report_fail_rate(f);

        (void)snprintf(rate, sizeof(rate), share < 0 ? "-" : "%.1f %%", 100 * share);
        (void)fprintf(
            out, "%-*s %9zu %9s %9s %9s %9zu %8zu\n", NAME_WIDTH, *f->name ? f->name : "(not said)",
            f->n_changed, duration(&f->lead, f->lead.median, lead), rate,
            duration(&f->restore, f->restore.median, restore), f->n_rollbacks, f->n_refusals);
    }
}

static void write_latest(FILE *out, const Report *report)
{
    size_t indices[REPORT_LATEST_MAX], n = report_latest(report, REPORT_LATEST_MAX, indices);
    char time[MOMENT_TEXT_SIZE];

    (void)fprintf(out, "\nlatest (UTC)\n");
    for (size_t i = 0; i < n; i++) {
        const ReportRow *row = &report->rows[indices[i]];
        const HistoryEntry *e = row->entry;

        (void)fprintf(out, "%s  %-14s %s%s%s", moment_minute(e->time_us, time), report_fate(row),
                      report->history->services[e->service], *e->version ? " " : "", e->version);
        if (*e->commit && !history_version_says_commit(e->version, e->commit)) {
            (void)fprintf(out, " %.8s", e->commit);
        }
        (void)fprintf(out, "%s%s%s%s%s%s\n", *e->subject ? "  " : "", e->subject,
                      *e->who ? "  by " : "", e->who, *e->reason ? ": " : "", e->reason);
    }
    if (n == 0) {
        (void)fprintf(out, "nothing\n");
    }
}

void report_write_text(FILE *out, const Report *report)
{
    char since[MOMENT_TEXT_SIZE], until[MOMENT_TEXT_SIZE];
    const History *h = report->history;

    (void)fprintf(out, "releases to %s, %s to %s UTC: %u day%s (%u working)\n\n",
                  report->environment, moment_minute(report->since_us, since),
                  moment_minute(report->until_us, until), report->n_days,
                  report->n_days == 1 ? "" : "s", report->n_working_days);
    write_figures(out, report);
    if (report->n_actions > 0) {
        write_actions(out, report);
    }
    if (report->n_services > 1) {
        write_services(out, report);
    }
    write_latest(out, report);
    for (size_t i = 0; i < h->n_notes; i++) {
        (void)fprintf(out, "%snote: %s\n", i == 0 ? "\n" : "", h->notes[i]);
    }
}

/* ---- for machines -----------------------------------------------------------------------------
 */

/* What can go wrong here is memory, and then all goes wrong: the first failure is kept. */
typedef struct Writer {
    int r;
} Writer;

static void set_int(Writer *w, SlipwayJson *to, const char *pointer, size_t value)
{
    w->r = w->r < 0 ? w->r : slipway_json_set_int(to, pointer, (int64_t)value);
}

/* Milliseconds are as exact as the clocks are. A number that is not known is null. */
static void set_number(Writer *w, SlipwayJson *to, const char *pointer, double value, bool is_known)
{
    w->r = w->r < 0   ? w->r
           : is_known ? slipway_json_set_number(to, pointer, round(value * 1000) / 1000)
                      : slipway_json_set(to, pointer, NULL);
}

static void set_text(Writer *w, SlipwayJson *to, const char *pointer, const char *text)
{
    w->r = w->r < 0 || !*text ? w->r : slipway_json_set_string(to, pointer, text);
}

/* A value that is given up. */
static void set_take(Writer *w, SlipwayJson *to, const char *pointer, SlipwayJson *value)
{
    w->r = w->r < 0 ? w->r : value ? slipway_json_set(to, pointer, value) : -1;
    (void)slipway_json_unref(value);
}

static SlipwayJson *describe_spread(Writer *w, const ReportSpread *spread)
{
    SlipwayJson *object = slipway_json_new_object();

    set_int(w, object, "/count", spread->n);
    set_number(w, object, "/medianSeconds", spread->median, spread->n > 0);
    set_number(w, object, "/p90Seconds", spread->p90, spread->n > 0);
    set_number(w, object, "/maxSeconds", spread->max, spread->n > 0);
    return object;
}

static void describe_figures(Writer *w, SlipwayJson *to, const ReportFigures *f)
{
    double rate = report_fail_rate(f);

    set_int(w, to, "/deploys", f->n_changed);
    set_int(w, to, "/unchangedDeploys", f->n_unchanged);
    set_int(w, to, "/failedDeploys", f->n_failed);
    set_take(w, to, "/leadTime", describe_spread(w, &f->lead));
    set_int(w, to, "/changeFailures", f->n_failures);
    set_int(w, to, "/takenBack", f->n_taken_back);
    set_int(w, to, "/failedChecks", f->n_failed_checks);
    w->r = w->r < 0   ? w->r
           : rate < 0 ? slipway_json_set(to, "/changeFailRate", NULL)
                      : slipway_json_set_number(to, "/changeFailRate", rate);
    set_take(w, to, "/timeToRestore", describe_spread(w, &f->restore));
    set_int(w, to, "/openOutages", f->n_open);
    set_int(w, to, "/rollbacks", f->n_rollbacks);
    set_int(w, to, "/failedRollbacks", f->n_failed_rollbacks);
    set_int(w, to, "/refusals", f->n_refusals);
}

static SlipwayJson *describe_actions(Writer *w, const Report *report)
{
    SlipwayJson *array = slipway_json_new_array();

    for (size_t i = 0; i < report->n_actions; i++) {
        const ReportAction *a = &report->actions[i];
        SlipwayJson *object = slipway_json_new_object();

        set_text(w, object, "/action", a->name);
        set_int(w, object, "/succeeded", a->n_succeeded);
        set_int(w, object, "/failed", a->n_failed);
        set_int(w, object, "/refused", a->n_refused);
        set_take(w, object, "/time", describe_spread(w, &a->seconds));
        set_take(w, array, "/-", object);
    }
    return array;
}

static SlipwayJson *describe_services(Writer *w, const Report *report)
{
    SlipwayJson *array = slipway_json_new_array();

    for (size_t i = 0; i < report->n_services; i++) {
        SlipwayJson *object = slipway_json_new_object();

        set_text(w, object, "/service", report->services[i].name);
        describe_figures(w, object, &report->services[i]);
        set_take(w, array, "/-", object);
    }
    return array;
}

static SlipwayJson *describe_latest(Writer *w, const Report *report)
{
    size_t indices[REPORT_LATEST_MAX], n = report_latest(report, REPORT_LATEST_MAX, indices);
    SlipwayJson *array = slipway_json_new_array();
    char time[MOMENT_TEXT_SIZE];

    for (size_t i = 0; i < n; i++) {
        const ReportRow *row = &report->rows[indices[i]];
        const HistoryEntry *e = row->entry;
        SlipwayJson *object = slipway_json_new_object();

        set_text(w, object, "/time", moment_rfc3339(e->time_us, time));
        set_text(w, object, "/fate", report_fate(row));
        set_text(w, object, "/action", report->history->actions[e->action]);
        set_text(w, object, "/service", report->history->services[e->service]);
        set_text(w, object, "/version", e->version);
        set_text(w, object, "/commit", e->commit);
        set_text(w, object, "/digest", e->digest);
        set_text(w, object, "/subject", e->subject);
        set_text(w, object, "/who", e->who);
        set_text(w, object, "/via", e->via);
        set_text(w, object, "/reason", e->reason);
        set_text(w, object, "/call", e->call);
        if (row->lead_seconds >= 0) {
            set_number(w, object, "/leadSeconds", row->lead_seconds, true);
        }
        set_take(w, array, "/-", object);
    }
    return array;
}

static SlipwayJson *describe_texts(Writer *w, const char *const *texts, size_t n)
{
    SlipwayJson *array = slipway_json_new_array();

    for (size_t i = 0; i < n; i++) {
        set_text(w, array, "/-", texts[i]);
    }
    return array;
}

SlipwayJson *report_to_json(const Report *report)
{
    SlipwayJson *object = slipway_json_new_object();
    const History *h = report->history;
    const char *names[HISTORY_LOGS_MAX];
    char text[MOMENT_TEXT_SIZE];
    Writer w = {0};

    for (size_t i = 0; i < h->n_logs; i++) {
        names[i] = history_log_name(h, i);
    }
    set_text(&w, object, "/environment", report->environment);
    set_text(&w, object, "/since", moment_rfc3339(report->since_us, text));
    set_text(&w, object, "/until", moment_rfc3339(report->until_us, text));
    set_take(&w, object, "/logs", describe_texts(&w, names, h->n_logs));
    set_int(&w, object, "/days", report->n_days);
    set_int(&w, object, "/workingDays", report->n_working_days);
    set_number(&w, object, "/deploysPerDay", report_per_day(report), report->n_days > 0);
    set_number(&w, object, "/deploysPerWorkingDay", report_per_working_day(report),
               report->n_working_days > 0);
    describe_figures(&w, object, &report->total);
    set_take(&w, object, "/actions", describe_actions(&w, report));
    set_take(&w, object, "/services", describe_services(&w, report));
    set_take(&w, object, "/latest", describe_latest(&w, report));
    set_take(&w, object, "/notes", describe_texts(&w, h->notes, h->n_notes));
    return w.r < 0 ? slipway_json_unref(object) : object;
}
