/* SPDX-License-Identifier: MIT */
/* Who of the environments' engines answers, as far as it was found out lately.
 *
 * Asking a network takes time that the loop does not have, so slipway-reach asks (agent/reach).
 * What it found is kept for a few seconds: whoever asks for `health` meanwhile is told that. Nobody
 * asks, nothing runs. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <sys/queue.h>

/* How long what was found is good, and how long an engine may take to answer. */
#define ENGINE_CHECK_FRESH_MS 5000
#define ENGINE_CHECK_TIMEOUT_MS 1000

/* Who waits for a check; told once, then it is in no list. The owner's. */
typedef struct EngineWaiter {
    LIST_ENTRY(EngineWaiter) entry;
    void (*done)(struct EngineWaiter *waiter, void *userdata);
    void *userdata;
    bool is_waiting;
} EngineWaiter;

typedef struct EngineCheck {
    const Json *environments; /* of agent.json; borrowed, may be NULL */
    Json *found;              /* what slipway-reach said; NULL: nothing yet */
    int64_t found_ms;
    int out_fd; /* where it says it; -1 while none runs */
    LIST_HEAD(, EngineWaiter) waiters;
    char *problem; /* why there is nothing; NULL: there is */
} EngineCheck;

void engine_check_init(EngineCheck *check, const Json *environments);

/* The waiters are let go of without a word. */
void engine_check_done(EngineCheck *check);

/* Is there something to find out? Not where no environment has an address. */
bool engine_check_is_due(const EngineCheck *check, int64_t now_ms);
bool engine_check_is_running(const EngineCheck *check);

/* The words after the program's name; NULL-terminated, the caller's, all in one allocation for
 * free(). *ret_fd is where it is to write; the check's. */
int engine_check_begin(EngineCheck *check, char ***ret_arguments, int *ret_fd,
                       Error *err) _must_check_;

/* The program has ended (or could not be started, with `problem`): takes what it said and tells the
 * waiters. */
void engine_check_end(EngineCheck *check, int64_t now_ms, const char *problem);

void engine_check_wait(EngineCheck *check, EngineWaiter *waiter);
void engine_waiter_cancel(EngineWaiter *waiter);

/* `environments` of `health`, and a sentence in `problems` for each that does not answer. -ENOMEM.
 */
int engine_check_describe(const EngineCheck *check, int64_t now_ms, Json *health,
                          Json *problems) _must_check_;
