/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/marathon/marathon-app.h"

#include <errno.h>
#include <string.h>

const char *marathon_app_label(const Json *app, const char *name)
{
    return json_get_string(json_get(app, "labels"), name);
}

bool marathon_app_is_locked(const Json *app)
{
    return json_length(json_get(app, "deployments")) > 0;
}

const char *marathon_app_deployment(const Json *app)
{
    return json_get_string(json_at(json_get(app, "deployments"), 0), "id");
}

const char *marathon_app_config_version(const Json *app)
{
    const char *changed = json_get_string(json_get(app, "versionInfo"), "lastConfigChangeAt");

    return changed ? changed : json_get_string(app, "version");
}

/* Marathon writes all its times in one form, so they are in the order of their texts. */
bool marathon_app_is_of(const char *version, const char *config_version)
{
    return version && config_version && strcmp(version, config_version) >= 0;
}

/* ---- tasks ------------------------------------------------------------------------------------
 */

static bool is_state(const Json *task, const char *state)
{
    const char *is = json_get_string(task, "state");

    return is && strcmp(is, state) == 0;
}

static bool has_ended(const Json *task)
{
    static const char *const ended[] = {"TASK_FINISHED", "TASK_FAILED",  "TASK_KILLED",
                                        "TASK_ERROR",    "TASK_DROPPED", "TASK_GONE"};

    for (size_t i = 0; i < ARRAY_SIZE(ended); i++) {
        if (is_state(task, ended[i])) {
            return true;
        }
    }
    return false;
}

/* With no check, Marathon counts no task as healthy, and a running one has to do. */
static bool is_healthy(const Json *task, size_t n_checks)
{
    const Json *results = json_get(task, "healthCheckResults");

    if (!is_state(task, "TASK_RUNNING") || json_length(results) < n_checks) {
        return false;
    }
    for (size_t i = 0; i < json_length(results); i++) {
        if (!json_get_bool(json_at(results, i), "alive", false)) {
            return false;
        }
    }
    return true;
}

void marathon_app_count(const Json *app, const char *config_version, EngineCounts *ret)
{
    const Json *tasks = json_get(app, "tasks");
    size_t n_checks = json_length(json_get(app, "healthChecks"));

    *ret = (EngineCounts){.wanted = json_get_int(app, "instances", 1)};
    for (size_t i = 0; i < json_length(tasks); i++) {
        const Json *task = json_at(tasks, i);
        bool is_leaving = is_state(task, "TASK_KILLING");

        if (has_ended(task)) {
            continue;
        }
        if (!marathon_app_is_of(json_get_string(task, "version"), config_version)) {
            ret->old++;
        } else if (!is_leaving) {
            ret->updated++;
            ret->healthy += is_healthy(task, n_checks);
        }
    }
}

const char *marathon_app_old_version(const Json *app)
{
    const Json *tasks = json_get(app, "tasks");
    const char *config_version = marathon_app_config_version(app);

    for (size_t i = 0; i < json_length(tasks); i++) {
        const Json *task = json_at(tasks, i);
        const char *version = json_get_string(task, "version");

        if (version && is_state(task, "TASK_RUNNING") &&
            !marathon_app_is_of(version, config_version)) {
            return version;
        }
    }
    return NULL;
}

/* ---- the specification ------------------------------------------------------------------------
 */

/* What Marathon tells about an app, and what it made of other members for readers of older
 * versions: sent beside those, it is refused. */
static void remove_told(Json *app)
{
    static const char *const told[] = {
        "version",         "versionInfo", "tasksStaged", "tasksRunning",
        "tasksHealthy",    "deployments", "tasks",       "tasksUnhealthy",
        "lastTaskFailure", "tasksStats",  "taskStats",   "readinessCheckResults",
    };

    for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
        json_remove(app, told[i]);
    }
    if (json_has(app, "fetch")) {
        json_remove(app, "uris");
    }
    if (json_has(app, "portDefinitions") || json_has(json_get(app, "container"), "portMappings")) {
        json_remove(app, "ports");
    }
}

int marathon_app_specification(const Json *app, Json **ret)
{
    Json *copy = NULL;
    const char *null_name;
    int r = json_copy(app, &copy);

    if (r < 0) {
        return r;
    }
    remove_told(copy);
    do { /* absent options come as null */
        null_name = NULL;
        for (JsonMember m = {0}; !null_name && json_next_member(copy, &m);) {
            null_name = m.value ? NULL : m.name;
        }
        if (null_name) {
            json_remove(copy, null_name);
        }
    } while (null_name);
    *ret = copy;
    return 0;
}
