/* SPDX-License-Identifier: MIT */
/* `Release` of an apt repository: what it is, and size and digest of each of its indexes. Its
 * signed form, InRelease, is the one file that a reader believes.
 * https://wiki.debian.org/DebianRepository/Format */
#pragma once

#include "protocol/artifact/digest.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdint.h>

/* Several for each component and architecture. */
#define APT_RELEASE_FILES_MAX 10000

typedef struct AptReleaseFile {
    char *name; /* "main/binary-amd64/Packages", below the suite's directory */
    int64_t size_bytes;
    char sha256[DIGEST_HEX_SIZE];
} AptReleaseFile;

typedef struct AptRelease {
    AptReleaseFile *files; /* sorted by name */
    size_t count;
    int64_t valid_until; /* seconds; 0: it says none */
} AptRelease;

/* Only what adding to a repository needs. -EBADMSG, saying what is wrong. */
int apt_release_parse(const char *text, size_t n, AptRelease *ret, Error *err) _must_check_;
void apt_release_done(AptRelease *release);
#define _cleanup_apt_release_ _cleanup_(apt_release_done)

/* NULL where there is none. */
const AptReleaseFile *apt_release_find(const AptRelease *release, const char *name);

/* Puts a file in its place, in the place of one of that name. */
int apt_release_set(AptRelease *release, const char *name, const void *data, size_t n,
                    Error *err) _must_check_;

/* What it says besides; a NULL is left out, but `suite`. */
typedef struct AptReleaseFields {
    const char *origin, *label, *suite;
    int64_t now;    /* seconds */
    int valid_days; /* 0: it says none */
} AptReleaseFields;

/* Appends the text; Architectures and Components are what the files are of. */
int apt_release_format(const AptRelease *release, const AptReleaseFields *fields,
                       Buffer *ret) _must_check_;
