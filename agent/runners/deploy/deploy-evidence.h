/* SPDX-License-Identifier: MIT */
/* The evidence of a deploy: what was brought, the decision on it, the receipt of what came of it,
 * and the records of all three in the audit log. */
#pragma once

#include "agent/deploy/kept-package.h"
#include "agent/runners/deploy/deploy-call.h"

/* May this package run in the environment of the call? First on what this host remembers to run
 * there, before the engine is asked for anything, then on what the engine says, where that is
 * another. DEPLOY_CALL_REFUSED: no, and `err` says what is missing and what would mend it. The
 * decision is in the audit log when this returns. */
int deploy_evidence_decide(DeployCall *call, const KeptPackage *package, Error *err) _must_check_;

/* Marks the approval as used, directly before something new is deployed on it: who only sees an
 * interrupted deployment to its end needs no second one. DEPLOY_CALL_REFUSED: it was used before.
 */
int deploy_evidence_use_approval(DeployCall *call, Error *err) _must_check_;

/* The same for going back to a kept release (borrowed): always allowed, and written down. */
int deploy_evidence_decide_rollback(DeployCall *call, const Json *record, Error *err) _must_check_;

/* Signs the receipt of a deployment that went well. */
int deploy_evidence_state(const DeployCall *call, Error *err) _must_check_;

/* Writes down how an earlier deployment ended whose own call did not live to say it, once `record`
 * (borrowed) knows. */
void deploy_evidence_record_settled(const DeployCall *call, const Json *record);

/* Writes down how it ended; `reason` may be NULL. */
void deploy_evidence_record_end(const DeployCall *call, const char *outcome, const char *reason);
