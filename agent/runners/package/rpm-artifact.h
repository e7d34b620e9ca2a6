/* SPDX-License-Identifier: MIT */
/* The rpm of an action `package`: made where slipway.json asks for it, an artifact and an output of
 * the call. */
#pragma once

#include "agent/package/package.h"
#include "agent/runners/action.h"

/* Does nothing where slipway.json has no `package.rpm`. `artifacts_fd` is artifacts/ of the call.
 */
int rpm_artifact_make(Action *action, const PackageRequest *request, int artifacts_fd,
                      Error *err) _must_check_;
