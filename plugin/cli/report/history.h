/* SPDX-License-Identifier: MIT */
/* What happened, out of the audit logs of one or several hosts: each action that ended, in the
 * order of time. Records that are no end of an action (who asked, who released it) are put to the
 * end that belongs to them.
 *
 * Nothing of a log is believed to be harmless: texts are copied without what could command a
 * terminal or turn the direction of writing, and cut where they are long. */
#pragma once

#include "plugin/include/slipway.h"

/* More than a busy host writes in a decade; beyond it is -EFBIG. */
#define HISTORY_ENTRIES_MAX ((size_t)4 << 20)
#define HISTORY_LOGS_MAX 64
/* Bytes of one text that are kept. */
#define HISTORY_TEXT_MAX 400

typedef enum HistoryVerb {
    HISTORY_OTHER, /* build, test, package, and what an operator registered */
    HISTORY_DEPLOY,
    HISTORY_ROLLBACK,
    HISTORY_VERIFY,
} HistoryVerb;

typedef enum HistoryOutcome {
    HISTORY_SUCCEEDED,
    HISTORY_FAILED,
    HISTORY_REFUSED,
} HistoryOutcome;

/* Texts are never NULL ("": not said) and belong to the history. */
typedef struct HistoryEntry {
    int64_t time_us;
    int64_t committed_us; /* MOMENT_NONE: not said */
    double seconds;       /* < 0: not said */
    HistoryVerb verb;
    HistoryOutcome outcome;
    bool is_unchanged;
    bool is_restored; /* it failed, and what ran before serves */
    unsigned service; /* of services */
    unsigned action;  /* of actions */
    const char *environment;
    const char *digest;
    const char *previous;
    const char *commit;
    const char *version;
    const char *subject;
    const char *who; /* released it, else asked for it */
    const char *via;
    const char *reason;
    const char *call;
} HistoryEntry;

typedef struct HistoryLog HistoryLog;
typedef struct HistoryNames HistoryNames;

typedef struct History {
    HistoryEntry *entries; /* in order, once history_merge() was called */
    size_t n;
    const char **services; /* names, by the number that entries have */
    size_t n_services;
    const char **actions;
    size_t n_actions;
    const char **notes; /* sentences about the logs that a reader should know of */
    size_t n_notes;
    int64_t first_us, last_us; /* of any record; MOMENT_NONE without one */

    HistoryLog *logs[HISTORY_LOGS_MAX];
    size_t n_logs;
    HistoryNames *names;
    struct HistoryBlock *blocks; /* where texts are kept */
} History;

/* All of these: 0, -ENOMEM, or -EFBIG (a limit above). An empty History is {0}. */
int history_begin(History *h, const char *name);
int history_take(History *h, const SlipwayJson *record); /* of the log that was begun last */
int history_end(History *h, bool is_torn);

/* Puts all logs into `entries`. What each log has in order stays in order, also where its clock
 * went backwards; between logs the time decides. Of a log that was given twice the longer counts.
 * Ends that name no service get that of their package. */
int history_merge(History *h);

void history_done(History *h);

/* What the log was called; NULL beyond the last. */
const char *history_log_name(const History *h, size_t index);

/* A sentence for `notes`. */
int history_note(History *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How a record says its environment, and how its text is shown: also for a list of records. */
const char *history_environment(const SlipwayJson *record);
const char *history_who(const SlipwayJson *record);

/* A version that has the commit's first digits, as `git describe` makes it: to show both is to say
 * it twice. */
bool history_version_says_commit(const char *version, const char *commit);

/* A text as it may be shown, in `out` (HISTORY_TEXT_MAX + 4 bytes), which is returned. */
const char *history_clean(const char *text, char *out);
