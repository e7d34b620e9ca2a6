/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/subscription.h"

#include "agent/endpoint/event-line.h"

#include <errno.h>
#include <string.h>

/* What one call gets before the next has its turn. */
#define TURN_BYTES ((size_t)64 << 10)

struct Subscription {
    TAILQ_ENTRY(Subscription) link;
    Subscriptions *owner;
    char *call;
    CallFollower *follower;
    bool is_ready; /* in owner->ready, else in owner->idle */
};

void subscriptions_init(Subscriptions *s, void (*woken)(void *userdata), void *userdata)
{
    *s = (Subscriptions){.woken = woken, .userdata = userdata};
    TAILQ_INIT(&s->ready);
    TAILQ_INIT(&s->idle);
}

static SubscriptionList *list_of(Subscription *one)
{
    return one->is_ready ? &one->owner->ready : &one->owner->idle;
}

static void set_ready(Subscription *one, bool is_ready)
{
    TAILQ_REMOVE(list_of(one), one, link);
    one->is_ready = is_ready;
    TAILQ_INSERT_TAIL(list_of(one), one, link);
}

static void subscription_free(Subscription *one)
{
    TAILQ_REMOVE(list_of(one), one, link);
    one->owner->n--;
    (void)call_follower_free(one->follower);
    free(one->call);
    free(one);
}

void subscriptions_done(Subscriptions *s)
{
    while (!TAILQ_EMPTY(&s->ready)) {
        subscription_free(TAILQ_FIRST(&s->ready));
    }
    while (!TAILQ_EMPTY(&s->idle)) {
        subscription_free(TAILQ_FIRST(&s->idle));
    }
}

static Subscription *find_in(SubscriptionList *list, const char *call)
{
    Subscription *one;

    TAILQ_FOREACH (one, list, link) {
        if (strcmp(one->call, call) == 0) {
            return one;
        }
    }
    return NULL;
}

void subscriptions_remove(Subscriptions *s, const char *call)
{
    Subscription *one = find_in(&s->ready, call);

    one = one ? one : find_in(&s->idle, call);
    if (one) {
        subscription_free(one);
    }
}

static void on_ready(CallFollower *follower, void *userdata)
{
    Subscription *one = userdata;

    if (!one->is_ready) {
        set_ready(one, true);
        one->owner->woken(one->owner->userdata);
    }
}

int subscriptions_check_room(const Subscriptions *s, Error *err)
{
    if (s->n < SUBSCRIPTIONS_MAX) {
        return 0;
    }
    return error_set(err, -EBUSY, "this connection follows %d calls already; detach from one",
                     SUBSCRIPTIONS_MAX);
}

int subscriptions_add(Subscriptions *s, Call *call, uint64_t after, Error *err)
{
    Subscription *one;
    int r;

    subscriptions_remove(s, call_id(call));
    r = subscriptions_check_room(s, err);
    if (r < 0) {
        return r;
    }
    one = calloc(1, sizeof(*one));
    if (!one) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *one = (Subscription){.owner = s, .call = strdup(call_id(call)), .is_ready = true};
    TAILQ_INSERT_TAIL(&s->ready, one, link);
    s->n++;
    r = one->call ? call_follow(call, after, on_ready, one, &one->follower, err)
                  : error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        subscription_free(one);
    }
    return r;
}

bool subscriptions_has_ready(const Subscriptions *s)
{
    return !TAILQ_EMPTY(&s->ready);
}

/* One call's turn. It then stands at the end of a queue, or is gone after its last event. */
static int pull_turn(Subscription *one, Buffer *out, size_t enough, Error *err)
{
    size_t until = MIN(enough, out->len + TURN_BYTES);

    do {
        CallEvent event = {0};
        int r = call_follower_next(one->follower, &event, err);

        if (r < 0) {
            return error_wrap(err, "following call '%s'", one->call);
        }
        if (r == 0) {
            if (call_follower_is_done(one->follower)) {
                subscription_free(one);
            } else {
                set_ready(one, false);
            }
            return 0;
        }
        r = event_line_append(out, one->call, &event);
        if (r < 0) {
            return error_set_errno(err, r, "event %llu of call '%s'", (unsigned long long)event.seq,
                                   one->call);
        }
    } while (out->len < until);
    set_ready(one, true);
    return 0;
}

int subscriptions_pull(Subscriptions *s, Buffer *out, size_t enough, Error *err)
{
    int r = 0;

    while (r == 0 && out->len < enough && subscriptions_has_ready(s)) {
        r = pull_turn(TAILQ_FIRST(&s->ready), out, enough, err);
    }
    return r;
}
