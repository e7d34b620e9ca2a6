/* SPDX-License-Identifier: MIT */
/* Runs the command of a step in the workspace. */
#pragma once

#include "agent/source/confine.h"
#include "agent/source/environment.h"
#include "agent/source/recipe.h"
#include "protocol/base/buffer.h"

typedef struct StepRequest {
    const RecipeStep *step;
    const char *workspace;
    const Environment *env;
    const Confine *confine; /* NULL: none */
    int64_t grace_ms;
} StepRequest;

typedef struct StepResult {
    bool is_success;
    int exit_code; /* -1: none */
    char *reason;  /* why it is no success: "./build.sh exited with status 3" */
} StepResult;

void step_result_done(StepResult *result);
#define _cleanup_step_result_ _cleanup_(step_result_done)

/* 0 when it was tried, however it went: a command that is not there is a result too. */
int step_run(const StepRequest *request, StepResult *ret, Error *err) _must_check_;
