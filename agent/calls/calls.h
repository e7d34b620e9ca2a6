/* SPDX-License-Identifier: MIT */
/* The calls of one state directory: start, adopt, follow, cancel, list, clean up.
 *
 * The files are the truth (README.md); this room reads them, starts shims and watches their control
 * sockets. It knows neither JSON-RPC nor what an action does. All functions belong to the loop's
 * thread and return at once; none waits for a process. */
#pragma once

#include "agent/calls/agent-config.h"
#include "agent/calls/vitals/engine-check.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <uv.h>

/* `maxQueuedCalls` and `maxInputBytes` of the protocol. */
#define CALLS_QUEUE_MAX 10000
#define CALLS_INPUT_MAX ((int64_t)8 << 30)

typedef struct Calls Calls;
typedef struct Call Call;
typedef struct CallFollower CallFollower;

typedef enum CallState {
    CALL_QUEUED,
    CALL_RUNNING,
    CALL_FINISHED,
    _CALL_STATE_MAX,
} CallState;

/* Takes the state directory (config->state_directory, made if missing) and its lock, reads every
 * call in it, adopts those that run, settles those that were lost, queues the rest. `config` is
 * borrowed for the life of the object. -EWOULDBLOCK: another agent holds the directory. */
int calls_open(uv_loop_t *loop, const AgentConfig *config, Calls **ret, Error *err) _must_check_;

/* Lets go of everything; running calls go on without an agent. Memory is freed after the loop has
 * closed the handles, then `closed` is called. */
void calls_close(Calls *calls, void (*closed)(void *userdata), void *userdata);

/* Has the host's key made where there is none, by a program of its own; returns at once. */
int calls_make_host_key(Calls *calls, Error *err) _must_check_;

/* What a controller asks for; all borrowed. Times <= 0 mean the configured limit, which they may
 * not exceed (they are cut down to it). */
typedef struct CallRequest {
    const char *action;
    const char *idempotency_key;
    const char *run; /* NULL: a workspace of its own */
    const Json *parameters;
    const Json *origin;
    const Json *approval;
    const char *traceparent;
    int64_t timeout_ms;
    int64_t silence_timeout_ms;
    int64_t grace_ms;
    bool is_terminal;
} CallRequest;

/* Makes the call durable (spec.json on disk), then queues or starts it. The same idempotency key
 * gives the call that there is, with *ret_is_existing. -ENOENT: no such action. -EINVAL: parameters
 * against the action's schema, one mistake a line. -EEXIST: the key is known with another request.
 * -EBUSY: the queue is full. -ENOSPC, -EIO, …: storage. `Call` is borrowed from `calls`. */
int calls_start(Calls *calls, const CallRequest *request, Call **ret, bool *ret_is_existing,
                Error *err) _must_check_;

/* NULL if there is none. The pointer is good until control returns to the loop. */
Call *calls_find(Calls *calls, const char *id);

/* A queued call is finished (cancelled) at once; a running one is asked to end; a finished one
 * stays as it is. */
int calls_cancel(Calls *calls, Call *call, Error *err) _must_check_;

/* Newest first, as the members of `calls/list` in protocol/README.md. `states` is a bit mask of
 * 1 << CallState (0: all); `run` may be NULL. The array is the caller's. */
int calls_list(Calls *calls, unsigned states, const char *run, size_t limit, Json **ret,
               Error *err) _must_check_;

/* The `health` members isWorking, slots, queue, calls, disk, clock, environments, containment,
 * confinement, publicKey and the problems that this room knows. */
int calls_health(Calls *calls, Json **ret, Error *err) _must_check_;

/* Has it looked at who of the environments' engines answers, unless that was done a moment ago. 1:
 * `waiter` is told from the loop, once; until then it may be taken back by engine_waiter_cancel().
 * 0: what calls_health() says is new enough, or all that there is to know. */
int calls_check_engines(Calls *calls, EngineWaiter *waiter) _must_check_;

const char *call_id(const Call *call);
CallState call_state(const Call *call);
const char *call_state_name(CallState state); /* "queued", "running", "finished" */

/* Sets `state` and, while queued, `position` and `waitsFor`. */
int call_describe_state(Calls *calls, Call *call, Json *object) _must_check_;

/* The result as protocol/README.md has it; -EBUSY while the call is not finished. The caller's. */
int call_read_result(Call *call, Json **ret, Error *err) _must_check_;

/* `artifacts` as in `artifacts/list`, of a call in any state. The caller's. */
int call_list_artifacts(Call *call, Json **ret, Error *err) _must_check_;

/* Opens an artifact that the call has announced. -ENOENT. The descriptor is the caller's. */
int call_open_artifact(Call *call, const char *name, int *ret_fd, int64_t *ret_size,
                       Error *err) _must_check_;

typedef enum CallEventType {
    CALL_EVENT_STARTED,
    CALL_EVENT_LOG,
    CALL_EVENT_PROGRESS,
    CALL_EVENT_OUTPUT,
    CALL_EVENT_ARTIFACT,
    CALL_EVENT_FINISHED,
    _CALL_EVENT_TYPE_MAX,
} CallEventType;

/* One event, borrowed from the follower until its next function is called. */
typedef struct CallEvent {
    CallEventType type;
    uint64_t seq;
    int64_t time_us;
    const char *stream; /* log: "stdout" or "stderr" */
    int64_t offset;     /* log */
    const char *data; /* log: the bytes, at most CALL_LOG_CHUNK_MAX; fewer where a disk lost some */
    size_t len;
    const Json *details; /* all but log: the members of the event besides call, seq and time */
} CallEvent;

#define CALL_LOG_CHUNK_MAX ((size_t)64 << 10)

/* Follows the events with seq > `after`. `ready` is called from the loop when there may be more to
 * read after call_follower_next answered 0; never from inside these functions. It is called, too,
 * once call_state() has become CALL_FINISHED, even where no event is left to give: a follower with
 * `after` = UINT64_MAX waits for the end and reads nothing. `follower` may be freed in `ready`. */
int call_follow(Call *call, uint64_t after, void (*ready)(CallFollower *follower, void *userdata),
                void *userdata, CallFollower **ret, Error *err) _must_check_;

/* 1 and an event, 0 if there is none yet (or none any more: call_follower_is_done). */
int call_follower_next(CallFollower *follower, CallEvent *ret, Error *err) _must_check_;

/* The finished event was given. */
bool call_follower_is_done(const CallFollower *follower);
CallFollower *call_follower_free(CallFollower *follower);

/* Appends to an input (`inputs/write` in protocol/README.md). `sha256` is NULL unless `is_last`; it
 * is kept beside the input, and whoever uses the input checks it (README.md, "Inputs"). *ret_size
 * is the size so far. -EINVAL: the name or the digest is none; -EILSEQ: the offset does not fit, or
 * the input is complete and another; -EFBIG: beyond maxInputBytes; storage errors. */
int calls_write_input(Calls *calls, const char *input, int64_t offset, const void *data, size_t n,
                      bool is_last, const char *sha256, int64_t *ret_size, Error *err) _must_check_;

/* The host's audit log, which its runners write: up to `n` bytes from `offset`. *ret_n is how many
 * there were, *ret_size how many the log has by now (0: there is none), *ret_head what is kept
 * beside it about its end (`seq`, `sha256`; NULL: nothing; the caller's). -EILSEQ: the offset is
 * beyond its end. */
int calls_read_audit(Calls *calls, int64_t offset, void *data, size_t n, size_t *ret_n,
                     int64_t *ret_size, Json **ret_head, Error *err) _must_check_;
