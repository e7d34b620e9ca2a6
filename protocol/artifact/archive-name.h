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

/* libarchive translates names between UTF-8 and the locale's character set, so its caller chooses
 * the locale, for the calling thread alone. The writer needs one of UTF-8, or anything but ASCII
 * fails. The reader wants none: from UTF-8 to UTF-8 libarchive composes characters (NFC), and a
 * file would come back under another name; where the translation fails it keeps the bytes, with a
 * warning. */
#define ARCHIVE_LOCALE_WRITE "C.UTF-8"
#define ARCHIVE_LOCALE_READ "C"

/* 0 where there is no such locale; then nothing is entered, and ASCII still works. */
locale_t archive_locale_new(const char *name);
void archive_locale_free(locale_t own);

/* What was before, for archive_locale_leave. */
locale_t archive_locale_enter(locale_t own);
void archive_locale_leave(locale_t *before);
#define _cleanup_archive_locale_ _cleanup_(archive_locale_leave)
