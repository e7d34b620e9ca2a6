/* SPDX-License-Identifier: MIT */
/* The figures of a period, out of a history. Nothing is read or printed here, and nothing depends
 * on when or where it runs: the same history and the same period give the same figures.
 *
 * What each figure means is said once, below, and shown with the figures wherever they are shown.
 */
#pragma once

#include "plugin/cli/report/history.h"

#define REPORT_ABOUT_DEPLOYS                                                                       \
    "Deploys that succeeded and changed what runs. By working day: divided by the days from "      \
    "Monday to Friday in the period (UTC; holidays are not known), whatever day the deploys were " \
    "on."
#define REPORT_ABOUT_LEAD                                                                        \
    "From when the commit that was deployed was made to the end of the deploy that put it into " \
    "the environment. Earlier commits that went out with it waited longer."
#define REPORT_ABOUT_FAILURES                                                                    \
    "Deploys that failed, that a rollback took back, or whose package failed a later check "     \
    "(verify), out of "                                                                          \
    "all deploys that failed or that succeeded and changed something. Each counts once, as the " \
    "first of these that it is. A refusal is no deploy."
#define REPORT_ABOUT_RESTORE                                                                     \
    "From the failed deploy or check to the next deploy, rollback or check of the service that " \
    "succeeded. A rollback without a failure before it counts from the end of the deploy that "  \
    "it took back. Failures until then are the same outage; one that is not over is not in the " \
    "median. A failed deploy after which what ran before served on is no outage."
#define REPORT_ABOUT_TIMES \
    "How long calls took that succeeded and did something, in any environment."
#define REPORT_ABOUT_COUNTS \
    "Rollbacks that succeeded; calls that the host said no to. Neither counts as a deploy."
#define REPORT_ABOUT_SPREAD                                                                     \
    "Half of the values are at most the median, nine of ten at most p90 (interpolated between " \
    "the two nearest)."

/* Upper ends of the classes of lead times, in seconds; the last class has none. */
#define REPORT_LEAD_CLASSES 10
extern const double report_lead_ends[REPORT_LEAD_CLASSES - 1];

typedef struct ReportPeriod {
    const char *environment;
    int64_t since_us; /* MOMENT_NONE: from the day of the first record */
    int64_t until_us; /* not in it any more */
    int64_t now_us;   /* what is dated later was dated by a wrong clock */
} ReportPeriod;

/* Of a set of durations in seconds. */
typedef struct ReportSpread {
    size_t n;
    double median, p90, max; /* 0 where n is */
} ReportSpread;

typedef struct ReportFigures {
    const char *name;       /* of the service */
    size_t n_changed;       /* deploys that succeeded and changed something */
    size_t n_unchanged;     /* … and found it running already */
    size_t n_failed;        /* deploys that failed */
    size_t n_failures;      /* change failures: n_failed and the two that follow */
    size_t n_taken_back;    /* deploys that succeeded, and a rollback took back */
    size_t n_failed_checks; /* deploys that were not taken back, but failed a check */
    size_t n_rollbacks, n_failed_rollbacks;
    size_t n_refusals;
    ReportSpread lead, restore;
    size_t n_open; /* outages that are not over */
} ReportFigures;

typedef struct ReportAction {
    const char *name;
    size_t n_succeeded, n_unchanged, n_failed, n_refused;
    ReportSpread seconds;
} ReportAction;

typedef enum ReportUnit {
    REPORT_DAYS,
    REPORT_WEEKS,
    REPORT_MONTHS,
} ReportUnit;

typedef struct ReportBucket {
    int64_t start_us; /* of the day, week or month, which may begin before the period */
    size_t n_fine;    /* deploys that changed something and stayed */
    size_t n_failures;
} ReportBucket;

/* A deploy, rollback or refusal in the environment. */
typedef struct ReportRow {
    const HistoryEntry *entry;
    bool is_taken_back, has_failed_check;
    bool is_in_period;
    double lead_seconds; /* < 0: not known */
    size_t before;       /* the deploy of the service before it: its index + 1, 0: none */
} ReportRow;

typedef struct Report {
    const History *history;
    const char *environment;
    int64_t since_us, until_us;
    unsigned n_days, n_working_days;
    ReportFigures total;
    ReportFigures *services; /* those with something in the period, by name */
    size_t n_services;
    ReportAction *actions; /* in the order of a pipeline */
    size_t n_actions;
    ReportUnit unit;
    ReportBucket *buckets; /* all of the period, also those without a deploy */
    size_t n_buckets;
    size_t lead_classes[REPORT_LEAD_CLASSES];
    size_t n_negative; /* durations that a clock made negative, left out */
    size_t n_undated;  /* deploys whose commit's time is not known */
    size_t n_future;   /* ends that are dated after now, left out */
    ReportRow *rows;   /* of all times, in order; shown are those in the period */
    size_t n_rows;
} Report;

/* `history` is merged and lives as long as the report. 0 or -ENOMEM. */
int report_make(const History *history, const ReportPeriod *period, Report *ret);
void report_done(Report *report);

/* Deploys by day, by working day (-1: there was none), and the change-fail rate (-1: no deploy). */
double report_per_day(const Report *report);
double report_per_working_day(const Report *report);
double report_fail_rate(const ReportFigures *figures);

/* What became of a row, in a word or two. */
const char *report_fate(const ReportRow *row);

/* Does the row tell of something that went wrong? */
bool report_is_failure(const ReportRow *row);

/* Puts what a reader should know about the figures to the notes of the history. 0 or -ENOMEM. */
int report_add_notes(const Report *report, History *history);

/* The newest `max` rows of the period, newest first: writes their indices, returns how many. */
size_t report_latest(const Report *report, size_t max, size_t *indices);
