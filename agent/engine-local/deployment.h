/* SPDX-License-Identifier: MIT */
/* One wish to run a specification, and what became of it.
 *
 *     starting ──► finishing ──► succeeded
 *         │            └───────► failed
 *         └──► failed, cancelled
 *
 * Until all its instances are healthy it is `starting`; then the app switches to it, and it is
 * `finishing` until the old instances are gone. */
#pragma once

#include "agent/engine-local/specification.h"

typedef enum DeploymentState {
    DEPLOYMENT_STARTING,
    DEPLOYMENT_FINISHING,
    DEPLOYMENT_SUCCEEDED,
    DEPLOYMENT_FAILED,
    DEPLOYMENT_CANCELLED,
    _DEPLOYMENT_STATE_MAX,
    _DEPLOYMENT_STATE_INVALID = -22,
} DeploymentState;

typedef struct DeploymentCounts {
    size_t wanted;
    size_t updated; /* of this deployment */
    size_t healthy; /* of those */
    size_t old;     /* of others, not gone */
} DeploymentCounts;

typedef struct Deployment {
    char *id;
    Specification *specification;
    DeploymentState state;
    char *reason;   /* of a failed or cancelled one */
    char *log_tail; /* lines of the instance that it failed on; may be NULL */
    int64_t started_us;
    int64_t deadline_ms;     /* clock_monotonic_ms: until then its instances have to be healthy */
    int64_t finished_us;     /* 0: it runs */
    DeploymentCounts counts; /* as they were when it finished */
    struct Deployment *next; /* older */
} Deployment;

/* `id` NULL: one is made. Takes the specification, also when it fails (NULL: out of memory). */
Deployment *deployment_new_take(const char *id, Specification *specification) _must_check_;
Deployment *deployment_free(Deployment *deployment);
DEFINE_CLEANUP(Deployment, deployment_free)

bool deployment_is_running(const Deployment *deployment);

/* As the API has them. */
const char *deployment_state_name(const Deployment *deployment);
const char *deployment_phase_name(const Deployment *deployment);

/* The only way from one state to another; false where there is none. `reason` and `log_tail` (may
 * be NULL) are copied. */
bool deployment_set_state(Deployment *deployment, DeploymentState state, const char *reason,
                          const char *log_tail);

/* As the API shows it. */
int deployment_describe(const Deployment *deployment, const DeploymentCounts *counts,
                        Json **ret) _must_check_;

/* As it is kept on disk, and back. One that was running goes on with what is left of its time. */
int deployment_to_json(const Deployment *deployment, Json **ret) _must_check_;
int deployment_from_json(const Json *json, Deployment **ret, Error *err) _must_check_;
