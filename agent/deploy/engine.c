/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engine.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const Engine *const engines[] = {
    &engine_local,
    &engine_marathon,
    &engine_ssh,
    &engine_swarm,
};

void engine_current_done(EngineCurrent *current)
{
    free(current->deployment);
    free(current->next);
    free(current->digest);
    free(current->commit);
    free(current->version);
    free(current->url);
    (void)json_unref(current->specification);
    *current = (EngineCurrent){0};
}

void engine_plan_done(EnginePlan *plan)
{
    free(plan->app);
    (void)json_unref(plan->specification);
    (void)json_unref(plan->before);
    *plan = (EnginePlan){0};
}

void engine_status_done(EngineStatus *status)
{
    free(status->phase);
    free(status->reason);
    free(status->log);
    *status = (EngineStatus){0};
}

int engine_find(const char *name, const Engine **ret, Error *err)
{
    _cleanup_buffer_ Buffer known = BUFFER_INIT(0);
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
        assert(engines[i]->interface_version == ENGINE_INTERFACE_VERSION);
        if (name && strcmp(engines[i]->name, name) == 0) {
            *ret = engines[i];
            return 0;
        }
        r = r < 0 ? r : buffer_append_format(&known, "%s%s", i > 0 ? ", " : "", engines[i]->name);
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot look for the engine");
    }
    return error_set(err, -EINVAL, "there is no engine '%s'; there are: %s", name ? name : "",
                     buffer_text(&known));
}
