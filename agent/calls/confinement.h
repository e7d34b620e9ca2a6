/* SPDX-License-Identifier: MIT */
/* Whether the steps of a repository are kept out of the state directory; a runner does it
 * (agent/source/confine.h), here it is decided, once.
 *
 * Nothing new can be made directly in a directory on the way to the state directory by those that
 * are kept out of it. In / or /var/lib nobody minds. In the user's home, where builds keep their
 * caches, or in /tmp it would break them: then they are not kept out, and `health` says why. */
#pragma once

#include "agent/calls/agent-config.h"

typedef struct Confinement {
    char *note; /* "landlock", or "none: " and why */
    bool is_on;
} Confinement;

/* The state directory is there. -ENOMEM. */
int confinement_init(Confinement *confinement, const AgentConfig *config) _must_check_;
void confinement_done(Confinement *confinement);
