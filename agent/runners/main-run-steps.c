/* SPDX-License-Identifier: MIT */
/* slipway-run-steps: build and test, which are the repository's own commands. */
#include "agent/runners/action.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <string.h>

#define PROGRAM "slipway-run-steps"

static int find_kind(const char *verb, RecipeStepKind *ret, Error *err)
{
    for (RecipeStepKind kind = RECIPE_BUILD; kind <= RECIPE_TEST; kind++) {
        if (strcmp(recipe_step_name(kind), verb) == 0) {
            *ret = kind;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "'%s' is neither build nor test, and I do no other action",
                     verb);
}

static int nothing_to_do(Action *action, RecipeStepKind kind, Error *err)
{
    static const char *const sentences[] = {
        [RECIPE_BUILD] = "nothing to build: there is no build.sh and no Makefile, and slipway.json "
                         "names no command",
        [RECIPE_TEST] = "nothing to test: there is no test.sh and no Makefile with a rule for "
                        "'check', and slipway.json names no command",
    };
    int r = report_phase(&action->report, recipe_step_name(kind), sentences[kind]);

    log_info("%s", sentences[kind]);
    return r < 0 ? error_set_errno(err, r, "cannot report") : 0;
}

static int run(Action *action, Error *err)
{
    _cleanup_recipe_step_ RecipeStep step = {0};
    _cleanup_environment_ Environment env = {0};
    RecipeStepKind kind = RECIPE_BUILD;
    int r = find_kind(action->spec.verb, &kind, err);

    r = r == 0 ? action_prepare(action, err) : r;
    if (r == 0 && kind == RECIPE_BUILD) {
        r = report_output(&action->report, "version", action->source.version);
        r = r < 0 ? error_set_errno(err, r, "cannot report") : 0;
    }
    r = r == 0 ? recipe_get_step(&action->recipe, action->workspace_fd, kind, &step, err) : r;
    if (r < 0) {
        return r;
    }
    if (!step.argv) {
        return nothing_to_do(action, kind, err);
    }
    r = action_make_environment(action, &step, &env, err);
    return r == 0 ? action_run_step(action, &step, &env, err) : r;
}

int main(void)
{
    return action_main(PROGRAM, run);
}
