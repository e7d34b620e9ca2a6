/* SPDX-License-Identifier: MIT */
/* What the deploy runner gives the policy to stand on: the clock, SIGTERM as the cancellation, the
 * log, and progress as reports. */
#pragma once

#include "agent/deploy/deploy.h"
#include "agent/runners/report.h"

typedef struct DeployHostState {
    Report *report;
    bool is_cancelled;
} DeployHostState;

/* From now on SIGTERM and SIGINT wait until somebody looks: nothing is left half done by them.
 * Before, they end the process, and what it had begun to unpack is removed by the next one. */
void deploy_host_open(Report *report, DeployHostState *state, DeployHost *ret);
