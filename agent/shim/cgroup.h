/* SPDX-License-Identifier: MIT */
/* A cgroup v2 of the call's own: it ends a whole tree at once, also processes that the shim may not
 * signal, and it knows whether anything is left. A luxury: the shim works without. */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct Cgroup {
    char *path; /* NULL: there is none */
    int dir_fd;
} Cgroup;

#define CGROUP_INIT ((Cgroup){.dir_fd = -1})

/* Makes the directory, which must be in a cgroup v2 hierarchy. On failure nothing is left. */
int cgroup_open(Cgroup *cgroup, const char *path, Error *err) _must_check_;

static inline bool cgroup_is_open(const Cgroup *cgroup)
{
    return cgroup->path != NULL;
}

/* fork(2) with the child in it, and with it all that it will start; without one, fork(2). Where it
 * cannot be used it is removed, said so, and the child lives without. -errno. */
pid_t cgroup_fork(Cgroup *cgroup) _must_check_;

/* SIGKILL for everything in it and below. -ENOENT before Linux 5.14. */
int cgroup_kill(const Cgroup *cgroup) _must_check_;

/* Whether a process lives in it or below. True if it cannot be known. */
bool cgroup_is_populated(const Cgroup *cgroup);

/* Removes it and the groups that were made in it, if nothing lives there. */
void cgroup_remove(Cgroup *cgroup);

/* Forgets it and leaves it where it is. */
void cgroup_done(Cgroup *cgroup);
