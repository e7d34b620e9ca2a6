/* SPDX-License-Identifier: MIT */
/* What holds the processes of a call together: a cgroup v2 of its own where this agent may make
 * one, otherwise the shim as their subreaper. And, where a shim was killed, how to find what it
 * left: by that cgroup, and by SLIPWAY_CALL in their environment, which every process of a call
 * inherits. */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>

typedef struct Containment {
    char *directory; /* in which calls get their cgroup; NULL: there is none */
} Containment;

/* Looks once at the mounts and the cgroup of this process. -ENOMEM; everything else means "none".
 */
int containment_init(Containment *containment) _must_check_;
void containment_done(Containment *containment);

/* "cgroup" or "subreaper". */
const char *containment_mode(const Containment *containment);

/* *ret: the cgroup that a call is to get (the caller's), or NULL. -ENOMEM. */
int containment_path(const Containment *containment, const char *call, char **ret) _must_check_;

/* Kills what is left of a call without a shim. Returns how many processes were still there: 0 means
 * that there is nothing (any more), and the cgroup is gone. To be asked again until then. */
int containment_sweep(const Containment *containment, const char *call) _must_check_;

/* From the texts of /proc/self/mountinfo and /proc/self/cgroup: where this process's own cgroup v2
 * is. *ret is the caller's, NULL if there is none to be seen. -ENOMEM. */
int containment_locate(const char *mountinfo, const char *cgroups, char **ret) _must_check_;
