/* SPDX-License-Identifier: MIT */
/* What deploy-E and rollback-E share: the way in (decision, engine, lock, kept releases, an earlier
 * deployment whose end nobody saw) and the way out (outputs, what is forgotten, the exit status).
 */
#pragma once

#include "agent/deploy/deploy.h"
#include "agent/release/environment-lock.h"
#include "agent/runners/deploy/deploy-host.h"
#include "agent/runners/report.h"
#include "agent/runners/spec.h"
#include "protocol/evidence/chain.h"

/* Exit status of a runner that looked and said no. */
#define DEPLOY_CALL_EXIT_REFUSED 100

/* Returned where the call is refused; `err` has the reason. */
#define DEPLOY_CALL_REFUSED 1
/* Returned by deploy_call_settle: the earlier deployment is this call's own; see `outcome`,
 * `release`. */
#define DEPLOY_CALL_RESUMED 2

typedef struct DeployCall {
    const Spec *spec;
    Report *report;
    const Engine *engine;
    EngineSession *session;
    EnvironmentLock lock;
    Releases releases;
    DeployHostState host_state;
    DeployHost host;
    Deploy deploy;
    DeployOutcome outcome;
    Json *release;        /* the record that the outputs speak of; the call's own */
    ChainHead audit_head; /* of the audit log after the decision; seq 0: there is none */
    char *nonce;          /* of the approval that it is allowed on; NULL: none is needed */
    char *approver;
    Json *wanted;     /* the release that the call is about, as a kept one's record has it; NULL: it
                         is not known yet */
    int64_t began_ms; /* monotonic */
    double seconds;   /* that it took, once it has ended */
    int64_t began_at_us;
} DeployCall;

void deploy_call_done(DeployCall *call);
#define _cleanup_deploy_call_ _cleanup_(deploy_call_done)

/* Opens the engine, takes the lock, reads the kept releases. `call` is zeroed before. */
int deploy_call_begin(const Spec *spec, Report *report, DeployCall *call, Error *err) _must_check_;

/* Deals with a deployment whose end nobody saw. `is_wanted` says whether a release is exactly what
 * this call wants. */
typedef int (*DeployCallIsWanted)(DeployCall *call, const KeptRelease *release, void *userdata,
                                  bool *ret, Error *err);
int deploy_call_settle(DeployCall *call, DeployCallIsWanted is_wanted, void *userdata,
                       Error *err) _must_check_;

/* Whatever runs: 0, or DEPLOY_ABSENT. */
int deploy_call_current(DeployCall *call, const char *app, EngineCurrent *ret,
                        Error *err) _must_check_;

/* Says in the log what will change; `before` may be NULL, then nothing is said. */
void deploy_call_say_difference(const Json *before, const Json *specification);

/* The members of a record that come from the call. The caller's. */
int deploy_call_new_record(const DeployCall *call, const char *kind, unsigned number,
                           const char *app, Json **ret, Error *err) _must_check_;

/* Deploys a release that is on disk and keeps its record as the one that the outputs speak of. */
int deploy_call_run(DeployCall *call, unsigned number, const EngineCurrent *before,
                    Error *err) _must_check_;

/* The same runs already: confirms that it is well. `record` (borrowed) is what the outputs speak
 * of. */
int deploy_call_confirm(DeployCall *call, const char *app, const Json *record,
                        Error *err) _must_check_;

/* Reports the outputs, forgets old releases, and returns the exit status. `r` and `err` are what
 * the steps above returned last. */
int deploy_call_end(DeployCall *call, int r, const Error *err) _must_check_;
