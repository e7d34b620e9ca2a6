/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/waiting.h"

#include <errno.h>
#include <string.h>

struct WaitingRequest {
    TAILQ_ENTRY(WaitingRequest) link;
    Waiting *owner;
    Json *id;
    char *call;             /* NULL: it is `health` */
    CallFollower *follower; /* of the call's end; NULL in the list of the finished */
    EngineWaiter engines;
};

void waiting_init(Waiting *w, Calls *calls, void (*woken)(void *userdata), void *userdata)
{
    *w = (Waiting){.calls = calls, .woken = woken, .userdata = userdata};
    TAILQ_INIT(&w->unfinished);
    TAILQ_INIT(&w->finished);
}

static void request_free(WaitingRequest *request)
{
    request->owner->n--;
    (void)call_follower_free(request->follower);
    engine_waiter_cancel(&request->engines);
    (void)json_unref(request->id);
    free(request->call);
    free(request);
}

static WaitingRequest *take_first(WaitingList *list)
{
    WaitingRequest *request = TAILQ_FIRST(list);

    if (request) {
        TAILQ_REMOVE(list, request, link);
    }
    return request;
}

void waiting_done(Waiting *w)
{
    WaitingRequest *request;

    while ((request = take_first(&w->finished)) || (request = take_first(&w->unfinished))) {
        request_free(request);
    }
}

/* A call that is gone, or cannot be followed, is over as well: the answer will say so. */
static bool is_over(const WaitingRequest *request)
{
    Call *call = calls_find(request->owner->calls, request->call);
    _cleanup_error_ Error problem = {0};
    CallEvent event;

    if (!call || call_state(call) == CALL_FINISHED) {
        return true;
    }
    /* Asking for the next event is what makes the follower call again. */
    return call_follower_next(request->follower, &event, &problem) < 0;
}

static void set_finished(WaitingRequest *request)
{
    Waiting *w = request->owner;

    TAILQ_REMOVE(&w->unfinished, request, link);
    TAILQ_INSERT_TAIL(&w->finished, request, link);
    w->woken(w->userdata);
}

static void on_ready(CallFollower *follower, void *userdata)
{
    WaitingRequest *request = userdata;

    if (is_over(request)) {
        request->follower = call_follower_free(request->follower);
        set_finished(request);
    }
}

static void on_engines_checked(EngineWaiter *waiter, void *userdata)
{
    set_finished(userdata);
}

static int make_request(Waiting *w, const Json *id, WaitingRequest **ret, Error *err)
{
    WaitingRequest *request;

    if (w->n >= WAITING_MAX) {
        return error_set(err, -EBUSY, "%d requests of this connection wait for an answer already",
                         WAITING_MAX);
    }
    request = calloc(1, sizeof(*request));
    if (!request) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *request = (WaitingRequest){.owner = w};
    w->n++;
    if (json_copy(id, &request->id) < 0) {
        request_free(request);
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = request;
    return 0;
}

int waiting_add(Waiting *w, const Json *id, Call *call, Error *err)
{
    WaitingRequest *request;
    int r = make_request(w, id, &request, err);

    if (r < 0) {
        return r;
    }
    request->call = strdup(call_id(call));
    r = request->call ? 0 : error_set(err, -ENOMEM, "out of memory");
    r = r == 0 ? call_follow(call, UINT64_MAX, on_ready, request, &request->follower, err) : r;
    if (r < 0) {
        request_free(request);
        return r;
    }
    TAILQ_INSERT_TAIL(&w->unfinished, request, link);
    on_ready(request->follower, request);
    return 0;
}

int waiting_add_health(Waiting *w, const Json *id, Error *err)
{
    WaitingRequest *request = NULL;
    int r = make_request(w, id, &request, err);

    if (r < 0) {
        return r;
    }
    request->engines = (EngineWaiter){.done = on_engines_checked, .userdata = request};
    r = calls_check_engines(w->calls, &request->engines);
    if (r <= 0) {
        request_free(request);
        return r;
    }
    TAILQ_INSERT_TAIL(&w->unfinished, request, link);
    return 1;
}

bool waiting_has_finished(const Waiting *w)
{
    return !TAILQ_EMPTY(&w->finished);
}

int waiting_take(Waiting *w, bool is_last_chance, Json **ret_id, char **ret_call)
{
    WaitingRequest *request = take_first(&w->finished);

    if (!request && is_last_chance) {
        request = take_first(&w->unfinished);
    }
    if (!request) {
        return 0;
    }
    *ret_id = TAKE_PTR(request->id);
    *ret_call = TAKE_PTR(request->call);
    request_free(request);
    return 1;
}
