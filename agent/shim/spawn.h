/* SPDX-License-Identifier: MIT */
/* Starts the runner in two steps: the process is there and has a pid, which goes into the journal;
 * then it may become the program. */
#pragma once

#include "agent/shim/cgroup.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* Size of stdout's pipe where the kernel allows it: the runner waits for the disk less often. Not
 * for the others: past a user's limit the kernel makes even the pipes within the steps tiny. */
#define SPAWN_PIPE_SIZE (1 << 20)

typedef struct Spawn {
    pid_t pid;
    int out_fd;     /* to read from; of a terminal: both streams */
    int err_fd;     /* -1 with a terminal */
    int reports_fd; /* what it writes to its descriptor 3 */
    int sync_fd;
} Spawn;

#define SPAWN_INIT ((Spawn){.pid = -1, .out_fd = -1, .err_fd = -1, .reports_fd = -1, .sync_fd = -1})

/* Forks, into `cgroup` where that is open. The child waits for spawn_release, and ends if
 * spawn_done comes first. It will have this process' stdin, environment and directory, and a
 * process group of its own. */
int spawn_prepare(Spawn *spawn, Cgroup *cgroup, bool is_terminal, char *const argv[],
                  Error *err) _must_check_;

/* Lets it execute `argv`; the error says why it could not. `argv[0]` is a path, no shell and no
 * PATH come into it. */
int spawn_release(Spawn *spawn, const char *program, Error *err) _must_check_;

/* Closes what is still owned; the process stays. */
void spawn_done(Spawn *spawn);
