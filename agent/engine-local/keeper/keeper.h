/* SPDX-License-Identifier: MIT */
/* One instance of a service: its whole process tree, its output, its end. libc only.
 *
 * The engine starts a keeper for each instance and may then be killed, upgraded or restarted: the
 * keeper goes on, and the next engine connects to its control socket. It is the child subreaper, so
 * a service that forks twice stays below it, and it is gone only when nothing of the instance is
 * left.
 *
 *     keeper → engine: pid 4711          to whoever connects
 *     engine → keeper: stop 5000         SIGTERM to all, SIGKILL after so many milliseconds
 *     keeper → engine: hang-up           gone; the file `status` says how
 */
#pragma once

#include "protocol/base/error.h"

#include <stdint.h>
#include <sys/types.h>

/* Descriptors that the engine hands over. */
enum {
    KEEPER_FD_INSTANCE = 3, /* the instance's directory */
    KEEPER_FD_CONTROL = 4,  /* a listening unix socket */
    KEEPER_FD_LOGS = 5,     /* the directory of the app's logs */
};

/* Files in the instance's directory. */
#define KEEPER_FILE_ENVIRONMENT                                      \
    "environment" /* of the service: NAME=value, each ended by a NUL \
                   */
#define KEEPER_FILE_STATUS "status"

typedef struct KeeperOptions {
    const char *log_name;
    int64_t log_bytes;
    int64_t files_max; /* RLIMIT_NOFILE of the service; the engine's own is higher */
    const char *directory;
    char *const *command;
} KeeperOptions;

/* How an instance ended, as its status file says. */
typedef enum KeeperEnd {
    KEEPER_EXITED, /* value: the exit status */
    KEEPER_KILLED, /* value: the signal */
    KEEPER_FAILED, /* never started: text */
    KEEPER_LOST,   /* the keeper itself was ended: no status file */
    _KEEPER_END_MAX,
} KeeperEnd;

typedef struct KeeperStatus {
    KeeperEnd end;
    int value;
    char *text;
} KeeperStatus;

void keeper_status_done(KeeperStatus *status);

/* Reads the status file of an instance; KEEPER_LOST where there is none that can be read. */
void keeper_status_read(int instance_fd, KeeperStatus *ret);

/* Starts the service and returns when it and all below it are gone and the status is written. */
int keeper_run(const KeeperOptions *options, Error *err) _must_check_;
