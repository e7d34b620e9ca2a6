/* SPDX-License-Identifier: MIT */
/* The directory of one call (README.md): what is in it, and what that means. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>

/* What the files of a call say about it, first thing after a restart. */
typedef enum CallDirState {
    CALL_DIR_QUEUED,   /* no process of it ever ran */
    CALL_DIR_RUNNING,  /* a shim holds the lock */
    CALL_DIR_LOST,     /* its shim died before the end */
    CALL_DIR_FINISHED, /* status.json is there */
} CallDirState;

/* spec.json; the strings are borrowed from `root`, what was not given is NULL. */
typedef struct CallSpec {
    Json *root;
    const char *action;
    const char *run;
    const char *key;
    const char *workspace;
    const char *traceparent;
    int64_t created_us;
    int64_t timeout_ms;
    int64_t silence_timeout_ms;
    int64_t grace_ms;
    bool is_terminal;
} CallSpec;

void call_spec_done(CallSpec *spec);
#define _cleanup_call_spec_ _cleanup_(call_spec_done)

/* Makes the directory with artifacts/ and spec.json, and returns when both would survive a power
 * cut. Leaves nothing behind on failure. */
int call_dir_create(int calls_fd, const char *id, const Json *spec, Error *err) _must_check_;

/* The descriptor is the caller's. */
int call_dir_open(int calls_fd, const char *id, int *ret_fd, Error *err) _must_check_;

/* *ret_lock_fd (may be NULL) gets the lock when the call is queued or lost, -1 otherwise. */
int call_dir_examine(int fd, CallDirState *ret, int *ret_lock_fd, Error *err) _must_check_;

/* Takes the lock, which is held as long as the descriptor or a copy of it is open. -EWOULDBLOCK: a
 * shim holds it. */
int call_dir_lock(int fd, int *ret_lock_fd, Error *err) _must_check_;

/* The listening end of control.sock, for the shim. */
int call_dir_listen(int fd, int *ret_socket, Error *err) _must_check_;

/* The agent's end, non-blocking. -ECONNREFUSED, -ENOENT: nobody listens. */
int call_dir_connect(int fd, int *ret_socket, Error *err) _must_check_;

int call_dir_read_json(int fd, const char *name, Json **ret, Error *err) _must_check_;

/* -EBADMSG: it is torn, or was never whole. */
int call_dir_read_spec(int fd, CallSpec *ret, Error *err) _must_check_;

/* Size of output.log, 0 where there is none. */
int64_t call_dir_log_size(int fd);

/* Removes what a finished call has no use for. */
void call_dir_tidy(int fd);

/* Sets a duration as a number of seconds, whole where it is. */
int call_dir_set_seconds(Json *object, const char *name, int64_t duration_us) _must_check_;
