/* SPDX-License-Identifier: MIT */
/* A call from its start (or from where one attaches to it) to its end, shown live. */
#pragma once

#include "plugin/cli/session.h"

typedef struct FollowResult {
    char *call;
    SlipwayJson *result; /* NULL where the call did not end before we left */
} FollowResult;

void follow_result_done(FollowResult *result);

/* `params` of calls/start; "attach" is set here. `label` stands before each line of the log.
 * Returns an exit code; the reason was said. */
int follow_start(Session *s, SlipwayJson *params, const char *label, FollowResult *ret);

/* `label` NULL: the action's name, asked of the agent. */
int follow_attach(Session *s, const char *call, uint64_t after, const char *label,
                  FollowResult *ret);

/* Prints how a call ended: the line, its tests, what was wrong. */
void follow_print_result(Session *s, const SlipwayJson *result);

/* The exit code that a result means. */
int follow_exit_code(const SlipwayJson *result);
