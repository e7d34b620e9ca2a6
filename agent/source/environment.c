/* SPDX-License-Identifier: MIT */
#include "agent/source/environment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void environment_done(Environment *env)
{
    for (size_t i = 0; i < env->count; i++) {
        free(env->entries[i]);
    }
    free(env->entries);
    *env = (Environment){0};
}

/* The entry of `name`, or env->count. */
static size_t find(const Environment *env, const char *name, size_t n)
{
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->entries[i], name, n) == 0 && env->entries[i][n] == '=') {
            return i;
        }
    }
    return env->count;
}

static void remove_at(Environment *env, size_t i)
{
    free(env->entries[i]);
    env->count--;
    /* with the NULL at the end */
    memmove(env->entries + i, env->entries + i + 1, (env->count - i + 1) * sizeof(char *));
}

static int set_entry_take(Environment *env, char *entry)
{
    size_t i;
    char **entries;

    if (!entry) {
        return -ENOMEM;
    }
    i = find(env, entry, strcspn(entry, "="));
    if (i < env->count) {
        free(env->entries[i]);
        env->entries[i] = entry;
        return 0;
    }
    entries = realloc(env->entries, (env->count + 2) * sizeof(char *));
    if (!entries) {
        free(entry);
        return -ENOMEM;
    }
    env->entries = entries;
    entries[env->count++] = entry;
    entries[env->count] = NULL;
    return 0;
}

int environment_add_all(Environment *env, char *const *entries)
{
    int r = 0;

    for (; r == 0 && entries && *entries; entries++) {
        if (strchr(*entries, '=')) { /* the kernel allows others; nobody could read them */
            r = set_entry_take(env, strdup(*entries));
        }
    }
    return r;
}

int environment_set(Environment *env, const char *name, const char *value)
{
    char *entry;

    if (!value) {
        size_t i = find(env, name, strlen(name));

        if (i < env->count) {
            remove_at(env, i);
        }
        return 0;
    }
    if (asprintf(&entry, "%s=%s", name, value) < 0) {
        return -ENOMEM;
    }
    return set_entry_take(env, entry);
}

const char *environment_get(const Environment *env, const char *name)
{
    size_t n = strlen(name), i = find(env, name, n);

    return i < env->count ? env->entries[i] + n + 1 : NULL;
}

void environment_filter(Environment *env, bool (*is_unwanted)(const char *name, size_t n))
{
    size_t i = 0;

    while (i < env->count) {
        if (is_unwanted(env->entries[i], strcspn(env->entries[i], "="))) {
            remove_at(env, i);
        } else {
            i++;
        }
    }
}
