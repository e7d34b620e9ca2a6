/* SPDX-License-Identifier: MIT */
#include "agent/calls/call.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"
#include "protocol/validate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static void make_id(Calls *calls, int64_t now_us, char id[static CALL_ID_SIZE])
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    char day[sizeof("20261124t120000")];
    unsigned char chance[4];
    time_t seconds;
    struct tm tm;

    calls->last_id_ms = MAX(now_us / 1000, calls->last_id_ms + 1);
    seconds = (time_t)(calls->last_id_ms / 1000);
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(day, sizeof(day), "%Y%m%dt%H%M%S", &tm);
    if (getrandom(chance, sizeof(chance), 0) != (ssize_t)sizeof(chance)) {
        memset(chance, 0, sizeof(chance)); /* the moment alone is unique here */
    }
    (void)snprintf(id, CALL_ID_SIZE, "%s%03u-%c%c%c%c", day, (unsigned)(calls->last_id_ms % 1000),
                   letters[chance[0] % 32], letters[chance[1] % 32], letters[chance[2] % 32],
                   letters[chance[3] % 32]);
}

/* Codes that mean something else to the caller are kept for that. */
static int storage_error(Error *err, int r, const char *what)
{
    if (r == -ENOENT || r == -EEXIST || r == -EINVAL || r == -EBUSY) {
        return error_set(err, -EIO, "%s: %s", what, strerror(-r));
    }
    return error_set_errno(err, r, "%s", what);
}

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

/* 1: the key is known, and asks for the same; 0: it is not known. */
static int find_by_key(Calls *calls, const CallRequest *request, Call **ret, Error *err)
{
    char id[TEXT_IDENTIFIER_MAX + 1];
    _cleanup_call_spec_ CallSpec spec = {0};
    _cleanup_json_ Json *none = json_new_object();
    _cleanup_fd_ int fd = -1;
    const Json *asked;
    Call *call;
    int r = index_find(&calls->index, request->idempotency_key, id, sizeof(id));

    if (r <= 0) {
        return r < 0 ? storage_error(err, r, "looking for the idempotency key") : 0;
    }
    call = calls_find(calls, id);
    if (!call) { /* the power went between the index and the call */
        (void)unlinkat(calls->index.keys_fd, request->idempotency_key, 0);
        return 0;
    }
    r = call_dir_open(calls->calls_fd, id, &fd, NULL);
    r = r == 0 ? call_dir_read_spec(fd, &spec, NULL) : r;
    if (r < 0) {
        return storage_error(err, r, "reading the call of that idempotency key");
    }
    asked = request->parameters ? request->parameters : none;
    if (strcmp(spec.action, request->action) != 0 || !is_same_text(spec.run, request->run) ||
        !json_equal(json_get(spec.root, "parameters"), asked)) {
        return error_set(err, -EEXIST,
                         "the idempotency key '%s' belongs to call '%s', which asked for '%s' with "
                         "another run or other parameters",
                         request->idempotency_key, id, spec.action);
    }
    *ret = call;
    return 1;
}

static int check_request(Calls *calls, const CallRequest *request, const ActionConfig *action,
                         Error *err)
{
    _cleanup_json_ Json *schema = NULL, *none = json_new_object();
    _cleanup_error_ Error problem = {0};
    int r = action_config_load_schemas(action, &schema, NULL, err);

    if (r < 0) {
        return r;
    }
    r = validate_value(schema, request->parameters ? request->parameters : none, NULL, 0, &problem);
    if (r < 0) {
        return error_set(err, r == -EINVAL ? r : -EINVAL, "%s", error_text(&problem));
    }
    if (calls->n_queued >= CALLS_QUEUE_MAX) {
        return error_set(err, -EBUSY, "%zu calls wait already; try again later", calls->n_queued);
    }
    return 0;
}

/* At most the limit; nothing asked for is the limit. 0 is none. */
static int64_t cut(int64_t asked_ms, int64_t limit_ms)
{
    if (asked_ms <= 0) {
        return limit_ms;
    }
    return limit_ms > 0 ? MIN(asked_ms, limit_ms) : asked_ms;
}

static int set_directories(Calls *calls, const char *id, const char *run, Json *spec)
{
    const char *state = calls->config->state_directory;
    const char *const parts[][3] = {
        {"call", "calls/", id}, {"workspace", "runs/", run ? run : id},
        {"calls", "calls", ""}, {"inputs", "inputs", ""},
        {"cache", "cache", ""}, {"releases", "releases", ""},
        {"keys", "keys", ""},   {"audit", "audit", ""},
    };
    Json *directories = json_new_object();
    int r = directories ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s%s%s", state, parts[i][1], parts[i][2],
                     strcmp(parts[i][0], "workspace") == 0 ? "/workspace" : "") < 0) {
            path = NULL;
            r = -ENOMEM;
        }
        r = r == 0 ? json_set_string(directories, parts[i][0], path) : r;
    }
    r = r == 0 ? json_set_string(directories, "state", state) : r;
    if (r < 0) {
        (void)json_unref(directories);
        return r;
    }
    return json_set_take(spec, "directories", directories);
}

static int set_shared(Json *spec, const char *name, const Json *value)
{
    return value ? json_set_take(spec, name, json_ref((Json *)value)) : 0;
}

