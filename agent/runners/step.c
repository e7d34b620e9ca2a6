/* SPDX-License-Identifier: MIT */
#include "agent/runners/step.h"

#include "agent/source/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What sh(1) answers for a command that it cannot start. */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

/* A command that is a whole script is told by its beginning. */
#define TITLE_MAX 120

void step_result_done(StepResult *result)
{
    free(result->reason);
    *result = (StepResult){0};
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* The program could not be started, and the program's name and why are in the sentence. */
static int not_started(int code, const Error *problem, StepResult *ret, Error *err)
{
    StepResult result = {.exit_code = code == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE};

    if (code == -ENOMEM) {
        return out_of_memory(err);
    }
    result.reason = strdup(error_text(problem));
    if (!result.reason) {
        return out_of_memory(err);
    }
    *ret = result;
    return 0;
}

static int describe(const RecipeStep *step, const ProcessExit *how, StepResult *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    size_t n = strcspn(step->title, "\n");
    int r = buffer_append_format(&text, "%.*s%s ", (int)MIN(n, (size_t)TITLE_MAX), step->title,
                                 n > TITLE_MAX || step->title[n] ? "…" : "");

    r = r == 0 ? process_exit_describe(how, step->timeout_ms, &text) : r;
    if (r < 0) {
        return out_of_memory(err);
    }
    ret->reason = buffer_take_text(&text);
    return ret->reason ? 0 : out_of_memory(err);
}

int step_run(const StepRequest *request, StepResult *ret, Error *err)
{
    const RecipeStep *step = request->step;
    _cleanup_free_ char *directory = NULL;
    _cleanup_step_result_ StepResult result = {.exit_code = -1};
    _cleanup_error_ Error problem = {0};
    ProcessExit how;
    int r;

    if (asprintf(&directory, "%s%s%s", request->workspace, step->directory ? "/" : "",
                 step->directory ? step->directory : "") < 0) {
        directory = NULL;
        return out_of_memory(err);
    }
    r = process_run(&(ProcessOptions){.argv = step->argv,
                                      .env = request->env->entries,
                                      .directory = directory,
                                      .confine = request->confine,
                                      .timeout_ms = step->timeout_ms,
                                      .grace_ms = request->grace_ms},
                    &how, &problem);
    if (r < 0) {
        return not_started(r, &problem, ret, err);
    }
    result.is_success = process_exit_is_success(&how);
    result.exit_code = how.exit_code;
    r = result.is_success ? 0 : describe(step, &how, &result, err);
    if (r < 0) {
        return r;
    }
    *ret = result;
    result = (StepResult){0};
    return 0;
}
