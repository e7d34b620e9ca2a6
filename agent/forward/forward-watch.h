/* SPDX-License-Identifier: MIT */
/* Sees in the agent's loop that the audit log is forwarded: starts slipway-audit-forward when there
 * are records that a collector does not have, one at a time, and again later where it failed.
 *
 * Owns handles of the loop: it lives until `closed` of forward_watch_close. */
#pragma once

#include "agent/calls/agent-config.h"

#include <uv.h>

typedef struct ForwardWatch ForwardWatch;

/* How long it waits after a failure: the first time, doubled each time, up to the last. */
#define FORWARD_RETRY_FIRST_MS ((uint64_t)1000)
#define FORWARD_RETRY_LAST_MS ((uint64_t)300000)

/* *ret is NULL where agent.json has no audit.forward. `config` is borrowed for its whole life. */
int forward_watch_open(uv_loop_t *loop, const AgentConfig *config, ForwardWatch **ret,
                       Error *err) _must_check_;

/* Ends the program if it runs. `closed` is called once nothing is left in the loop, at once where
 * `watch` is NULL. */
void forward_watch_close(ForwardWatch *watch, void (*closed)(void *userdata), void *userdata);
