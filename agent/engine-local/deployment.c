/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/deployment.h"

#include "protocol/base/clock.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const struct {
    const char *name; /* on disk */
    const char *state;
    const char *phase;
} names[_DEPLOYMENT_STATE_MAX] = {
    [DEPLOYMENT_STARTING] = {"starting", "running", "starting"},
    [DEPLOYMENT_FINISHING] = {"finishing", "running", "finishing"},
    [DEPLOYMENT_SUCCEEDED] = {"succeeded", "succeeded", "done"},
    [DEPLOYMENT_FAILED] = {"failed", "failed", "done"},
    [DEPLOYMENT_CANCELLED] = {"cancelled", "cancelled", "done"},
};

static const bool may_follow[_DEPLOYMENT_STATE_MAX][_DEPLOYMENT_STATE_MAX] = {
    [DEPLOYMENT_STARTING] =
        {[DEPLOYMENT_FINISHING] = true, [DEPLOYMENT_FAILED] = true, [DEPLOYMENT_CANCELLED] = true},
    [DEPLOYMENT_FINISHING] = {[DEPLOYMENT_SUCCEEDED] = true, [DEPLOYMENT_FAILED] = true},
};

static char *make_id(void)
{
    uint64_t random = 0;
    char *id = NULL;

    (void)!getrandom(&random, sizeof(random), 0);
    return asprintf(&id, "d-%016llx", (unsigned long long)random) < 0 ? NULL : id;
}

Deployment *deployment_new_take(const char *id, Specification *specification)
{
    Deployment *d = calloc(1, sizeof(*d));

    if (!d) {
        (void)specification_free(specification);
        return NULL;
    }
    *d = (Deployment){
        .id = id ? strdup(id) : make_id(),
        .specification = specification,
        .started_us = clock_wall_us(),
    };
    if (!d->id) {
        return deployment_free(d);
    }
    d->deadline_ms = clock_monotonic_ms() + specification->health_deadline_ms;
    return d;
}

Deployment *deployment_free(Deployment *d)
{
    if (d) {
        free(d->id);
        (void)specification_free(d->specification);
        free(d->reason);
        free(d->log_tail);
        free(d);
    }
    return NULL;
}

bool deployment_is_running(const Deployment *d)
{
    return d->state <= DEPLOYMENT_FINISHING;
}

const char *deployment_state_name(const Deployment *d)
{
    return names[d->state].state;
}

const char *deployment_phase_name(const Deployment *d)
{
    return names[d->state].phase;
}

bool deployment_set_state(Deployment *d, DeploymentState state, const char *reason,
                          const char *log_tail)
{
    if (!may_follow[d->state][state]) {
        return false;
    }
    log_info("'%s' deployment %s: %s → %s%s%s", d->specification->id, d->id, names[d->state].name,
             names[state].name, reason ? ": " : "", reason ? reason : "");
    d->state = state;
    if (state == DEPLOYMENT_FINISHING) { /* what dies now is started again, as it would be later */
        d->deadline_ms = clock_monotonic_ms() + d->specification->health_deadline_ms;
        return true;
    }
    d->finished_us = clock_wall_us();
    d->reason = reason ? strdup(reason) : NULL;
    d->log_tail = log_tail ? strdup(log_tail) : NULL;
    return true;
}

/* ---- as JSON ----------------------------------------------------------------------------------
 */

static int set_moment(Json *json, const char *name, int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];

    return wall_us == 0 ? 0 : json_set_string(json, name, clock_format(wall_us, text));
}

/* A service may write any bytes: what is no UTF-8 becomes U+FFFD, as in our own strings. */
static int append_line(Json *lines, const char *line, size_t n)
{
    _cleanup_buffer_ Buffer quoted = {0};
    _cleanup_json_ Json *value = NULL;
    int r = text_append_json(&quoted, line, n);

    r = r < 0 ? r : json_parse(quoted.data, quoted.len, &value, NULL);
    return r < 0 ? r : json_append_take(lines, TAKE_PTR(value));
}

static int set_log_tail(Json *json, const char *text)
{
    _cleanup_json_ Json *lines = json_new_array();
    int r = lines ? 0 : -ENOMEM;

    for (const char *at = text; r == 0 && at && *at;) {
        size_t n = strcspn(at, "\n");

        r = append_line(lines, at, n);
        at += n + (at[n] == '\n');
    }
    return r < 0 ? r : json_set_take(json, "logTail", TAKE_PTR(lines));
}

