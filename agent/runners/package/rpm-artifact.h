/* SPDX-License-Identifier: MIT */
/* The rpm of an action `package`: made where slipway.json asks for it, an artifact and an output of
 * the call, and added to the repository of agent.json, where there is one. */
#pragma once

#include "agent/package/package.h"
#include "agent/package/rpm/rpm-build.h"
#include "agent/runners/action.h"

/* Does nothing where slipway.json has no `package.rpm`; then *ret stays as it is, empty.
 * `artifacts_fd` is artifacts/ of the call. */
int rpm_artifact_make(Action *action, const PackageRequest *request, int artifacts_fd,
                      RpmBuilt *ret, Error *err) _must_check_;

/* To be called when everything is made that a release has. Does nothing with an empty package. */
int rpm_artifact_publish(Action *action, const RpmBuilt *built, Error *err) _must_check_;
