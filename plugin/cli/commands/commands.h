/* SPDX-License-Identifier: MIT */
/* One file for each command. */
#pragma once

#include "plugin/cli/session.h"

extern const Command command_run;
extern const Command command_call;
extern const Command command_actions;
extern const Command command_attach;
extern const Command command_cancel;
extern const Command command_calls;
extern const Command command_result;
extern const Command command_artifacts;
extern const Command command_changes;
extern const Command command_rollback;
extern const Command command_approve;
extern const Command command_report;
extern const Command command_audit;
extern const Command command_health;
extern const Command command_keygen;
extern const Command command_keys;
extern const Command command_release;
extern const Command command_completion;

/* `slipway audit verify`, which has a file of its own. `file` NULL: the agent's log. */
int audit_verify(Session *s, const char *file);
