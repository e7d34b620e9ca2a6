/* SPDX-License-Identifier: MIT */
/* What the actions on a source share: bring it, read its slipway.json, tell the commit, run a step
 * of it, collect what the step leaves. */
#pragma once

#include "agent/junit/junit.h"
#include "agent/runners/report.h"
#include "agent/runners/spec.h"
#include "agent/source/confined.h"
#include "agent/source/environment.h"
#include "agent/source/recipe.h"
#include "agent/source/source.h"

#include <stdbool.h>

/* Exit statuses of a runner. */
#define ACTION_SUCCEEDED 0
#define ACTION_FAILED 1
#define ACTION_REFUSED 100

typedef struct Action {
    Spec spec;
    Report report;
    Source source;
    Recipe recipe;
    bool is_source_optional; /* set before action_prepare */
    int workspace_fd;
    const char *name; /* of the service: slipway.json's, else the source's */
    TestSums tests;   /* of the step that was run */
    int64_t began_ms; /* monotonic */
    char *reason;     /* that was reported; NULL: none */
    Json *release;    /* for the audit log: the package that it is about, as a kept release's record
                         has it; NULL: it is about the source */
} Action;

#define ACTION_INIT ((Action){.report = {.fd = -1}, .workspace_fd = -1})

/* Reads the spec from fd 0 and opens fd 3. */
int action_open(Action *action, Error *err) _must_check_;
void action_done(Action *action);
#define _cleanup_action_ _cleanup_(action_done)

/* Brings the source, reads its recipe, reports `commit`. */
int action_prepare(Action *action, Error *err) _must_check_;

/* The environment of a step: our own, what is known of the source, what the recipe adds. */
int action_make_environment(const Action *action, const RecipeStep *step, Environment *env,
                            Error *err) _must_check_;

/* Runs a step that has a command, with its test results and artifacts. 0: it succeeded. 1: it did
 * not, and the reason was reported. `env` may have more than action_make_environment gave. */
int action_run_step(Action *action, const RecipeStep *step, const Environment *env,
                    Error *err) _must_check_;

/* Keeps what is started for a repository out of the agent's state. As confined_open. */
int action_confine(const Spec *spec, ConfinedKind kind, Confine *ret, Error *err) _must_check_;

/* First thing in a runner: a step of the same user can neither trace it nor read its memory, and it
 * leaves no core file. */
void action_protect(void);

/* The whole main() of a runner: `run` does the action, 0 or 1 as action_run_step. Whatever it fails
 * with is logged and reported as the reason. Returns the exit status. */
int action_main(const char *program, int (*run)(Action *action, Error *err));
