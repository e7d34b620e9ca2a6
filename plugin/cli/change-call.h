/* SPDX-License-Identifier: MIT */
/* What a release would change, asked of the agent. */
#pragma once

#include "plugin/cli/session.h"
#include "plugin/cli/source.h"

/* Calls changes-E for a commit, quietly. *ret is the change: the outputs of changes-E with
 * `environment`, `repository`, `isOneCommit` and `textSha256` (which an approval signs). It is the
 * caller's. 0 or an exit code, said. */
int change_call(Session *s, const char *environment, const SourceCommit *source, SlipwayJson **ret);

/* The same object of the outputs that a call of changes-E has left already. NULL when memory is
 * out. */
SlipwayJson *change_describe(const SlipwayJson *outputs, const char *environment,
                             const char *repository);
