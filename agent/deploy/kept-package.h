/* SPDX-License-Identifier: MIT */
/* The package of a kept release: unpacked beside its record, checked down to the last layer, and
 * turned into what a template may name. */
#pragma once

#include "agent/deploy/releases.h"
#include "agent/package/oci-read.h"
#include "agent/package/release.h"
#include "protocol/base/error.h"

typedef struct KeptPackage {
    Release release;
    OciImage image;
    int fd;     /* of its directory */
    char *root; /* absolute path of the unpacked image; NULL where the engine needs none */
} KeptPackage;

#define KEPT_PACKAGE_INIT ((KeptPackage){.image = {.layout_fd = -1}, .fd = -1})

void kept_package_done(KeptPackage *package);
#define _cleanup_kept_package_ _cleanup_(kept_package_done)

/* What is in it is not what it says, or is no package at all: nothing of it will be deployed. */
#define KEPT_PACKAGE_BAD 1

/* Unpacks `archive_fd` (package.tar.zst) as the package of release `number` and checks all of it:
 * release.json, the manifest against the digest that release.json states, config and layers against
 * the manifest. `err` says what is wrong also for KEPT_PACKAGE_BAD. */
int kept_package_unpack(const Releases *releases, unsigned number, int archive_fd, KeptPackage *ret,
                        Error *err) _must_check_;

/* Opens one that was unpacked before. */
int kept_package_open(const Releases *releases, unsigned number, KeptPackage *ret,
                      Error *err) _must_check_;

/* Unpacks the image's files as the release's `root`. */
int kept_package_unpack_root(const Releases *releases, unsigned number, KeptPackage *package,
                             Error *err) _must_check_;

/* The names that a template may use (README.md, "Template"), an object of the caller's. */
int kept_package_names(const KeptPackage *package, const char *environment, const char *call,
                       Json **ret, Error *err) _must_check_;

/* Appends the deploy template: the package's, else `fallback`. *ret_file says where it comes from
 * and is borrowed from the package; NULL: the fallback. */
int kept_package_read_template(const KeptPackage *package, const char *fallback, Buffer *ret,
                               const char **ret_file, Error *err) _must_check_;
