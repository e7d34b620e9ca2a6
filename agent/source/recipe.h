/* SPDX-License-Identifier: MIT */
/* slipway.json: what a repository says about itself, and what holds where it says nothing
 * (agent/runners/README.md, "slipway.json"). */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>
#include <stdint.h>

#define RECIPE_FILE "slipway.json"

typedef struct Recipe {
    Json *root; /* the whole file, {} where there is none */
    bool is_there;
} Recipe;

typedef enum RecipeStepKind {
    RECIPE_BUILD,
    RECIPE_TEST,
    RECIPE_VERIFY,
    _RECIPE_STEP_KIND_MAX,
} RecipeStepKind;

typedef struct RecipeArtifact {
    const char *name;
    const char **patterns;
    size_t n_patterns;
} RecipeArtifact;

/* One step, conventions applied. The texts are borrowed from the recipe. */
typedef struct RecipeStep {
    const char **argv;     /* NULL-terminated; NULL: there is nothing to run */
    const char *title;     /* "./build.sh", "make check": for the log and for reasons */
    const char *directory; /* below the workspace; NULL: its top */
    const Json *env;       /* object of texts, or NULL */
    int64_t timeout_ms;    /* 0: none */
    RecipeArtifact *artifacts;
    size_t n_artifacts;
    const char **junit; /* patterns */
    size_t n_junit;
    bool is_junit_declared; /* otherwise there may well be no such file */
} RecipeStep;

/* Reads the file at the top of the workspace, if there is one. -EINVAL with every mistake, each on
 * a line of its own. */
int recipe_read(int workspace_fd, Recipe *ret, Error *err) _must_check_;
int recipe_parse(const char *text, size_t n, Recipe *ret, Error *err) _must_check_;
void recipe_done(Recipe *recipe);
#define _cleanup_recipe_ _cleanup_(recipe_done)

/* What that step is; `argv` is NULL where neither the file nor a convention names a command. */
int recipe_get_step(const Recipe *recipe, int workspace_fd, RecipeStepKind kind, RecipeStep *ret,
                    Error *err) _must_check_;
void recipe_step_done(RecipeStep *step);
#define _cleanup_recipe_step_ _cleanup_(recipe_step_done)

const char *recipe_step_name(RecipeStepKind kind); /* "build" */

/* Whether a Makefile has a rule for `target`, as far as its text tells. */
bool recipe_makefile_has_target(const char *text, const char *target);
