/* SPDX-License-Identifier: MIT */
#include "tests/unit/endpoint/fake-calls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

#define FAKE_EVENTS_MAX 512

typedef struct FakeEvent {
    CallEventType type;
    const char *stream;
    int64_t offset;
    char *data;
    size_t len;
    Json *details;
} FakeEvent;

struct CallFollower {
    TAILQ_ENTRY(CallFollower) link;
    Call *call;
    uint64_t after;
    void (*ready)(CallFollower *follower, void *userdata);
    void *userdata;
    bool is_done;
};

struct Call {
    TAILQ_ENTRY(Call) link;
    Calls *calls;
    char id[64];
    char key[64];
    CallState state;
    FakeEvent events[FAKE_EVENTS_MAX];
    size_t n_events;
    int64_t log_size;
    char artifact[64];
    int artifact_fd;
    TAILQ_HEAD(, CallFollower) followers;
};

struct Calls {
    TAILQ_HEAD(, Call) all;
    unsigned n;
    int fail_next;
    const char *fail_text;
    char last_input[256];
    bool has_engines;
    EngineWaiter *engine_waiter;
};

Calls *fake_calls_new(void)
{
    Calls *calls = calloc(1, sizeof(*calls));

    assert(calls);
    TAILQ_INIT(&calls->all);
    return calls;
}

static void fake_call_free(Call *call)
{
    assert(TAILQ_EMPTY(&call->followers));
    for (size_t i = 0; i < call->n_events; i++) {
        free(call->events[i].data);
        (void)json_unref(call->events[i].details);
    }
    if (call->artifact_fd >= 0) {
        (void)close(call->artifact_fd);
    }
    free(call);
}

Calls *fake_calls_free(Calls *calls)
{
    Call *call;

    while (calls && (call = TAILQ_FIRST(&calls->all))) {
        TAILQ_REMOVE(&calls->all, call, link);
        fake_call_free(call);
    }
    free(calls);
    return NULL;
}

Call *fake_calls_add(Calls *calls, const char *id)
{
    Call *call = calloc(1, sizeof(*call));

    assert(call);
    call->calls = calls;
    call->state = CALL_RUNNING;
    call->artifact_fd = -1;
    (void)snprintf(call->id, sizeof(call->id), "%s", id);
    TAILQ_INIT(&call->followers);
    TAILQ_INSERT_HEAD(&calls->all, call, link);
    calls->n++;
    return call;
}

void fake_calls_fail_next_with(Calls *calls, int r, const char *text)
{
    calls->fail_next = r;
    calls->fail_text = text;
}

void fake_calls_fail_next(Calls *calls, int r)
{
    fake_calls_fail_next_with(calls, r, "made to fail");
}

const char *fake_calls_last_input(const Calls *calls)
{
    return calls->last_input;
}

static int maybe_fail(Calls *calls, Error *err)
{
    int r = calls->fail_next;

    calls->fail_next = 0;
    return r < 0 ? error_set(err, r, "%s", calls->fail_text) : 0;
}

static void wake_followers(Call *call)
{
    CallFollower *follower, *next;

    for (follower = TAILQ_FIRST(&call->followers); follower; follower = next) {
        next = TAILQ_NEXT(follower, link);
        follower->ready(follower, follower->userdata);
    }
}

static FakeEvent *add_event(Call *call, CallEventType type)
{
    FakeEvent *event = &call->events[call->n_events++];

    assert(call->n_events <= FAKE_EVENTS_MAX);
    event->type = type;
    return event;
}

void fake_call_log(Call *call, const char *stream, const char *data, size_t n)
{
    FakeEvent *event = add_event(call, CALL_EVENT_LOG);

    event->stream = stream;
    event->offset = call->log_size;
    event->data = malloc(n + 1);
    event->len = n;
    assert(event->data);
    memcpy(event->data, data, n);
    call->log_size += (int64_t)n;
    wake_followers(call);
}

void fake_call_event(Call *call, CallEventType type, Json *details)
{
    add_event(call, type)->details = details;
    wake_followers(call);
}

