/* SPDX-License-Identifier: MIT */
/* What a bundle is about: one package, as its provenance says. Nothing here was checked by a key:
 * whoever signs or sends it on names this, and the host that deploys finds out whether it is true.
 */
#pragma once

#include "plugin/include/slipway.h"

#define RELEASE_DIGEST_SIZE 72 /* "sha256:", 64 digits, NUL */

/* Texts are borrowed from the entries; NULL where the provenance does not say. */
typedef struct ReleaseSubject {
    char digest[RELEASE_DIGEST_SIZE]; /* "sha256:…" */
    const char *name;
    const char *version;
    const char *commit;
    const char *repository;
    const char *ref;
    const char *run;
} ReleaseSubject;

/* The package of the entries (slipway_bundle_read) with this digest, or (NULL) the only one.
 * -ENOENT: no provenance, or none of that digest. -EEXIST: there are several packages, and nobody
 * said which. -EINVAL: `digest` is none. *ret_error as in slipway.h. */
int release_subject_find(const SlipwayJson *entries, const char *digest, ReleaseSubject *ret,
                         char **ret_error);

/* A text of an entry's statement, by JSON Pointer; `fallback` where it says nothing. */
const char *release_said(const SlipwayJson *entry, const char *pointer, const char *fallback);

bool release_is_kind(const SlipwayJson *entry, const char *kind);
