/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/report.h"

#include "plugin/cli/report/moment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many buckets are still bars that can be told apart. */
#define DAYS_MAX 62
#define WEEKS_MAX 80
/* A period of more than a century is a slip of the finger; it gets this many buckets. */
#define BUCKETS_MAX 1200
/* A rollback or check is of one of the last deploys; the search for it goes no further. */
#define LOOK_BACK_MAX 256

const double report_lead_ends[REPORT_LEAD_CLASSES - 1] = {
    600, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 86400, 2 * 86400, 7 * 86400,
};

/* A growing set of durations. */
typedef struct Samples {
    double *values;
    size_t n, room;
} Samples;

/* One service, while the history is walked. */
typedef struct Walk {
    ReportFigures figures;
    Samples leads, restores;
    size_t last_deploy; /* index + 1 of its row; 0: none */
    bool is_out;        /* an outage is under way … */
    int64_t out_us;     /* … since */
    bool is_seen;       /* it has something in the period */
} Walk;

typedef struct Builder {
    const History *history;
    Report *report;
    int64_t now_us;
    Walk *walks; /* by the services' numbers */
    Walk total;
    ReportAction *actions; /* by the actions' numbers */
    Samples *action_seconds;
    size_t rows_room;
} Builder;

/* ---- spreads ----------------------------------------------------------------------------------
 */

