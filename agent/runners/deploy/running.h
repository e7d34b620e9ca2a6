/* SPDX-License-Identifier: MIT */
/* What runs in the environment of a call: what this host remembers, and what the engine says. */
#pragma once

#include "agent/deploy/releases.h"
#include "agent/runners/report.h"
#include "agent/runners/spec.h"

#include <stdbool.h>

typedef struct Running {
    Releases releases;
    EngineCurrent current;      /* empty where nothing runs, or the engine was not asked */
    const KeptRelease *release; /* its record here; NULL: this host did not deploy it */
    bool is_running;
} Running;

#define RUNNING_INIT ((Running){.releases = RELEASES_INIT})

void running_done(Running *running);
#define _cleanup_running_ _cleanup_(running_done)

/* What this host deployed last with success, from its records alone. */
int running_remember(const Spec *spec, Running *ret, Error *err) _must_check_;

/* What the engine says runs under the name by which this host knows the environment. Without a
 * report it is asked once; otherwise patiently, where it is away for a moment. */
int running_ask(const Spec *spec, Report *report, Running *ret, Error *err) _must_check_;

/* Of what runs; NULL: nothing runs, or it does not say. Borrowed. */
const char *running_commit(const Running *running);
const char *running_digest(const Running *running);
const char *running_version(const Running *running);
