/* SPDX-License-Identifier: MIT */
/* An apt repository of one application, added to one package at a time: what is there is not read
 * again but for the index, whose stanzas keep their bytes.
 *
 *     pool/main/g/greeter/greeter_1.2.3_amd64.deb
 *     dists/stable/InRelease, Release
 *     dists/stable/main/binary-amd64/Packages{,.gz}, by-hash/SHA256/…
 *     archive-key.asc, .slipway-retired
 *
 * InRelease is the truth, of readers and of whoever adds: it is written last, and only what it
 * names is built upon. So a publication that is killed anywhere leaves the repository as it was,
 * and is simply done again. Nothing is signed that our own key has not signed before or that was
 * not packaged just now. */
#pragma once

#include "agent/package/repository/gpg.h"
#include "agent/package/repository/publish-target.h"

#include <stddef.h>
#include <stdint.h>

typedef struct AptRepository {
    PublishTarget *target; /* borrowed */
    GpgKey key;
    const char *suite, *component;
    const char *origin, *label; /* NULL: left out */
    int valid_days;             /* 0: an index does not run out */
    size_t keep;                /* newest versions of a package; 0: all */
} AptRepository;

/* A package as it is added. */
typedef struct AptPackage {
    const char *name, *version, *architecture;
    const char *control; /* its fields */
    const char *file_name;
    int fd; /* borrowed */
    int64_t size_bytes;
    const char *sha256;
} AptPackage;

typedef enum AptOutcome {
    APT_PUBLISHED,
    APT_UNCHANGED, /* these very bytes are there already */
} AptOutcome;

/* Adds a package; `now_us` is the wall clock. The caller holds the target's lock. -EEXIST: that
 * version is there with other bytes, and a version is published once. -EKEYREJECTED: what is there
 * is not signed by our keyring. -EBADMSG: it is not what its InRelease says. */
int apt_repository_add(const AptRepository *repository, const AptPackage *package, int64_t now_us,
                       AptOutcome *ret, Error *err) _must_check_;
