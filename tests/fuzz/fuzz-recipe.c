/* SPDX-License-Identifier: MIT */
/* Any bytes as slipway.json: refused with lines and pointers, or every step of it can be had, with
 * a command whose texts are there and nothing that leads out of the workspace. */
#include "agent/source/recipe.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A directory in which no convention holds. */
#define NOWHERE "/proc/self/fdinfo"

static bool has_dot_dot(const char *path)
{
    for (const char *part = path + (*path == '!'); part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strcmp(part, "..") == 0 || strncmp(part, "../", 3) == 0) {
            return true;
        }
    }
    return false;
}

static void check_step(const RecipeStep *step)
{
    require(!step->argv || (step->argv[0] && step->title));
    require(!step->directory || !has_dot_dot(step->directory));
    require(step->timeout_ms >= 0);
    for (size_t i = 0; i < step->n_junit; i++) {
        require(!has_dot_dot(step->junit[i]));
    }
    for (size_t i = 0; i < step->n_artifacts; i++) {
        require(step->artifacts[i].name && step->artifacts[i].n_patterns > 0);
        for (size_t k = 0; k < step->artifacts[i].n_patterns; k++) {
            require(!has_dot_dot(step->artifacts[i].patterns[k]));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int nowhere_fd = -1;
    _cleanup_recipe_ Recipe recipe = {0};
    _cleanup_error_ Error err = {0};
    int r = recipe_parse((const char *)data, size, &recipe, &err);

    if (nowhere_fd < 0) {
        nowhere_fd = open(NOWHERE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (r < 0) {
        require(r == -EINVAL && !recipe.root);
        require(strncmp(error_text(&err), "line ", 5) == 0);
        return 0;
    }
    require(!err.text && json_type_of(recipe.root) == JSON_OBJECT);
    for (RecipeStepKind kind = RECIPE_BUILD; kind < _RECIPE_STEP_KIND_MAX; kind++) {
        _cleanup_recipe_step_ RecipeStep step = {0};

        if (recipe_get_step(&recipe, nowhere_fd, kind, &step, NULL) == 0) {
            check_step(&step);
        }
    }
    return 0;
}
