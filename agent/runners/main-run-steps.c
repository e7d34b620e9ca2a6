/* SPDX-License-Identifier: MIT */
/* slipway-run-steps: build and test, which are the repository's own commands. */
#include "agent/runners/action.h"
#include "agent/runners/statements.h"
#include "agent/source/built.h"
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

/* Tests that failed are stated too, and stay the reason of the failure. */
static int state(Action *action, int tested, Error *err)
{
    _cleanup_error_ Error problem = {0};
    int r =
        statements_test_result(action, tested == 0, &action->tests, tested == 0 ? err : &problem);

    if (r < 0 && tested != 0) {
        log_warning("%s", error_text(&problem));
        return tested;
    }
    return r < 0 ? r : tested;
}

static int build(Action *action, const RecipeStep *step, const Environment *env, Error *err)
{
    const char *workspace = action->spec.workspace;
    int r = built_begin(workspace, err);

    r = r == 0 ? action_run_step(action, step, env, err) : r;
    return r == 0 ? built_finish(workspace, action->source.commit, err) : r;
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
    if (r == 0 && kind == RECIPE_BUILD) {
        return build(action, &step, &env, err);
    }
    r = r == 0 ? action_run_step(action, &step, &env, err) : r;
    return r >= 0 ? state(action, r, err) : r;
}

int main(void)
{
    return action_main(PROGRAM, run);
}