static int add_sample(Samples *samples, double value)
{
    if (samples->n == samples->room) {
        size_t room = samples->room ? samples->room * 2 : 16;
        double *grown = reallocarray(samples->values, room, sizeof(*grown));

        if (!grown) {
            return -ENOMEM;
        }
        samples->values = grown;
        samples->room = room;
    }
    samples->values[samples->n++] = value;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Between the two values that the part of the way falls between. */
static double quantile(const Samples *samples, double part)
{
    double at = part * (double)(samples->n - 1);
    size_t below = (size_t)at, above = below + 1 < samples->n ? below + 1 : below;

    return samples->values[below] +
           (at - (double)below) * (samples->values[above] - samples->values[below]);
}

/* The samples are given up. */
static ReportSpread spread_take(Samples *samples)
{
    ReportSpread spread = {.n = samples->n};

    if (samples->n > 0) {
        qsort(samples->values, samples->n, sizeof(*samples->values), compare_numbers);
        spread.median = quantile(samples, 0.5);
        spread.p90 = quantile(samples, 0.9);
        spread.max = samples->values[samples->n - 1];
    }
    free(samples->values);
    *samples = (Samples){0};
    return spread;
}

/* ---- the walk through what happened -----------------------------------------------------------
 */

static bool is_in(const Report *report, int64_t us)
{
    return us >= report->since_us && us < report->until_us;
}

static double seconds_between(int64_t from_us, int64_t to_us)
{
    return (double)(to_us - from_us) / (double)MOMENT_SECOND_US;
}

static ReportRow *add_row(Builder *b, const HistoryEntry *entry)
{
    Report *report = b->report;

    if (report->n_rows == b->rows_room) {
        size_t room = b->rows_room ? b->rows_room * 2 : 256;
        ReportRow *grown = reallocarray(report->rows, room, sizeof(*grown));

        if (!grown) {
            return NULL;
        }
        report->rows = grown;
        b->rows_room = room;
    }
    report->rows[report->n_rows] = (ReportRow){
        .entry = entry,
        .is_in_period = is_in(report, entry->time_us),
        .lead_seconds = -1,
    };
    return &report->rows[report->n_rows++];
}

/* The last deploy of this digest ("": the last one) that the service had; NULL: none. */
static ReportRow *find_deploy(const Builder *b, const Walk *walk, const char *digest)
{
    size_t at = walk->last_deploy;

    for (unsigned i = 0; at > 0 && i < LOOK_BACK_MAX; i++) {
        ReportRow *row = &b->report->rows[at - 1];

        if (!*digest || strcmp(row->entry->digest, digest) == 0) {
            return row;
        }
        at = row->before;
    }
    return NULL;
}

/* Both the service and the whole. */
static int add_restore(Builder *b, Walk *walk, int64_t from_us, int64_t to_us)
{
    double seconds = seconds_between(from_us, to_us);

    if (!is_in(b->report, from_us)) {
        return 0;
    }
    if (seconds < 0) {
        b->report->n_negative++;
        return 0;
    }
    return add_sample(&walk->restores, seconds) < 0 || add_sample(&b->total.restores, seconds) < 0
               ? -ENOMEM
               : 0;
}

static void begin_outage(Walk *walk, int64_t us)
{
    if (!walk->is_out) {
        walk->is_out = true;
        walk->out_us = us;
    }
}

static int end_outage(Builder *b, Walk *walk, int64_t us)
{
    bool was_out = walk->is_out;

    walk->is_out = false;
    return was_out ? add_restore(b, walk, walk->out_us, us) : 0;
}

static int note_lead(Builder *b, Walk *walk, ReportRow *row)
{
    double seconds;

    if (row->entry->committed_us == MOMENT_NONE) {
        b->report->n_undated += row->is_in_period;
        return 0;
    }
    seconds = seconds_between(row->entry->committed_us, row->entry->time_us);
    if (seconds < 0) {
        b->report->n_negative += row->is_in_period;
        return 0;
    }
    row->lead_seconds = seconds;
    if (!row->is_in_period) {
        return 0;
    }
    for (size_t i = 0; i < REPORT_LEAD_CLASSES; i++) {
        if (i == REPORT_LEAD_CLASSES - 1 || seconds < report_lead_ends[i]) {
            b->report->lead_classes[i]++;
            break;
        }
    }
    return add_sample(&walk->leads, seconds) < 0 || add_sample(&b->total.leads, seconds) < 0
               ? -ENOMEM
               : 0;
}

static int walk_deploy(Builder *b, Walk *walk, const HistoryEntry *entry)
{
    ReportRow *row;

    if (entry->outcome == HISTORY_SUCCEEDED && entry->is_unchanged) {
        walk->figures.n_unchanged += is_in(b->report, entry->time_us);
        return end_outage(b, walk, entry->time_us);
    }
    row = add_row(b, entry);
    if (!row) {
        return -ENOMEM;
    }
    row->before = walk->last_deploy;
    walk->last_deploy = b->report->n_rows;
    if (entry->outcome == HISTORY_FAILED) {
        walk->figures.n_failed += row->is_in_period;
        if (!entry->is_restored) {
            begin_outage(walk, entry->time_us);
        }
        return 0;
    }
    walk->figures.n_changed += row->is_in_period;
    if (note_lead(b, walk, row) < 0) {
        return -ENOMEM;
    }
    return end_outage(b, walk, entry->time_us);
}

static int walk_rollback(Builder *b, Walk *walk, const HistoryEntry *entry)
{
    ReportRow *deploy = find_deploy(b, walk, entry->previous);
    bool is_over = entry->outcome == HISTORY_SUCCEEDED;

    if (deploy) { /* before a row is added, which may move it */
        deploy->is_taken_back = true;
        begin_outage(walk, deploy->entry->time_us);
    } else if (!is_over) {
        begin_outage(walk, entry->time_us);
    }
    if (!add_row(b, entry)) {
        return -ENOMEM;
    }
    if (is_in(b->report, entry->time_us)) {
        walk->figures.n_rollbacks += is_over;
        walk->figures.n_failed_rollbacks += !is_over;
    }
    return is_over ? end_outage(b, walk, entry->time_us) : 0;
}

static int walk_verify(Builder *b, Walk *walk, const HistoryEntry *entry)
{
    ReportRow *deploy;

    if (entry->outcome == HISTORY_SUCCEEDED) {
        return end_outage(b, walk, entry->time_us);
    }
    deploy = find_deploy(b, walk, entry->digest);
    if (deploy) {
        deploy->has_failed_check = true;
    }
    begin_outage(walk, entry->time_us);
    return 0;
}

static int walk_refusal(Builder *b, Walk *walk, const HistoryEntry *entry)
{
    walk->figures.n_refusals += is_in(b->report, entry->time_us);
    return add_row(b, entry) ? 0 : -ENOMEM;
}

static int walk_entry(Builder *b, const HistoryEntry *entry)
{
    Walk *walk = &b->walks[entry->service];

    walk->is_seen |= is_in(b->report, entry->time_us);
    if (entry->outcome == HISTORY_REFUSED) {
        return walk_refusal(b, walk, entry);
    }
    switch (entry->verb) {
    case HISTORY_DEPLOY:
        return walk_deploy(b, walk, entry);
    case HISTORY_ROLLBACK:
        return walk_rollback(b, walk, entry);
    case HISTORY_VERIFY:
        return walk_verify(b, walk, entry);
    case HISTORY_OTHER:
        break;
    }
    return 0;
}

static int count_action(Builder *b, const HistoryEntry *entry)
{
    ReportAction *action = &b->actions[entry->action];

    action->name = b->history->actions[entry->action];
    switch (entry->outcome) {
    case HISTORY_REFUSED:
        action->n_refused++;
        return 0;
    case HISTORY_FAILED:
        action->n_failed++;
        return 0;
    case HISTORY_SUCCEEDED:
        break;
    }
    action->n_succeeded++;
    action->n_unchanged += entry->is_unchanged;
    return entry->seconds >= 0 && !entry->is_unchanged
               ? add_sample(&b->action_seconds[entry->action], entry->seconds)
               : 0;
}

static int walk_history(Builder *b)
{
    Report *report = b->report;

    for (size_t i = 0; i < b->history->n; i++) {
        const HistoryEntry *entry = &b->history->entries[i];
        bool is_ours = strcmp(entry->environment, report->environment) == 0;

        if (is_in(report, entry->time_us) && count_action(b, entry) < 0) {
            return -ENOMEM;
        }
        report->n_future += entry->time_us > b->now_us;
        if (is_ours && walk_entry(b, entry) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

/* ---- what is counted from the rows ------------------------------------------------------------
 */

static int64_t start_of(ReportUnit unit, int64_t us)
{
    return unit == REPORT_DAYS    ? moment_day(us)
           : unit == REPORT_WEEKS ? moment_week(us)
                                  : moment_month(us);
}

static int64_t next_of(ReportUnit unit, int64_t start_us)
{
    return unit == REPORT_DAYS    ? start_us + MOMENT_DAY_US
           : unit == REPORT_WEEKS ? start_us + 7 * MOMENT_DAY_US
                                  : moment_next_month(start_us);
}

static int make_buckets(Report *report)
{
    int64_t at;

    report->unit = report->n_days <= DAYS_MAX        ? REPORT_DAYS
                   : report->n_days <= 7 * WEEKS_MAX ? REPORT_WEEKS
                                                     : REPORT_MONTHS;
    report->buckets = calloc(BUCKETS_MAX, sizeof(*report->buckets));
    if (!report->buckets) {
        return -ENOMEM;
    }
    at = start_of(report->unit, report->since_us);
    while (at < report->until_us && report->n_buckets < BUCKETS_MAX) {
        report->buckets[report->n_buckets++].start_us = at;
        at = next_of(report->unit, at);
    }
    return 0;
}

static ReportBucket *find_bucket(Report *report, int64_t us)
{
    size_t low = 0, high = report->n_buckets;

    while (low + 1 < high) {
        size_t middle = (low + high) / 2;

        if (report->buckets[middle].start_us <= us) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low < high ? &report->buckets[low] : NULL;
}

static void count_rows(Builder *b)
{
    Report *report = b->report;

    for (size_t i = 0; i < report->n_rows; i++) {
        const ReportRow *row = &report->rows[i];
        ReportFigures *figures = &b->walks[row->entry->service].figures;
        ReportBucket *bucket;
        bool is_failure = report_is_failure(row);

        if (!row->is_in_period || row->entry->verb != HISTORY_DEPLOY ||
            row->entry->outcome == HISTORY_REFUSED) {
            continue;
        }
        figures->n_failures += is_failure;
        if (row->entry->outcome == HISTORY_SUCCEEDED) { /* one that failed counts as that */
            figures->n_taken_back += row->is_taken_back;
            figures->n_failed_checks += row->has_failed_check && !row->is_taken_back;
        }
        bucket = find_bucket(report, row->entry->time_us);
        if (bucket) {
            bucket->n_failures += is_failure;
            bucket->n_fine += !is_failure;
        }
    }
}

static void add_figures(ReportFigures *to, const ReportFigures *from)
{
    to->n_changed += from->n_changed;
    to->n_unchanged += from->n_unchanged;
    to->n_failed += from->n_failed;
    to->n_failures += from->n_failures;
    to->n_taken_back += from->n_taken_back;
    to->n_failed_checks += from->n_failed_checks;
    to->n_rollbacks += from->n_rollbacks;
    to->n_failed_rollbacks += from->n_failed_rollbacks;
    to->n_refusals += from->n_refusals;
    to->n_open += from->n_open;
}

static int compare_services(const void *a, const void *b)
{
    return strcmp(((const ReportFigures *)a)->name, ((const ReportFigures *)b)->name);
}

static int conclude_services(Builder *b)
{
    Report *report = b->report;

    report->services = calloc(b->history->n_services + 1, sizeof(*report->services));
    if (!report->services) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < b->history->n_services; i++) {
        Walk *walk = &b->walks[i];

        walk->figures.name = b->history->services[i];
        walk->figures.n_open = walk->is_out && is_in(report, walk->out_us);
        walk->figures.lead = spread_take(&walk->leads);
        walk->figures.restore = spread_take(&walk->restores);
        add_figures(&report->total, &walk->figures);
        if (walk->is_seen || walk->figures.n_open > 0) {
            report->services[report->n_services++] = walk->figures;
        }
    }
    qsort(report->services, report->n_services, sizeof(*report->services), compare_services);
    report->total.lead = spread_take(&b->total.leads);
    report->total.restore = spread_take(&b->total.restores);
    return 0;
}

/* Where an action stands in a pipeline; those of an operator at the end. */
static unsigned rank_of(const ReportAction *action, const char *environment)
{
    static const char *const known[] = {"build", "test", "package"};
    static const char *const verbs[] = {"deploy-", "verify-", "rollback-", "changes-"};

    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(action->name, known[i]) == 0) {
            return i;
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        size_t n = strlen(verbs[i]);

        if (strncmp(action->name, verbs[i], n) == 0) {
            return 10 + i + (strcmp(action->name + n, environment) == 0 ? 10 : 0);
        }
    }
    return 30;
}

static int compare_actions(const void *a, const void *b, void *environment)
{
    unsigned x = rank_of(a, environment), y = rank_of(b, environment);

    return x != y ? (x > y) - (x < y)
                  : strcmp(((const ReportAction *)a)->name, ((const ReportAction *)b)->name);
}

static void conclude_actions(Builder *b)
{
    Report *report = b->report;

    for (size_t i = 0; i < b->history->n_actions; i++) {
        if (b->actions[i].name) {
            b->actions[i].seconds = spread_take(&b->action_seconds[i]);
            b->actions[report->n_actions++] = b->actions[i];
        }
    }
    qsort_r(b->actions, report->n_actions, sizeof(*b->actions), compare_actions,
            (void *)report->environment);
    report->actions = b->actions;
    b->actions = NULL;
}

/* Days (UTC) that the period touches. */
static void count_days(Report *report)
{
    int64_t day = moment_day(report->since_us);

    for (; day < report->until_us && report->n_days < 366 * 1000; day += MOMENT_DAY_US) {
        report->n_days++;
        report->n_working_days += moment_weekday(day) < 5;
    }
}

static void builder_done(Builder *b)
{
    for (size_t i = 0; b->walks && i < b->history->n_services; i++) {
        free(b->walks[i].leads.values);
        free(b->walks[i].restores.values);
    }
    for (size_t i = 0; b->action_seconds && i < b->history->n_actions; i++) {
        free(b->action_seconds[i].values);
    }
    free(b->walks);
    free(b->total.leads.values);
    free(b->total.restores.values);
    free(b->actions);
    free(b->action_seconds);
}

static int build(Builder *b)
{
    b->walks = calloc(b->history->n_services + 1, sizeof(*b->walks));
    b->actions = calloc(b->history->n_actions + 1, sizeof(*b->actions));
    b->action_seconds = calloc(b->history->n_actions + 1, sizeof(*b->action_seconds));
    if (!b->walks || !b->actions || !b->action_seconds || walk_history(b) < 0 ||
        make_buckets(b->report) < 0) {
        return -ENOMEM;
    }
    count_rows(b);
    conclude_actions(b);
    return conclude_services(b);
}

int report_make(const History *history, const ReportPeriod *period, Report *ret)
{
    Report report = {
        .history = history,
        .environment = period->environment,
        .since_us = period->since_us,
        .until_us = period->until_us,
    };
    Builder b = {.history = history, .report = &report, .now_us = period->now_us};
    int r;

    if (report.since_us == MOMENT_NONE) {
        report.since_us = history->n_logs > 0 && history->first_us != MOMENT_NONE &&
                                  history->first_us < report.until_us
                              ? moment_day(history->first_us)
                              : moment_day(report.until_us - 1);
    }
    count_days(&report);
    r = build(&b);
    builder_done(&b);
    if (r < 0) {
        report_done(&report);
        return r;
    }
    *ret = report;
    return 0;
}

void report_done(Report *report)
{
    free(report->services);
    free(report->actions);
    free(report->buckets);
    free(report->rows);
    *report = (Report){0};
}

/* ---- what is asked of it ----------------------------------------------------------------------
 */

double report_per_day(const Report *report)
{
    return report->n_days > 0 ? (double)report->total.n_changed / report->n_days : -1;
}

double report_per_working_day(const Report *report)
{
    return report->n_working_days > 0 ? (double)report->total.n_changed / report->n_working_days
                                      : -1;
}

double report_fail_rate(const ReportFigures *figures)
{
    size_t n = figures->n_changed + figures->n_failed;

    return n > 0 ? (double)figures->n_failures / (double)n : -1;
}

bool report_is_failure(const ReportRow *row)
{
    return row->entry->outcome == HISTORY_FAILED || row->is_taken_back || row->has_failed_check;
}

const char *report_fate(const ReportRow *row)
{
    if (row->entry->outcome == HISTORY_REFUSED) {
        return "refused";
    }
    if (row->entry->outcome == HISTORY_FAILED) {
        return row->entry->is_restored ? "failed, undone" : "failed";
    }
    if (row->is_taken_back) {
        return "rolled back";
    }
    if (row->has_failed_check) {
        return "failed a check";
    }
    return row->entry->verb == HISTORY_ROLLBACK ? "rollback" : "released";
}

size_t report_latest(const Report *report, size_t max, size_t *indices)
{
    size_t n = 0;

    for (size_t i = report->n_rows; i > 0 && n < max; i--) {
        if (report->rows[i - 1].is_in_period) {
            indices[n++] = i - 1;
        }
    }
    return n;
}

/* Environments that the history knows, but the one of the report: ", staging, qa". */
static void list_others(const Report *report, char *text, size_t size)
{
    const History *h = report->history;
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < h->n && len + 1 < size; i++) {
        const char *name = h->entries[i].environment;
        char item[HISTORY_TEXT_MAX + 8];

        (void)snprintf(item, sizeof(item), ", %s", name);
        if (*name && strcmp(name, report->environment) != 0 && !strstr(text, item)) {
            len += (size_t)snprintf(text + len, size - len, "%s", item);
        }
    }
}

int report_add_notes(const Report *report, History *history)
{
    const ReportFigures *total = &report->total;
    char others[HISTORY_TEXT_MAX / 2];
    int r = 0;

    if (report->n_negative > 0) {
        r = history_note(history,
                         "%zu duration%s left out that clocks made negative (a commit that is "
                         "younger than its deploy, or a clock that was put back)",
                         report->n_negative, report->n_negative > 1 ? "s were" : " was");
    }
    if (r == 0 && report->n_undated > 0) {
        r = history_note(history, "of %zu deploy%s the commit's time is not known; no lead time",
                         report->n_undated, report->n_undated > 1 ? "s" : "");
    }
    if (r == 0 && report->n_future > 0) {
        r = history_note(history,
                         "%zu end%s dated after now and left out: the clock of a host is wrong",
                         report->n_future, report->n_future > 1 ? "s are" : " is");
    }
    if (r == 0 && report->n_rows == 0 && total->n_unchanged == 0) {
        list_others(report, others, sizeof(others));
        r = history_note(history, "no deploy to '%s' is in the log%s%s", report->environment,
                         *others ? "; it tells of " : "", *others ? others + 2 : "");
    }
    return r;
}
