/* SPDX-License-Identifier: MIT */
/* How many calls ended how, since the agent started: for those who watch the rate. */
#pragma once

#include "protocol/json.h"

/* Actions are named by agent.json, and statuses are six, so this is never reached by rights; what
 * is beyond it is counted under the action "other". */
#define TALLY_ROWS_MAX 1024

typedef struct TallyRow {
    char *action;
    char *status;
    int64_t n;
    double seconds; /* that they ran, in all */
} TallyRow;

typedef struct Tally {
    TallyRow *rows;
    size_t n;
} Tally;

/* One that is counted for nothing where memory is out. */
void tally_add(Tally *tally, const char *action, const char *status, double seconds);
void tally_done(Tally *tally);

/* [{"action", "status", "count", "seconds"}, …] as a member of `object`. -ENOMEM. */
int tally_describe(const Tally *tally, Json *object, const char *name) _must_check_;
