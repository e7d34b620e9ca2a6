/* SPDX-License-Identifier: MIT */
/* Keeps what runs a repository's commands out of the agent's state directory: its key, its audit
 * log, other calls and other runs, whatever the file modes say (Landlock, landlock(7)). Everything
 * else stays as it is for the user.
 *
 * Landlock only knows "allowed from here on down", so what is allowed is everything beside the way
 * that leads to the state directory, and in there what is named. Three things follow:
 *
 * - What is made later directly in a directory on the way (in /, /var, /var/lib) is out of reach,
 *   and cannot be made by the command itself. Whether that matters was decided before
 *   (agent/calls/confinement.h).
 * - Names can be listed everywhere, in the state directory too; contents cannot be read.
 * - The command and what it starts cannot mount, and cannot trace processes outside.
 *
 * What Landlock does not cover: chmod and the like, sockets, and before Linux 6.2 truncate(2). */
#pragma once

#include "protocol/base/error.h"

/* Directories are absolute; the lists end with NULL, and what is not there is left out. */
typedef struct ConfineRequest {
    const char *state;
    const char *const *writable; /* below `state` */
    const char *const *readable; /* below `state` */
} ConfineRequest;

typedef struct Confine {
    int fd; /* a ruleset; any number of children may take it. -1: none */
} Confine;

#define CONFINE_INIT ((Confine){.fd = -1})

/* Looks at the way as it is now. -ENOSYS, -EOPNOTSUPP: the kernel has no Landlock. */
int confine_open(const ConfineRequest *request, Confine *ret, Error *err) _must_check_;
void confine_done(Confine *confine);
#define _cleanup_confine_ _cleanup_(confine_done)

/* For a child between fork and exec: no way back from here. Without CAP_SYS_ADMIN this takes
 * no_new_privs, so that sudo does not work in there. 0 or -errno. */
int confine_enter(const Confine *confine) _must_check_;
