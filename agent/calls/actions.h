/* SPDX-License-Identifier: MIT */
/* The actions that an agent offers: those that are built in, for each environment where they work
 * on one, and the operator's own. */
#pragma once

#include "agent/calls/agent-config.h"

/* Fills config->actions from config->root, libexec directory and limits. The root was checked
 * against its schema. -ENOMEM. */
int actions_build(AgentConfig *config) _must_check_;

/* Is there a built-in action of that name with these environments (an object, or NULL)? */
bool actions_is_built_in(const char *name, const Json *environments);

void action_config_done(ActionConfig *action);
