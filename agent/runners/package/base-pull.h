/* SPDX-License-Identifier: MIT */
/* The base images that this host has seen: CACHE/bases/HEX/PLATFORM is the layout of the one with
 * that digest. What is there needs no registry; what was not used for a while goes. */
#pragma once

#include "agent/package/package.h"
#include "agent/runners/action.h"

/* What stays: as much, and nothing that nobody used for so many days. */
#define BASE_PULL_BYTES_MAX ((int64_t)10 << 30)
#define BASE_PULL_DAYS 30

/* Brings what `reference` names, for each of `platforms` (as in slipway.json; NULL: for this host),
 * and fills `base`: its fd, layouts and `ret_digest`, what the reference named. */
int base_pull(Action *action, const char *reference, const Json *platforms, PackageBase *base,
              char ret_digest[static OCI_DIGEST_SIZE], Error *err) _must_check_;
