/* SPDX-License-Identifier: MIT */
/* changes-E: what runs now, as the engine says, against a commit. Changes nothing and takes no lock
 * of the environment, so it may be called while a deploy runs. */
#pragma once

#include "agent/runners/report.h"
#include "agent/runners/spec.h"

/* The runner's exit status. */
int changes_verb_run(const Spec *spec, Report *report) _must_check_;
