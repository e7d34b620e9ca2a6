/* SPDX-License-Identifier: MIT */
/* changes-E: what runs now, as the engine says, against a commit. Changes nothing and takes no lock
 * of the environment, so it may be called while a deploy runs. */
#pragma once

#include "agent/runners/deploy/running.h"
#include "agent/runners/report.h"
#include "agent/runners/spec.h"

/* The runner's exit status. */
int changes_verb_run(const Spec *spec, Report *report) _must_check_;

/* The whole change from what runs to a commit of `repository`, as the outputs of changes-E have it,
 * an object of the caller's. What is in the mirror of this host is not fetched. */
int changes_compute(const Spec *spec, const char *repository, const char *commit, const char *ref,
                    const Running *running, Json **ret, Error *err) _must_check_;
