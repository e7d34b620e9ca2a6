/* SPDX-License-Identifier: MIT */
/* The policy of a deployment, written once for all engines:
 *
 *     settle what an earlier one left → record → apply → observe → succeeded, or put back what ran
 *
 * *Succeeded* is said only when the engine says that this deployment ended well, and the app that
 * it serves is this deployment, with every instance new and healthy and none old. Whatever else
 * happens by the deadline is a failure, and then what ran before is put back where the engine has
 * not kept it, and it is said which of the two.
 *
 * The record with the deployment's ID is on disk before the engine hears of it. Whoever comes after
 * a `kill -9` finds it, asks the engine, and goes on observing; nothing is deployed twice. */
#pragma once

#include "agent/deploy/engine.h"
#include "agent/deploy/releases.h"

#include <stdbool.h>
#include <stdint.h>

/* Where the policy runs: time, and who listens. A test turns a clock of its own. */
typedef struct DeployHost {
    int64_t (*now_ms)(void *userdata);                     /* monotonic */
    void (*wait_ms)(int64_t milliseconds, void *userdata); /* returns early when it is cancelled */
    bool (*is_cancelled)(void *userdata);
    void (*say)(const char *text, void *userdata); /* a line (or lines) of the log */
    void (*progress)(const char *phase, const EngineCounts *counts, void *userdata);
    void *userdata;
} DeployHost;

typedef struct Deploy {
    const Engine *engine;
    EngineSession *session;
    const DeployHost *host;
    Releases *releases;
    int64_t timeout_ms; /* from `apply` to healthy */
    int64_t grace_ms;   /* what a cancelled deployment has for getting back */
} Deploy;

#define DEPLOY_TIMEOUT_MS_DEFAULT ((int64_t)120000)

typedef enum DeployResult {
    DEPLOY_SUCCEEDED,
    DEPLOY_UNCHANGED, /* it ran already, healthy; the engine was not asked for anything */
    DEPLOY_FAILED,
    DEPLOY_CANCELLED,
    DEPLOY_REFUSED, /* nothing was touched */
} DeployResult;

typedef struct DeployOutcome {
    DeployResult result;
    char *reason;          /* for people; NULL where it went well */
    bool is_restored;      /* it did not go well, and what ran before serves */
    EngineCurrent current; /* what runs now, as far as it is known */
} DeployOutcome;

void deploy_outcome_done(DeployOutcome *outcome);
#define _cleanup_deploy_outcome_ _cleanup_(deploy_outcome_done)

/* Verbs of the engine with the policy's patience for an engine that is away for a moment. -EIO: it
 * stayed away. DEPLOY_ABSENT: nothing runs under that name. */
#define DEPLOY_ABSENT 1
int deploy_current(const Deploy *deploy, const char *app, EngineCurrent *ret,
                   Error *err) _must_check_;
int deploy_plan(const Deploy *deploy, const Json *specification, const EngineLabels *labels,
                EnginePlan *ret, Error *err) _must_check_;

/* Sees an earlier deployment whose end nobody saw (releases_find_unsettled) to its end, and writes
 * that down. `is_wanted`: it is exactly what is wanted now, so that one that is under way is not
 * cancelled but becomes this call's own; then DEPLOY_RESUMED is returned, and `ret` says what
 * became of it. 0: it is settled, and the way is free. */
#define DEPLOY_RESUMED 1
int deploy_settle(const Deploy *deploy, KeptRelease *release, bool is_wanted, DeployOutcome *ret,
                  Error *err) _must_check_;

/* Deploys a release whose record (with `app` and `deployment`, without `outcome`) and filled.json
 * are on disk. `before` is what runs now (NULL: nothing). Failing to deploy is an outcome; a
 * negative value is trouble of this host (its disk), and then the record stays unsettled. */
int deploy_run(const Deploy *deploy, KeptRelease *release, const EngineCurrent *before,
               DeployOutcome *ret, Error *err) _must_check_;

/* The same release runs already: waits until it is healthy, as after `apply`. */
int deploy_confirm(const Deploy *deploy, const char *app, DeployOutcome *ret,
                   Error *err) _must_check_;