void fake_call_finish(Call *call)
{
    call->state = CALL_FINISHED;
    fake_call_event(call, CALL_EVENT_FINISHED, json_new_object());
}

void fake_call_set_artifact(Call *call, const char *name, const char *data, size_t n)
{
    (void)snprintf(call->artifact, sizeof(call->artifact), "%s", name);
    call->artifact_fd = memfd_create(name, MFD_CLOEXEC);
    assert(call->artifact_fd >= 0 && write(call->artifact_fd, data, n) == (ssize_t)n);
}

size_t fake_call_n_followers(const Call *call)
{
    const CallFollower *follower;
    size_t n = 0;

    TAILQ_FOREACH (follower, &call->followers, link) {
        n++;
    }
    return n;
}

/* ---- calls.h ----------------------------------------------------------------------------------
 */

int calls_start(Calls *calls, const CallRequest *request, Call **ret, bool *ret_is_existing,
                Error *err)
{
    char id[32];
    Call *call;
    int r = maybe_fail(calls, err);

    if (r < 0) {
        return r;
    }
    TAILQ_FOREACH (call, &calls->all, link) {
        if (strcmp(call->key, request->idempotency_key) == 0) {
            *ret = call;
            *ret_is_existing = true;
            return 0;
        }
    }
    (void)snprintf(id, sizeof(id), "c%u", calls->n);
    *ret = fake_calls_add(calls, id);
    (void)snprintf((*ret)->key, sizeof((*ret)->key), "%s", request->idempotency_key);
    *ret_is_existing = false;
    return 0;
}

Call *calls_find(Calls *calls, const char *id)
{
    Call *call;

    TAILQ_FOREACH (call, &calls->all, link) {
        if (strcmp(call->id, id) == 0) {
            return call;
        }
    }
    return NULL;
}

int calls_cancel(Calls *calls, Call *call, Error *err)
{
    int r = maybe_fail(calls, err);

    if (r == 0 && call->state != CALL_FINISHED) {
        fake_call_finish(call);
    }
    return r;
}

int calls_list(Calls *calls, unsigned states, const char *run, size_t limit, Json **ret, Error *err)
{
    int r = maybe_fail(calls, err);
    Json *list;
    Call *call;

    if (r < 0) {
        return r;
    }
    list = json_new_array();
    TAILQ_FOREACH (call, &calls->all, link) {
        if (json_length(list) < limit && (!states || states & 1u << call->state)) {
            Json *object = json_new_object();

            assert(json_set_string(object, "call", call->id) == 0);
            assert(json_append_take(list, object) == 0);
        }
    }
    *ret = list;
    return 0;
}

int calls_check_engines(Calls *calls, EngineWaiter *waiter)
{
    if (calls->has_engines) {
        calls->engine_waiter = waiter;
        waiter->is_waiting = true;
    }
    return calls->has_engines;
}

void engine_waiter_cancel(EngineWaiter *waiter)
{
    waiter->is_waiting = false;
}

void fake_calls_set_engines(Calls *calls)
{
    calls->has_engines = true;
}

bool fake_calls_tell_engines(Calls *calls)
{
    EngineWaiter *waiter = calls->engine_waiter;
    bool is_waiting = waiter && waiter->is_waiting;

    if (is_waiting) {
        waiter->is_waiting = false;
        waiter->done(waiter, waiter->userdata);
    }
    calls->engine_waiter = NULL;
    return is_waiting;
}

int calls_health(Calls *calls, Json **ret, Error *err)
{
    int r = maybe_fail(calls, err);
    Json *problems;

    if (r < 0) {
        return r;
    }
    *ret = json_new_object();
    problems = json_new_array();
    assert(json_set_take(*ret, "problems", problems) == 0);
    if (calls->n > 2) {
        assert(json_append_string(problems, "more calls than I like") == 0);
    }
    return 0;
}

const char *call_id(const Call *call)
{
    return call->id;
}

CallState call_state(const Call *call)
{
    return call->state;
}

const char *call_state_name(CallState state)
{
    static const char *const names[] = {"queued", "running", "finished"};

    return names[state];
}

