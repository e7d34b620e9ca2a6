/* SPDX-License-Identifier: MIT */
/* Which names and links an archive of ours may hold; one rule for the writer, who then never makes
 * what a reader refuses, and for the reader, who trusts nobody. Internal to this room. */
#pragma once

#include "protocol/base/error.h"

#include <locale.h>

/* PATH_MAX and NAME_MAX of Linux, without their NUL. */
#define ARCHIVE_NAME_MAX 4095
#define ARCHIVE_NAME_PART_MAX 255

/* Directories in directories. Deeper than real trees, and well below the descriptors that a process
 * may hold: the reader keeps one for each level. */
#define ARCHIVE_DEPTH_MAX 128

/* A name, cut at its slashes; "." and empty parts ("a//b", "./a", "a/") are left out. */
typedef struct ArchiveName {
    char *text; /* "a\0b\0c", owned */
    const char *parts[ARCHIVE_DEPTH_MAX];
    size_t count; /* 0: the root itself */
} ArchiveName;

void archive_name_done(ArchiveName *name);

/* -EBADMSG, saying why: empty, absolute, "..", too long, too deep, not UTF-8. */
int archive_name_parse(const char *text, ArchiveName *ret, Error *err) _must_check_;

/* Whether a symbolic link at `name` that says `target` stays below the root, whatever else is
 * there: it is relative, and goes up first, at most as often as `name` is deep, then only down.
 * (After a part that may itself be a link, ".." would be anybody's guess.) -EBADMSG. */
int archive_name_check_link(const ArchiveName *name, const char *target, Error *err) _must_check_;

/* libarchive translates names by the locale's character set; in the C locale it would fail at any
 * that is not ASCII. Both are of the calling thread only. */
typedef struct ArchiveLocale {
    locale_t own, before;
} ArchiveLocale;

ArchiveLocale archive_locale_enter(void);
void archive_locale_leave(ArchiveLocale *locale);
#define _cleanup_archive_locale_ _cleanup_(archive_locale_leave)