static int build_spec(Calls *calls, const CallRequest *request, const ActionConfig *action,
                      const char *id, int64_t now_us, Json **ret)
{
    const AgentConfig *config = calls->config;
    _cleanup_json_ Json *spec = json_new_object(), *none = json_new_object();
    const struct {
        const char *name;
        int64_t ms;
    } times[] = {
        {"timeoutSeconds", cut(request->timeout_ms, action->timeout_ms)},
        {"silenceTimeoutSeconds", cut(request->silence_timeout_ms, action->silence_timeout_ms)},
        {"graceSeconds", cut(request->grace_ms, config->grace_ms)},
    };
    char now[CLOCK_TEXT_SIZE];
    int r = spec && none ? 0 : -ENOMEM;

    r = r == 0 ? json_set_string(spec, "call", id) : r;
    r = r == 0 ? json_set_string(spec, "agent", config->name) : r;
    r = r == 0 ? json_set_string(spec, "action", request->action) : r;
    r = r == 0 ? json_set_string(spec, "run", request->run) : r;
    r = r == 0 ? json_set_string(spec, "idempotencyKey", request->idempotency_key) : r;
    r = r == 0 ? json_set_string(spec, "createdAt", clock_format(now_us, now)) : r;
    r = r == 0 ? set_shared(spec, "parameters", request->parameters ? request->parameters : none)
               : r;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(times); i++) {
        r = call_dir_set_seconds(spec, times[i].name, times[i].ms * 1000);
    }
    r = r == 0 ? json_set_bool(spec, "terminal", request->is_terminal) : r;
    r = r == 0 ? set_shared(spec, "origin", request->origin) : r;
    r = r == 0 ? set_shared(spec, "approval", request->approval) : r;
    r = r == 0 ? json_set_string(spec, "traceparent", request->traceparent) : r;
    r = r == 0 ? json_set_bool(spec, "confine", calls->confinement.is_on) : r;
    r = r == 0 ? set_directories(calls, id, request->run, spec) : r;
    r = r == 0 ? set_shared(spec, "environment", action->environment) : r;
    r = r == 0 ? set_shared(spec, "publish", action->publish) : r;
    if (r == 0 && action->environment) {
        r = set_shared(spec, "keys", json_get(config->root, "keys"));
    }
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(spec);
    return 0;
}

/* Indexes first: one that leads nowhere is harmless, and the call's own fsync carries it along. */
static int create(Calls *calls, const CallRequest *request, const ActionConfig *action, Call **ret,
                  Error *err)
{
    int64_t now_us = clock_wall_us();
    CallSpec facts = {.action = request->action, .run = request->run, .created_us = now_us};
    _cleanup_error_ Error problem = {0};
    _cleanup_json_ Json *spec = NULL;
    char id[CALL_ID_SIZE];
    Call *call;
    int r;

    make_id(calls, now_us, id);
    r = calls_reserve(calls);
    r = r == 0 ? build_spec(calls, request, action, id, now_us, &spec) : r;
    call = r == 0 ? call_new(calls, id) : NULL;
    if (!call || call_make_live(call, &facts) < 0) {
        (void)call_free(call);
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = index_add(&calls->index, id, request->idempotency_key, request->run);
    r = r == 0 ? call_dir_create(calls->calls_fd, id, spec, &problem) : r;
    if (r < 0) {
        (void)index_remove(&calls->index, id, request->idempotency_key, request->run);
        TAILQ_REMOVE(&calls->queue, call->live, entry);
        calls->n_queued--;
        call_let_go(call);
        (void)call_free(call);
        calls_request_cleanup(calls);
        return storage_error(err, r, "the call cannot be written");
    }
    calls->all[calls->n_all++] = call; /* the newest: ids never go back */
    *ret = call;
    return 0;
}

static int no_action(const AgentConfig *config, const char *name, Error *err)
{
    _cleanup_buffer_ Buffer names = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < config->n_actions; i++) {
        r = buffer_append_format(&names, "%s%s", i > 0 ? ", " : "", config->actions[i].name);
    }
    return error_set(err, -ENOENT, "there is no action '%s' on this agent; there are %s", name,
                     buffer_text(&names));
}

int calls_start(Calls *calls, const CallRequest *request, Call **ret, bool *ret_is_existing,
                Error *err)
{
    const ActionConfig *action = agent_config_find_action(calls->config, request->action);
    Call *call = NULL;
    int r;

    if (!action) {
        return no_action(calls->config, request->action, err);
    }
    if (!text_is_identifier(request->idempotency_key) ||
        (request->run && !text_is_identifier(request->run))) {
        return error_set(
            err, -EINVAL,
            "%s: must be 1 to 128 of A-Z a-z 0-9 . _ -, beginning with neither . nor -",
            text_is_identifier(request->idempotency_key) ? "/run" : "/idempotencyKey");
    }
    r = find_by_key(calls, request, &call, err);
    if (r < 0) {
        return r;
    }
    *ret_is_existing = r > 0;
    if (r == 0) {
        r = check_request(calls, request, action, err);
        r = r == 0 ? create(calls, request, action, &call, err) : r;
        if (r < 0) {
            return r;
        }
        calls_schedule(calls);
    }
    *ret = call;
    return 0;
}
