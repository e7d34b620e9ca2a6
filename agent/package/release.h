/* SPDX-License-Identifier: MIT */
/* release.json: what a package is (agent/runners/README.md, "The package"). */
#pragma once

#include "protocol/base/error.h"

#include <stdint.h>

#define RELEASE_FILE "release.json"
#define RELEASE_IMAGE "oci"         /* the image layout beside it */
#define RELEASE_PACKAGES "packages" /* or, where there is no image, the deb and the rpm */

typedef struct Release {
    char *name;
    char *version;
    char *digest; /* "sha256:…" of the image manifest, or of the file `package` */
    char *commit; /* NULL where the source had none, as the next two */
    char *repository;
    char *ref;
    char *subject;        /* first line of the commit's message; NULL where it is not known */
    char *reference;      /* of the image at the registry it was pushed to; NULL where it was not */
    char *package;        /* file of the package that is released; NULL: the image is */
    char *template;       /* file of the package; NULL where the repository has none */
    int64_t committed_at; /* seconds */
} Release;

void release_done(Release *release);
#define _cleanup_release_ _cleanup_(release_done)

/* Reads and checks `release.json` of an unpacked package. -EINVAL with every mistake. */
int release_read(int package_fd, Release *ret, Error *err) _must_check_;

/* Writes it; the same release gives the same bytes. */
int release_write(int package_fd, const Release *release, Error *err) _must_check_;
