/* SPDX-License-Identifier: MIT */
/* An rpm of a commit, written without rpmbuild: what `package.rpm` of slipway.json says
 * (agent/runners/README.md, "rpm"). Readers are rpm 4.14 and newer (RHEL 8, SUSE 15). */
#pragma once

#include "agent/package/package.h"
#include "agent/package/repository/gpg.h"
#include "protocol/artifact/digest.h"

#include <stdbool.h>

typedef struct RpmBuilt {
    char *file;                                    /* its name: NAME-VERSION-RELEASE.ARCH.rpm */
    char *name, *epoch, *version, *release, *arch; /* epoch is "0" where there is none */
    char sha256[DIGEST_HEX_SIZE];
    int64_t size_bytes;
} RpmBuilt;

void rpm_built_done(RpmBuilt *built);
#define _cleanup_rpm_built_ _cleanup_(rpm_built_done)

/* Whether slipway.json has a `package.rpm`. */
bool rpm_is_wanted(const Json *recipe);

/* Writes the package into the directory `dir_fd`, synced; not with its name before all of it is
 * there. `key` (may be NULL) signs it. The same commit gives the same bytes, but for the signature,
 * which has a time of its own. Every mistake is named by its JSON pointer. */
int rpm_build(const PackageRequest *request, const GpgKey *key, int dir_fd, RpmBuilt *ret,
              Error *err) _must_check_;
