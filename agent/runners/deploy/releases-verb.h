/* SPDX-License-Identifier: MIT */
/* releases-E: what rollback-E can go back to, from the memory of this host. Changes nothing and
 * takes no lock of the environment; an engine that does not answer is no reason to fail, since then
 * somebody wants to know all the more. */
#pragma once

#include "agent/runners/report.h"
#include "agent/runners/spec.h"

/* The runner's exit status. */
int releases_verb_run(const Spec *spec, Report *report) _must_check_;
