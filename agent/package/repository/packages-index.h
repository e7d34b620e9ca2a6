/* SPDX-License-Identifier: MIT */
/* `Packages` of an apt repository: a stanza for each package, an empty line after each. Read only
 * as far as adding to it and taking from it needs; stanzas that stay keep their bytes. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>

/* More packages than a repository of one application has. */
#define PACKAGES_MAX 1000000

typedef struct PackagesStanza {
    size_t start, len; /* in the text, with the empty line */
    char *package, *version, *architecture, *filename, *sha256;
} PackagesStanza;

typedef struct PackagesIndex {
    PackagesStanza *stanzas;
    size_t count;
    size_t allocated;
} PackagesIndex;

/* -EBADMSG, with the line: no stanzas, or one without Package, Version, Architecture, Filename and
 * SHA256; -E2BIG past PACKAGES_MAX. */
int packages_index_parse(const char *text, size_t n, PackagesIndex *ret, Error *err) _must_check_;
void packages_index_done(PackagesIndex *index);
#define _cleanup_packages_index_ _cleanup_(packages_index_done)

/* NULL where there is none. */
const PackagesStanza *packages_index_find(const PackagesIndex *index, const char *package,
                                          const char *version, const char *architecture);

/* Marks which stanzas go when only the `keep` newest versions of `package` are to stay (0: all).
 * `ret_is_dropped` has a place for each stanza, all false before. */
void packages_index_choose(const PackagesIndex *index, const char *package, size_t keep,
                           bool *ret_is_dropped);

/* Appends a stanza: `control` (its lines, each ended) and what the repository adds. */
int packages_index_append(Buffer *text, const char *control, const char *filename,
                          int64_t size_bytes, const char *sha256) _must_check_;
