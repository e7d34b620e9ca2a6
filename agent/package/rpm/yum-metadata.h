/* SPDX-License-Identifier: MIT */
/* What a yum repository says of itself, read as far as adding to it needs: repomd.xml, the one file
 * that names all others with their digests, and primary.xml, the list of packages. Both come from a
 * place where others may write, so nothing in them is believed that a name or a digest cannot be.
 */
#pragma once

#include "protocol/artifact/digest.h"
#include "protocol/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* More packages than a repository of one application has, and more than one line of either. */
#define YUM_PACKAGES_MAX ((size_t)1000000)
#define YUM_DATA_MAX ((size_t)100)
#define YUM_TEXT_MAX ((size_t)4096)

/* One file below repodata/. */
typedef struct YumData {
    char *type;     /* "primary" */
    char *location; /* "repodata/…-primary.xml.gz" */
    char sha256[DIGEST_HEX_SIZE];
} YumData;

typedef struct YumIndex {
    YumData *list;
    size_t count;
} YumIndex;

/* -EBADMSG, with the line: no repomd.xml, a location that leads out, a digest that is no SHA-256.
 */
int yum_index_parse(const char *text, size_t n, YumIndex *ret, Error *err) _must_check_;
void yum_index_done(YumIndex *index);
#define _cleanup_yum_index_ _cleanup_(yum_index_done)

/* NULL where there is none. */
const YumData *yum_index_find(const YumIndex *index, const char *type);

typedef struct YumPackage {
    char *name, *arch, *epoch, *version, *release;
    char *location;               /* below the repository's top */
    char sha256[DIGEST_HEX_SIZE]; /* "" where it has another digest */
} YumPackage;

typedef struct YumPackages {
    YumPackage *list;
    size_t count;
    size_t allocated;
} YumPackages;

/* Of primary.xml, decompressed. -EBADMSG as above; -E2BIG past YUM_PACKAGES_MAX. */
int yum_packages_parse(const char *text, size_t n, YumPackages *ret, Error *err) _must_check_;
void yum_packages_done(YumPackages *packages);
#define _cleanup_yum_packages_ _cleanup_(yum_packages_done)

/* By epoch, version and release, as rpm does: negative, 0 or positive. */
int yum_package_compare(const YumPackage *a, const YumPackage *b);
