/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-look.h"

#include "agent/deploy/engines/swarm/swarm-spec.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

void swarm_look_done(SwarmLook *look)
{
    (void)json_unref(look->service);
    (void)json_unref(look->tasks);
    *look = (SwarmLook){0};
}

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* Old tasks on a node that is down stay in the list for a day. */
int swarm_look_read(SwarmApi *api, const SwarmLook *look, const Json *spec, const char *deployment,
                    SwarmTasks *ret, Error *err)
{
    _cleanup_json_ Json *down = NULL;
    int r = swarm_tasks_read(look->tasks, spec, deployment, NULL, ret);

    if (r == 0 && ret->has_lingering && ret->counts.healthy == ret->counts.wanted) {
        r = swarm_api_get_down_nodes(api, &down, err);
        if (r != 0) {
            return r;
        }
        r = swarm_tasks_read(look->tasks, spec, deployment, down, ret);
    }
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

int swarm_look(SwarmApi *api, const char *app, SwarmLook *ret, Error *err)
{
    const char *state;
    int r = swarm_api_get_service(api, app, &ret->service, err);

    r = r != 0 ? r
               : swarm_api_get_tasks(api, json_get_string(ret->service, "ID"), &ret->tasks, err);
    if (r != 0) {
        return r;
    }
    state = json_as_string(json_pointer(ret->service, "/UpdateStatus/State"));
    ret->update_state = state ? state : "";
    ret->spec = json_get(ret->service, "Spec");
    ret->previous = json_get(ret->service, "PreviousSpec");
    ret->deployment = swarm_spec_deployment(ret->spec);
    return swarm_look_read(api, ret, ret->spec, ret->deployment, &ret->own, err);
}

bool swarm_look_is_given_up(const SwarmLook *look, const char *deployment)
{
    return is_same(swarm_spec_label(look->spec, SWARM_LABEL_CANCELLED), deployment);
}

bool swarm_look_is_under_way(const SwarmLook *look)
{
    const char *trouble;

    if (swarm_look_is_given_up(look, look->deployment)) {
        return false;
    }
    if (is_same(look->update_state, "updating") ||
        is_same(look->update_state, "rollback_started")) {
        return true;
    }
    trouble = json_as_string(json_pointer(look->own.held, "/Status/Err"));
    return !*look->update_state && look->own.held && !look->own.failed && !(trouble && *trouble);
}

/* ---- why --------------------------------------------------------------------------------------
 */

static int take_text(Buffer *text, char **ret)
{
    if (text->len == 0) {
        return 0;
    }
    free(*ret);
    *ret = buffer_take_text(text);
    return *ret ? 0 : -ENOMEM;
}

static int append_health(SwarmApi *api, const Json *task, Buffer *text, bool *ret_is_unhealthy)
{
    _cleanup_json_ Json *health = NULL;
    size_t start = text->len;
    int r = *swarm_task_container(task)
                ? swarm_api_get_health(api, swarm_task_container(task), &health)
                : 0;

    *ret_is_unhealthy = is_same(json_get_string(health, "Status"), "unhealthy");
    r = r < 0 || !health ? r : buffer_append_text(text, "; ");
    r = r < 0 || !health ? r : swarm_health_append(health, text);
    if (r == 0 && health && text->len == start + strlen("; ")) {
        buffer_truncate(text, start);
    }
    return r;
}

/* Of what has failed: the task's own trouble, the last answer of its health check, its log. */
static int explain_failure(SwarmApi *api, const SwarmLook *look, const SwarmTasks *tasks,
                           const char *before, EngineStatus *ret)
{
    const char *trouble = json_as_string(json_pointer(tasks->failed, "/Status/Err"));
    const char *message = json_as_string(json_pointer(look->service, "/UpdateStatus/Message"));
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    bool is_unhealthy;
    int r = buffer_append_text(&text, before);

    if (!tasks->failed) {
        r = r < 0 ? r : buffer_append_text(&text, message ? message : "docker does not say why");
        return r < 0 ? r : take_text(&text, &ret->reason);
    }
    r = r < 0 ? r : swarm_task_append_trouble(tasks->failed, &text);
    if (r == 0 && trouble && strstr(trouble, "unhealthy")) {
        r = append_health(api, tasks->failed, &text, &is_unhealthy);
    }
    r = r < 0 ? r : take_text(&text, &ret->reason);
    return r < 0 || !*swarm_task_container(tasks->failed)
               ? r
               : swarm_api_get_log(api, swarm_task_id(tasks->failed), &ret->log);
}

/* What holds up an instance that should run. Docker takes its time to end one that it knows to be
 * unhealthy, and only then says that it has failed. */
static int explain_delay(SwarmApi *api, const SwarmTasks *tasks, EngineStatus *ret)
{
    const char *trouble = json_as_string(json_pointer(tasks->held, "/Status/Err"));
    bool is_starting = is_same(swarm_task_state(tasks->held), "starting"), is_unhealthy = false;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    size_t start;
    int r;

    if (!tasks->held || (!is_starting && !(trouble && *trouble))) {
        return 0;
    }
    r = swarm_task_append_trouble(tasks->held, &text);
    start = text.len;
    r = r < 0 || !is_starting ? r : append_health(api, tasks->held, &text, &is_unhealthy);
    if (r < 0 || (text.len == start && !(trouble && *trouble))) {
        return r;
    }
    r = take_text(&text, &ret->reason);
    if (r == 0 && is_unhealthy) {
        ret->state = ENGINE_FAILING;
        r = swarm_api_get_log(api, swarm_task_id(tasks->held), &ret->log);
    }
    return r;
}

/* ---- what has become of it --------------------------------------------------------------------
 */

static bool has_ended_well(const SwarmLook *look, int64_t settled_for_ms)
{
    if (!engine_counts_are_settled(&look->own.counts)) {
        return false;
    }
    /* Docker says nothing of a service that is new: then it has to be seen for as long as docker
     * would look at an update, unless a health check says that it is well. */
    return is_same(look->update_state, "completed") ||
           is_same(look->update_state, "rollback_completed") ||
           (!*look->update_state && (swarm_spec_has_health_check(look->spec) ||
                                     settled_for_ms >= swarm_spec_monitor_ms(look->spec)));
}

static int judge_own(SwarmApi *api, const SwarmLook *look, int64_t settled_for_ms,
                     EngineStatus *ret)
{
    bool is_paused =
        is_same(look->update_state, "paused") || is_same(look->update_state, "rollback_paused");

    if (!is_paused && has_ended_well(look, settled_for_ms)) {
        ret->state = ENGINE_SUCCEEDED;
        return 0;
    }
    if (is_paused || swarm_tasks_are_failing(&look->own, look->spec)) {
        ret->state = ENGINE_FAILING;
        return explain_failure(api, look, &look->own, "", ret);
    }
    ret->state = ENGINE_RUNNING;
    return explain_delay(api, &look->own, ret);
}

/* The way back ends when what came before is whole again. */
static void judge_given_up(const SwarmLook *look, const SwarmTasks *given_up, EngineStatus *ret)
{
    bool is_back = !given_up->has_own_alive && !is_same(look->update_state, "updating") &&
                   engine_counts_are_settled(&look->own.counts);
    bool is_in_place = swarm_look_is_given_up(look, look->deployment);

    ret->state = is_back || is_in_place ? ENGINE_CANCELLED : ENGINE_RUNNING;
}

/* Docker put the one before back by itself; the service looks well, and ours has failed. */
static int judge_rolled_back(SwarmApi *api, const SwarmLook *look, const SwarmTasks *tasks,
                             EngineStatus *ret)
{
    bool is_over = !is_same(look->update_state, "rollback_started");
    const char *before = is_same(look->update_state, "rollback_paused")
                             ? "docker began to roll it back and could not: "
                             : "docker rolled it back: ";

    ret->state = is_over ? ENGINE_FAILED : ENGINE_RUNNING;
    return explain_failure(api, look, tasks, before, ret);
}

int swarm_look_judge(SwarmApi *api, const SwarmLook *look, const char *deployment,
                     int64_t settled_for_ms, EngineStatus *ret, Error *err)
{
    bool is_given_up = swarm_look_is_given_up(look, deployment);
    bool is_own = is_same(look->deployment, deployment) && !is_given_up;
    const char *phase = *look->update_state ? look->update_state : "starting";
    SwarmTasks tasks = look->own;
    int r = is_own ? 0 : swarm_look_read(api, look, look->spec, deployment, &tasks, err);

    if (r != 0) {
        return r;
    }
    if (is_own) {
        r = judge_own(api, look, settled_for_ms, ret);
    } else if (is_given_up) {
        judge_given_up(look, &tasks, ret);
    } else if (text_has_prefix(look->update_state, "rollback_") && tasks.has_own) {
        r = judge_rolled_back(api, look, &tasks, ret);
    } else {
        ret->state = ENGINE_UNKNOWN;
        return 0;
    }
    ret->counts = tasks.counts;
    ret->phase = r == 0 ? strdup(phase) : NULL;
    return ret->phase ? 0 : error_set(err, -ENOMEM, "out of memory");
}
