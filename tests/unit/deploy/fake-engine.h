/* SPDX-License-Identifier: MIT */
/* An engine in memory that does what a test says, a clock that the test turns, and a directory of
 * releases: what the policy needs to be tried without waiting. */
#pragma once

#include "agent/deploy/deploy.h"

/* What one look at a deployment shows; the last one is shown again and again. */
typedef struct FakeStep {
    int answer; /* of `poll`; 0, ENGINE_AWAY or negative */
    EngineState state;
    EngineCounts counts;
    const char *reason;
    const char *log;
} FakeStep;

#define FAKE_STEPS_MAX 8

typedef struct FakeDeployment {
    char *id;
    const FakeStep *steps;
    size_t at;
    bool is_cancelled;
} FakeDeployment;

typedef struct Fake {
    /* what the test decides */
    const FakeStep *steps;      /* of the next deployment */
    const FakeStep *back_steps; /* of one whose ID ends with "-back"; NULL: it succeeds at once */
    const FakeStep *cancelled;  /* what a cancelled one shows; NULL: cancelled at once */
    bool replaces_at_once;      /* what ran before is gone as soon as `apply` has come */
    bool serves_another;        /* a deployment that ends well does not come to serve */
    int apply_answers[FAKE_STEPS_MAX];
    int current_answers[FAKE_STEPS_MAX];
    int64_t cancel_at_ms; /* 0: never */

    /* what it is */
    char *serving; /* a deployment; NULL: nothing runs */
    EngineCounts serving_counts;
    FakeDeployment deployments[FAKE_STEPS_MAX];
    size_t n_deployments;

    /* what happened */
    int64_t now_ms;
    size_t n_apply;
    size_t n_poll;
    size_t n_cancel;
    size_t n_current;
    size_t n_wait;
    int64_t longest_wait_ms;
    Buffer log;
    Buffer progress; /* "healthy/total " each */

    char directory[128];
    Releases releases;
    Deploy deploy;
} Fake;

extern const FakeStep fake_success[]; /* starting, then healthy */
extern const FakeStep fake_failure[]; /* starting, then failed with "exited with status 3" */
extern const FakeStep fake_hanging[]; /* starting, for ever */
extern const FakeStep fake_failing[]; /* starting, held up, then failing with "it crashed twice" */

Fake *fake_new(void);
Fake *fake_free(Fake *fake);

/* Something of ours runs, as deployment `id`: a release that has succeeded. */
void fake_run_before(Fake *fake, const char *id);

/* A release that is ready for deploy_run: version 2, deployment `id`. */
KeptRelease *fake_release(Fake *fake, const char *id);

/* A release's record as it is on disk. The caller's. */
Json *fake_record(const Fake *fake, unsigned number);
