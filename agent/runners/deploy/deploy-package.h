/* SPDX-License-Identifier: MIT */
/* Where the package of a deploy comes from: the artifact of a call on this host, an input that the
 * controller sent, or, where the call names neither, what the run's own `package` made. */
#pragma once

#include "agent/runners/spec.h"
#include "protocol/base/error.h"

/* There is no such package (yet), or its bytes are not those that were stated: nothing to deploy.
 * `err` says what would mend it. */
#define DEPLOY_PACKAGE_MISSING 1

/* Opens the archive and checks its SHA-256 against what was stated of it. The descriptor, at the
 * beginning, is the caller's. */
int deploy_package_open(const Spec *spec, int *ret_fd, Error *err) _must_check_;

/* The same for one input that was sent whole, whatever it holds. */
int deploy_package_open_input(const Spec *spec, const char *input, int *ret_fd,
                              Error *err) _must_check_;
