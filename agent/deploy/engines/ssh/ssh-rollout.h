/* SPDX-License-Identifier: MIT */
/* One deployment over all hosts of an environment, as a machine whose state is on the hosts: any
 * process that looks at them can go on with it.
 *
 *     each host     staged → switching → started → healthy → done
 *                                 ↘ failed ↙
 *                   … → returning → returned → back       (stuck, where it did not get back)
 *     all of them   accepted → verdict: succeeded, failed or cancelled
 *
 * The first host is the canary, and has the verdict: it is written once, before anything is done
 * about it. Until then hosts are switched, the canary alone and then a batch at a time; after it
 * they are finished, or all of them returned to what ran before. */
#pragma once

#include "agent/deploy/engine.h"
#include "agent/deploy/engines/ssh/ssh-remote.h"
#include "agent/deploy/engines/ssh/ssh-service.h"

/* So long a lock stays a dead agent's. Looking at a deployment renews it. */
#define SSH_ROLLOUT_LEASE_SECONDS 60

typedef struct SshRollout {
    SshRemote *remotes; /* the first is the canary */
    size_t n_remotes;
    const char *base;
    const char *deployment;
    const char *agent;         /* this host, for the lock */
    const SshService *service; /* the deployment's; needed to go on */
    bool may_switch; /* hosts that were not yet; a first look at another's deployment should not */
} SshRollout;

/* Asks all hosts. 0, also when some are away (is_away), but not the canary: then its answer. */
int ssh_rollout_look(SshRollout *rollout, Error *err) _must_check_;

/* Does all that can be done without waiting, after a look. 0; SSH_REMOTE_AWAY: the canary went
 * away. */
int ssh_rollout_go_on(SshRollout *rollout, Error *err) _must_check_;

/* Writes how it is doing, as far as it is known by now. */
int ssh_rollout_tell(SshRollout *rollout, EngineStatus *ret, Error *err) _must_check_;
