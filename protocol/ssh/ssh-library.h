/* SPDX-License-Identifier: MIT */
/* Inside of a session by libssh2, for the two files that see libssh2. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/ssh/ssh-backend.h"

#include <stdint.h>

/* libssh2 never sees a send that is cut short: what it sends goes into `out`, from where we send
 * it. It could go on with a cut packet only by the very call that began it, which nobody can
 * promise who has several channels and a keep-alive. */
typedef struct SshLibrary {
    SshSession base;
    struct _LIBSSH2_SESSION *raw;
    Buffer out;
    size_t sent; /* of out */
    int fd;
    int broken;          /* negative errno, once the connection has ended */
    int64_t deadline_ms; /* of what blocks now */
    int64_t last_heard_ms;
    int64_t alive_interval_ms;
    int64_t alive_count;
    int64_t n_asked; /* without an answer */
    bool is_initialized;
    bool has_greeted; /* the library knows its socket */
} SshLibrary;

/* Sends what waits and waits for more from the host: after LIBSSH2_ERROR_EAGAIN, before the same
 * call again. SSH_TIMED_OUT once the deadline has passed. */
int ssh_library_await(SshLibrary *library, Error *err) _must_check_;

/* What libssh2 says of its failure `rc`, as an error of ours. Returns its code. */
int ssh_library_fail(SshLibrary *library, int rc, const char *what, Error *err);

/* ssh-auth.c: logs in. 0; 1: there may be a way, but not for libssh2, as *ret_obstacle (the
 * caller's) says; SSH_NO_KEY_ACCEPTED. */
int ssh_auth(SshLibrary *library, const SshConfig *config, char **ret_obstacle,
             Error *err) _must_check_;
