/* SPDX-License-Identifier: MIT */
/* One call, and what the calls of a state directory share. Known inside this room only.
 *
 *     queued ──► running ──► finished        every change goes through call_set_state
 *        └──────────────────────▲
 *
 * A finished call is a name in an array: what it was is read from its directory when somebody asks.
 * Only a call that waits or runs has a LiveCall. It owns libuv handles, so after the end it lives
 * on, without its call, until the loop has closed them: on_handle_closed in call.c is where it is
 * freed.
 *
 * An own and an adopted call are watched in the same way: by a connection to the shim's control
 * socket. Whatever is heard there only says "look at the files". */
#pragma once

#include "agent/calls/calls.h"
#include "agent/calls/confinement.h"
#include "agent/calls/containment.h"
#include "agent/calls/result.h"
#include "agent/calls/spawn.h"
#include "agent/calls/store/call-dir.h"
#include "agent/calls/store/index.h"
#include "agent/calls/store/journal.h"
#include "agent/calls/vitals/engine-check.h"
#include "agent/calls/vitals/tally.h"

#include <sys/queue.h>

typedef struct LiveCall {
    Call *call; /* NULL once it is finished */
    Calls *calls;
    TAILQ_ENTRY(LiveCall) entry; /* of calls->queue or calls->running */
    char *action;
    char *run; /* or NULL */
    int64_t created_us;
    size_t position; /* in the queue, from 1; good until the queue changes */
    int fd;          /* the call directory; -1 while queued */
    int lock_fd;     /* while the agent settles a lost call */
    int control_fd;
    uv_poll_t control;
    uv_timer_t timer; /* to look again */
    unsigned n_open;  /* handles that the loop has */
    bool has_timer;
    bool is_ended;     /* no shim any more; its files are being settled */
    bool wants_to_end; /* asked for before there was a connection */
    int sweeps;
    int leftovers;
    Journal journal;
    Result result;
} LiveCall;

struct Call {
    Calls *calls;
    LiveCall *live; /* NULL once it is finished */
    LIST_HEAD(, CallFollower) followers;
    CallState state;
    char id[];
};

struct CallFollower {
    Call *call;
    LIST_ENTRY(CallFollower) entry;          /* of call->followers */
    TAILQ_ENTRY(CallFollower) pending_entry; /* of calls->pending */
    void (*ready)(CallFollower *follower, void *userdata);
    void *userdata;
    Journal journal;
    uint64_t after;
    int fd;     /* the call directory */
    int log_fd; /* -1 until there is a log */
    char *data; /* CALL_LOG_CHUNK_MAX bytes while there is something to give */
    Json *details;
    bool is_pending; /* ready is to be called on this turn of the loop */
    bool is_waiting; /* was told "nothing yet" */
    bool is_done;
};

struct Calls {
    uv_loop_t *loop;
    const AgentConfig *config;
    int state_fd, lock_fd;
    int calls_fd, inputs_fd, trash_fd;
    Index index;
    Call **all; /* oldest first, which is the order of the ids */
    size_t n_all, n_allocated;
    TAILQ_HEAD(LiveCallList, LiveCall) queue, running;
    size_t n_queued, n_running, n_lost;
    TAILQ_HEAD(, CallFollower) pending;
    Tally tally; /* of what ended since the start */
    EngineCheck engines;
    SpawnList processes;
    Containment containment;
    Confinement confinement;
    int64_t last_id_ms; /* ids never go back, whatever the clock does */
    uv_idle_t turn;     /* what is not to be done inside a caller's function */
    uv_timer_t cleanup;
    uv_timer_t retry; /* after the disk failed a queued call */
    unsigned n_open;  /* handles that the loop has */
    bool wants_schedule;
    bool is_closing;
    char *problem; /* what the disk said last; NULL: all is well */
    void (*closed)(void *userdata);
    void *userdata;
};

/* A call that is queued, without its live part. NULL: out of memory. */
Call *call_new(Calls *calls, const char *id);
Call *call_free(Call *call);

/* Checks the transition, says it at debug. */
void call_set_state(Call *call, CallState state);

/* Gives a queued call what it needs to wait or run. */
int call_make_live(Call *call, const CallSpec *spec) _must_check_;

/* queued → running: makes workspace, lock and socket, starts the shim. A shim that cannot be
 * started finishes the call as failed. A disk that fails leaves it queued: the error is returned.
 */
int call_run(Call *call, Error *err) _must_check_;

/* A call that has a shim, or had one: watches it, or settles it. */
int call_adopt(Call *call, Error *err) _must_check_;

/* queued → finished, by the agent's own hand. */
int call_end_queued(Call *call, const char *status, const char *reason, Error *err) _must_check_;

/* Asks the shim of a running call to end it. */
int call_ask_to_end(Call *call, Error *err) _must_check_;

/* Closes the handles and frees the live part; the call goes on by itself. */
void call_let_go(Call *call);

/* Its followers are called on this turn of the loop. */
void call_wake_followers(Call *call);

/* Follower: called for each one that was woken. */
void follower_wake(CallFollower *follower);

/* What slipway-host-key makes, from the state directory (agent/release/host-key.h). */
#define CALLS_PUBLIC_KEY "keys/agent.pub"

/* ---- calls.c, for call.c and cleanup.c ---- */

/* Something is to be done on this turn of the loop, outside of the caller's function. */
void calls_request_turn(Calls *calls);
void calls_handle_closed(Calls *calls);

/* Old calls are looked at a moment later. */
void calls_request_cleanup(Calls *calls);

/* Remembers (NULL: forgets) what the storage said, for `health`. */
void calls_set_problem(Calls *calls, const Error *problem);

/* Takes a finished call out of the list and frees it. */
void calls_forget(Calls *calls, Call *call);

/* Starts what may start, in the order in which it came. */
void calls_schedule(Calls *calls);

/* Room for one call more. -ENOMEM. */
int calls_reserve(Calls *calls) _must_check_;

/* 20261124t120000123-k3f9: the moment in milliseconds, and four letters by chance. */
#define CALL_ID_SIZE sizeof("20261124t120000123-k3f9")

/* When the id was made, in microseconds; 0: it is no id. */
int64_t calls_id_time(const char *id);