static int set_counts(Json *json, const DeploymentCounts *counts)
{
    _cleanup_json_ Json *object = json_new_object();
    int r = object ? 0 : -ENOMEM;

    r = r < 0 ? r : json_set_int(object, "wanted", (int64_t)counts->wanted);
    r = r < 0 ? r : json_set_int(object, "updated", (int64_t)counts->updated);
    r = r < 0 ? r : json_set_int(object, "healthy", (int64_t)counts->healthy);
    r = r < 0 ? r : json_set_int(object, "old", (int64_t)counts->old);
    return r < 0 ? r : json_set_take(json, "instances", TAKE_PTR(object));
}

int deployment_describe(const Deployment *d, const DeploymentCounts *counts, Json **ret)
{
    _cleanup_json_ Json *json = json_new_object();
    int r = json ? 0 : -ENOMEM;

    r = r < 0 ? r : json_set_string(json, "deployment", d->id);
    r = r < 0 ? r : json_set_string(json, "app", d->specification->id);
    r = r < 0 ? r : json_set_string(json, "state", deployment_state_name(d));
    r = r < 0 ? r : json_set_string(json, "phase", deployment_phase_name(d));
    r = r < 0 ? r : json_set_string(json, "reason", d->reason);
    r = r < 0 ? r : set_log_tail(json, d->log_tail);
    r = r < 0 ? r : set_counts(json, deployment_is_running(d) ? counts : &d->counts);
    r = r < 0 ? r : set_moment(json, "startedAt", d->started_us);
    r = r < 0 ? r : set_moment(json, "finishedAt", d->finished_us);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(json);
    return 0;
}

int deployment_to_json(const Deployment *d, Json **ret)
{
    _cleanup_json_ Json *json = json_new_object();
    int r = json ? 0 : -ENOMEM;

    r = r < 0 ? r : json_set_string(json, "id", d->id);
    r = r < 0 ? r : json_set_take(json, "specification", json_ref(d->specification->json));
    r = r < 0 ? r : json_set_string(json, "state", names[d->state].name);
    r = r < 0 ? r : json_set_string(json, "reason", d->reason);
    r = r < 0 ? r : set_log_tail(json, d->log_tail);
    r = r < 0 ? r : set_counts(json, &d->counts);
    r = r < 0 ? r : set_moment(json, "startedAt", d->started_us);
    r = r < 0 ? r : set_moment(json, "finishedAt", d->finished_us);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(json);
    return 0;
}

static DeploymentState state_from_name(const char *name)
{
    for (DeploymentState state = 0; name && state < _DEPLOYMENT_STATE_MAX; state++) {
        if (strcmp(names[state].name, name) == 0) {
            return state;
        }
    }
    return _DEPLOYMENT_STATE_INVALID;
}

static int64_t get_moment(const Json *json, const char *name)
{
    const char *text = json_get_string(json, name);
    int64_t wall_us = 0;

    return text && clock_parse(text, &wall_us) == 0 ? wall_us : 0;
}

static size_t get_count(const Json *json, const char *name)
{
    return (size_t)MAX(json_get_int(json_get(json, "instances"), name, 0), (int64_t)0);
}

static char *get_log_tail(const Json *json)
{
    const Json *lines = json_get(json, "logTail");
    _cleanup_buffer_ Buffer text = {0};

    for (size_t i = 0; i < json_length(lines); i++) {
        const char *line = json_as_string(json_at(lines, i));

        if (!line || buffer_append_format(&text, "%s\n", line) < 0) {
            return NULL;
        }
    }
    return text.len > 0 ? buffer_take_text(&text) : NULL;
}

int deployment_from_json(const Json *json, Deployment **ret, Error *err)
{
    DeploymentState state = state_from_name(json_get_string(json, "state"));
    const char *id = json_get_string(json, "id"), *reason = json_get_string(json, "reason");
    Specification *specification = NULL;
    Deployment *d;
    int r;

    if (!id || !text_is_identifier(id) || state == _DEPLOYMENT_STATE_INVALID) {
        return error_set(err, -EBADMSG, "a deployment has no id or no state that we know");
    }
    r = specification_from_json(json_get(json, "specification"), &specification, err);
    if (r < 0) {
        return error_wrap(err, "the specification of deployment '%s'", id);
    }
    d = deployment_new_take(id, specification);
    if (!d) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    d->state = state;
    d->reason = reason ? strdup(reason) : NULL;
    d->log_tail = get_log_tail(json);
    d->started_us = get_moment(json, "startedAt");
    d->finished_us = get_moment(json, "finishedAt");
    if (state == DEPLOYMENT_STARTING) {
        d->deadline_ms -= MAX((clock_wall_us() - d->started_us) / 1000, (int64_t)0);
    }
    d->counts = (DeploymentCounts){
        .wanted = get_count(json, "wanted"),
        .updated = get_count(json, "updated"),
        .healthy = get_count(json, "healthy"),
        .old = get_count(json, "old"),
    };
    *ret = d;
    return 0;
}