int call_describe_state(Calls *calls, Call *call, Json *object)
{
    return json_set_string(object, "state", call_state_name(call->state));
}

int call_read_result(Call *call, Json **ret, Error *err)
{
    int r = maybe_fail(call->calls, err);

    if (r == 0 && call->state != CALL_FINISHED) {
        r = error_set(err, -EBUSY, "not finished");
    }
    if (r == 0) {
        *ret = json_new_object();
        assert(json_set_string(*ret, "call", call->id) == 0);
    }
    return r;
}

int call_list_artifacts(Call *call, Json **ret, Error *err)
{
    int r = maybe_fail(call->calls, err);

    *ret = r == 0 ? json_new_array() : NULL;
    return r;
}

int call_open_artifact(Call *call, const char *name, int *ret_fd, int64_t *ret_size, Error *err)
{
    int r = maybe_fail(call->calls, err);

    if (r < 0) {
        return r;
    }
    if (call->artifact_fd < 0 || strcmp(call->artifact, name) != 0) {
        return error_set(err, -ENOENT, "there is no artifact '%s'", name);
    }
    *ret_fd = dup(call->artifact_fd);
    *ret_size = lseek(call->artifact_fd, 0, SEEK_END);
    return 0;
}

int call_follow(Call *call, uint64_t after, void (*ready)(CallFollower *follower, void *userdata),
                void *userdata, CallFollower **ret, Error *err)
{
    int r = maybe_fail(call->calls, err);

    if (r < 0) {
        return r;
    }
    *ret = calloc(1, sizeof(**ret));
    assert(*ret);
    **ret = (CallFollower){.call = call, .after = after, .ready = ready, .userdata = userdata};
    TAILQ_INSERT_TAIL(&call->followers, *ret, link);
    return 0;
}

int call_follower_next(CallFollower *follower, CallEvent *ret, Error *err)
{
    const FakeEvent *event;
    int r = maybe_fail(follower->call->calls, err);

    if (r < 0) {
        return r;
    }
    if (follower->after >= follower->call->n_events) {
        return 0;
    }
    event = &follower->call->events[follower->after++];
    *ret = (CallEvent){
        .type = event->type,
        .seq = follower->after,
        .time_us = 1700000000000000 + (int64_t)follower->after,
        .stream = event->stream,
        .offset = event->offset,
        .data = event->data,
        .len = event->len,
        .details = event->details,
    };
    follower->is_done = event->type == CALL_EVENT_FINISHED;
    return 1;
}

bool call_follower_is_done(const CallFollower *follower)
{
    return follower->is_done;
}

CallFollower *call_follower_free(CallFollower *follower)
{
    if (follower) {
        TAILQ_REMOVE(&follower->call->followers, follower, link);
        free(follower);
    }
    return NULL;
}

int calls_write_input(Calls *calls, const char *input, int64_t offset, const void *data, size_t n,
                      bool is_last, const char *sha256, int64_t *ret_size, Error *err)
{
    int r = maybe_fail(calls, err);

    (void)snprintf(calls->last_input, sizeof(calls->last_input), "%s %lld %.*s %d %.8s", input,
                   (long long)offset, (int)n, (const char *)data, is_last, sha256 ? sha256 : "-");
    *ret_size = offset + (int64_t)n;
    return r;
}

int calls_read_audit(Calls *calls, int64_t offset, void *data, size_t n, size_t *ret_n,
                     int64_t *ret_size, Json **ret_head, Error *err)
{
    static const char log[] = "{\"seq\":1}\n";
    int r = maybe_fail(calls, err);

    if (r == 0) {
        *ret_size = (int64_t)strlen(log);
        *ret_n = MIN(n, strlen(log) - (size_t)offset);
        memcpy(data, log + offset, *ret_n);
        *ret_head = offset > 0 ? json_new_object() : NULL;
    }
    return r;
}

int action_config_load_schemas(const ActionConfig *action, Json **ret_parameters,
                               Json **ret_outputs, Error *err)
{
    *ret_parameters = json_new_object();
    *ret_outputs = json_new_object();
    return 0;
}
