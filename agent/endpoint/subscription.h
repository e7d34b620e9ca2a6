/* SPDX-License-Identifier: MIT */
/* The calls that one connection follows. Each is read from its files when the reader has room, a
 * fair piece from each in turn, so nothing is ever queued here. */
#pragma once

#include "agent/calls/calls.h"
#include "protocol/base/buffer.h"

#include <sys/queue.h>

/* `maxAttachedCalls` of the protocol. */
#define SUBSCRIPTIONS_MAX 1024

typedef struct Subscription Subscription;
typedef TAILQ_HEAD(SubscriptionList, Subscription) SubscriptionList;

typedef struct Subscriptions {
    SubscriptionList ready; /* may have more to read */
    SubscriptionList idle;  /* wait for the call */
    size_t n;
    void (*woken)(void *userdata);
    void *userdata;
} Subscriptions;

/* `woken` is called from the loop when a call has more for subscriptions_pull(). */
void subscriptions_init(Subscriptions *s, void (*woken)(void *userdata), void *userdata);
void subscriptions_done(Subscriptions *s);

/* -EBUSY: SUBSCRIPTIONS_MAX calls are followed already. */
int subscriptions_check_room(const Subscriptions *s, Error *err) _must_check_;

/* Follows `call` after that event; one that is followed already goes on from there. -EBUSY as
 * subscriptions_check_room. */
int subscriptions_add(Subscriptions *s, Call *call, uint64_t after, Error *err) _must_check_;

/* Nothing where it is not followed. */
void subscriptions_remove(Subscriptions *s, const char *call);

bool subscriptions_has_ready(const Subscriptions *s);

/* Appends events until `out` holds `enough` bytes or there are no more for now. */
int subscriptions_pull(Subscriptions *s, Buffer *out, size_t enough, Error *err) _must_check_;
