/* SPDX-License-Identifier: MIT */
/* Versions of Debian packages: [EPOCH:]UPSTREAM[-REVISION] (deb-version(7)), and what a version of
 * git becomes there. */
#pragma once

#include "protocol/base/error.h"

#include <stdint.h>

#define DEB_VERSION_MAX 256

/* As dpkg orders them: negative, 0, positive. Any texts. */
int deb_version_compare(const char *a, const char *b);

/* -EINVAL, saying why dpkg would not take it. */
int deb_version_check(const char *version, Error *err) _must_check_;

typedef struct DebVersionRequest {
    const char *version;  /* a tag, or what `git describe --tags --always` says */
    const char *name;     /* of the service: "NAME-1.2" and "NAME/1.2" are 1.2 */
    const char *commit;   /* NULL: not known */
    int64_t committed_at; /* seconds */
    int64_t epoch;        /* 0: none */
    const char *revision; /* NULL: none */
} DebVersionRequest;

/* The caller's text. What is before the number of a tag is left out: "v", "NAME-", "NAME/".
 *
 *     v1.2.3                1.2.3
 *     v1.2.3-4-gabcdef1     1.2.3+4.gabcdef1       4 commits later: above 1.2.3, below 1.2.4
 *     1.2.3-rc.1, 1.2.3rc1  1.2.3~rc.1, 1.2.3~rc1  below 1.2.3
 *     2026-11-25            2026.11.25
 *     abcdef1 (no tag)      0~git20261125131415.abcdef1, by the commit's time: below every tag
 *
 * -EINVAL where it would not be taken or would be ordered otherwise than it is meant: another word
 * or a number behind a hyphen (before or after the version without it?), a character that dpkg does
 * not know, a bare commit without a time. */
int deb_version_map(const DebVersionRequest *request, char **ret, Error *err) _must_check_;
