/* SPDX-License-Identifier: MIT */
/* One change of an environment at a time, on this host: an flock on a file beside its releases. The
 * kernel lets go of it with its owner, so there is no stuck lock to break; the file's content only
 * says who that is. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

typedef struct EnvironmentLock {
    int fd; /* -1: not held */
} EnvironmentLock;

#define ENVIRONMENT_LOCK_INIT ((EnvironmentLock){.fd = -1})

#define ENVIRONMENT_LOCK_HELD 1

/* Takes the lock in `dir_fd` and writes `holder` (members `call`, `action`, `since`, `pid`;
 * borrowed) into it. Never waits: ENVIRONMENT_LOCK_HELD says that somebody else has it, and `err`
 * says who. */
int environment_lock_take(int dir_fd, const Json *holder, EnvironmentLock *ret,
                          Error *err) _must_check_;

void environment_lock_release(EnvironmentLock *lock);
#define _cleanup_environment_lock_ _cleanup_(environment_lock_release)
