/* SPDX-License-Identifier: MIT */
/* deploy-E and rollback-E. Both return the runner's exit status. */
#pragma once

#include "agent/runners/report.h"
#include "agent/runners/spec.h"

int deploy_verb_run(const Spec *spec, Report *report) _must_check_;
int rollback_verb_run(const Spec *spec, Report *report) _must_check_;
