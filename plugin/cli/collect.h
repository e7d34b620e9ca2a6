/* SPDX-License-Identifier: MIT */
/* The evidence of calls, from the agent into a bundle. */
#pragma once

#include "plugin/cli/evidence/release-bundle.h"
#include "plugin/cli/session.h"

/* What a call stated: the bundle among its `artifacts` (as in artifacts/list), if there is one. 0
 * or an exit code, said. */
int collect_artifacts(Session *s, const SlipwayJson *artifacts, ReleaseBundle *bundle);

/* What all calls of a run stated, as far as this agent has them. */
int collect_run(Session *s, const char *run, ReleaseBundle *bundle);

/* Sends a bundle to the agent, as an input whose name is made of its content: the same again is not
 * sent again. `input` has COLLECT_INPUT_SIZE bytes. 0 or an exit code, said. */
#define COLLECT_INPUT_SIZE 48
int collect_send(Session *s, const ReleaseBundle *bundle, char *input);
