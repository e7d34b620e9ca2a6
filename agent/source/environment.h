/* SPDX-License-Identifier: MIT */
/* The environment of a program that is about to be started: NAME=VALUE entries, each name once. */
#pragma once

#include "protocol/base/macro.h"

#include <stdbool.h>

typedef struct Environment {
    char **entries; /* NULL-terminated once anything was set; for execve */
    size_t count;
} Environment;

void environment_done(Environment *env);
#define _cleanup_environment_ _cleanup_(environment_done)

/* Appends what `entries` has; of a name that comes twice the last one counts. -ENOMEM. */
int environment_add_all(Environment *env, char *const *entries) _must_check_;

/* Sets or replaces. NULL `value` takes the name away. -ENOMEM. */
int environment_set(Environment *env, const char *name, const char *value) _must_check_;

/* NULL if it is not there. Borrowed until the next change. */
const char *environment_get(const Environment *env, const char *name);

/* Takes away every name for which `is_unwanted` says so. */
void environment_filter(Environment *env, bool (*is_unwanted)(const char *name, size_t n));
