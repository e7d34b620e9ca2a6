/* SPDX-License-Identifier: MIT */
/* What a host's audit log comes to: how many deploys ended how, and what runs where by now.
 *
 * The log is the truth, so these numbers outlive agents and this program, and a counter never goes
 * back. */
#pragma once

#include "plugin/cli/report/history.h"

/* Environments are an operator's, services a repository's: more than this is a mistake, and would
 * be one of whoever stores the numbers, too. What is beyond is not told. */
#define LEDGER_ROWS_MAX 1000

typedef struct LedgerCount {
    char *environment;
    HistoryVerb verb;
    HistoryOutcome outcome;
    unsigned long long n;
} LedgerCount;

typedef struct LedgerService {
    char *environment;
    char *service;
    char *version; /* of what runs; all of these "" where nothing is known */
    char *commit;
    char *subject;
    char *who;
    int64_t since_us; /* when it came to run; MOMENT_NONE: never */
    int64_t last_us;  /* when somebody last tried to change it */
    HistoryOutcome last_outcome;
    HistoryVerb last_verb;
    char *last_reason;
} LedgerService;

typedef struct Ledger {
    LedgerCount *counts;
    size_t n_counts;
    LedgerService *services; /* by environment, then name */
    size_t n_services;
} Ledger;

/* Reads the log (a file as slipway_audit_download leaves it), checking its chain. *ret_error gets a
 * sentence to free() where it is no log, or not as it was written: -EBADMSG. -ENOMEM. */
int ledger_read(const char *path, Ledger *ret, char **ret_error);

/* The same from a history that was merged. */
int ledger_fold(const History *history, Ledger *ret);
void ledger_done(Ledger *ledger);
