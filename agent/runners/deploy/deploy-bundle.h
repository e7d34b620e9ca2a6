/* SPDX-License-Identifier: MIT */
/* The statements that a deploy is decided on: what the controller sent, and what the calls of the
 * same run (and the one that made the package) stated on this host. */
#pragma once

#include "agent/runners/spec.h"
#include "protocol/evidence/trust.h"

/* What was sent is no bundle, or not there; `err` says which line and why. */
#define DEPLOY_BUNDLE_BAD 1

int deploy_bundle_read(const Spec *spec, const Trust *trust, Bundle *ret, Error *err) _must_check_;
