/* SPDX-License-Identifier: MIT */
/* The Debian package of an action `package`: made where slipway.json asks for it, an artifact and
 * an output of the call, and added to the repository of agent.json, where there is one. */
#pragma once

#include "agent/package/deb/deb.h"
#include "agent/package/package.h"
#include "agent/runners/action.h"

/* Does nothing where slipway.json has no `package.deb`; then *ret stays as it is, empty.
 * `artifacts_fd` is artifacts/ of the call. */
int deb_artifact_make(Action *action, const PackageRequest *request, int artifacts_fd,
                      DebPackage *ret, Error *err) _must_check_;

/* To be called when everything is made that a release has. Does nothing with an empty package. */
int deb_artifact_publish(Action *action, const DebPackage *package, int artifacts_fd,
                         Error *err) _must_check_;
