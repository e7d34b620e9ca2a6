/* SPDX-License-Identifier: MIT */
/* The life of one call: starts the runner, takes what it writes, ends it when it has to end, and
 * comes back when nothing of it is left. */
#pragma once

#include "agent/shim/cgroup.h"
#include "agent/shim/control.h"
#include "agent/shim/journal.h"
#include "agent/shim/mask.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct SuperviseRequest {
    char *const *argv;          /* [0] is a path */
    int64_t timeout_ms;         /* 0: none */
    int64_t silence_timeout_ms; /* 0: none */
    int64_t grace_ms;           /* from SIGTERM to SIGKILL */
    bool is_terminal;
    const Mask *mask;
    Cgroup *cgroup;   /* may be one that is not open */
    Control *control; /* whoever is connected */
    Journal *journal; /* open */
} SuperviseRequest;

/* How it ended, ready for the journal; its reason lives as long as *ret_reason, which is the
 * caller's. An error only where nobody can tell how it ended. */
int supervise_run(const SuperviseRequest *request, JournalEnd *ret_end, char **ret_reason,
                  Error *err) _must_check_;
