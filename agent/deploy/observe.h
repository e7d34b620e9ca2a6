/* SPDX-License-Identifier: MIT */
/* Waiting for an engine: how long to be patient with one that is away or busy, how often to look at
 * a deployment, and when it has ended. The only place above the engines where anything waits. */
#pragma once

#include "agent/deploy/deploy.h"

/* An engine that restarts is back within this; one that is down should be told soon. */
#define OBSERVE_AWAY_MS ((int64_t)10000)
/* Another deployment of the app is let finish that long. */
#define OBSERVE_BUSY_MS ((int64_t)30000)
/* What contradicts itself (a deployment that the engine took and does not know, one that ended well
 * while another serves) may be an engine that has not caught up with itself; after this it is a
 * failure. */
#define OBSERVE_ODD_MS ((int64_t)5000)

/* Between two looks: from the first to the last, growing by half, a fifth more or less each time so
 * that many that wait do not ask at once. Begins anew whenever something has changed. */
#define OBSERVE_DELAY_FIRST_MS ((int64_t)20)
#define OBSERVE_DELAY_LAST_MS ((int64_t)1000)

/* One question to the engine; answers as the engine's verbs do. */
typedef int (*ObserveAsk)(const Deploy *deploy, void *userdata, Error *err);

/* Asks until the answer is another than ENGINE_AWAY (or ENGINE_BUSY, for OBSERVE_BUSY_MS), but no
 * longer than `away_ms`, nor beyond a cancellation unless it `is_persistent`. Returns the last
 * answer, with `err` as it left it. */
int observe_ask(const Deploy *deploy, int64_t away_ms, bool is_persistent, ObserveAsk ask,
                void *userdata, Error *err) _must_check_;

typedef enum ObserveEnd {
    OBSERVE_SETTLED,   /* ended well, serves, all healthy, none old */
    OBSERVE_FAILED,    /* the engine says failed or cancelled, or does not know it */
    OBSERVE_DEADLINE,  /* not settled in time */
    OBSERVE_AWAY,      /* the deadline came while the engine did not answer */
    OBSERVE_CANCELLED, /* host->is_cancelled */
} ObserveEnd;

typedef struct Observation {
    ObserveEnd end;
    EngineStatus status; /* the last one that was seen */
    char *odd;           /* why it is not settled although the engine says that it ended well */
} Observation;

void observation_done(Observation *observation);
#define _cleanup_observation_ _cleanup_(observation_done)

typedef struct ObserveRequest {
    const char *app;
    const char *deployment;
    int64_t timeout_ms;
    bool is_ending;     /* wait for it to have ended in whatever way, after `cancel` */
    bool is_persistent; /* a cancellation does not end it */
} ObserveRequest;

/* Looks until the end. -ENOMEM is the only failure. */
int observe(const Deploy *deploy, const ObserveRequest *request, Observation *ret,
            Error *err) _must_check_;
