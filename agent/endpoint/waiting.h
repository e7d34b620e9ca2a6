/* SPDX-License-Identifier: MIT */
/* The requests of one connection that are answered later: `calls/result` with `wait`, once the call
 * is finished, and `health`, once it was looked who of the engines answers. */
#pragma once

#include "agent/calls/calls.h"
#include "protocol/json.h"

#include <sys/queue.h>

/* `maxPendingRequests` of the protocol. */
#define WAITING_MAX 64

typedef struct WaitingRequest WaitingRequest;
typedef TAILQ_HEAD(WaitingList, WaitingRequest) WaitingList;

typedef struct Waiting {
    Calls *calls;
    WaitingList unfinished;
    WaitingList finished; /* to be answered, in the order in which the calls ended */
    size_t n;
    void (*woken)(void *userdata);
    void *userdata;
} Waiting;

/* `woken` is called from the loop when waiting_take() has something. */
void waiting_init(Waiting *w, Calls *calls, void (*woken)(void *userdata), void *userdata);
void waiting_done(Waiting *w);

/* Remembers the request `id` until `call` is finished. -EBUSY: WAITING_MAX are waiting. */
int waiting_add(Waiting *w, const Json *id, Call *call, Error *err) _must_check_;

/* The same until it is known who of the engines answers. 1: it waits; 0: it is known. */
int waiting_add_health(Waiting *w, const Json *id, Error *err) _must_check_;

bool waiting_has_finished(const Waiting *w);

/* A request whose call is finished or, with `is_last_chance`, any. 1: both results are the
 * caller's, *ret_call is NULL for `health`; 0: there is none. */
int waiting_take(Waiting *w, bool is_last_chance, Json **ret_id, char **ret_call) _must_check_;
