/* SPDX-License-Identifier: MIT */
/* Which files of a tree a list of patterns names. Patterns are relative, with `*`, `?`, `[…]`
 * inside a name and `**` for any number of directories; a pattern that names a directory means all
 * below it; one that starts with `!` takes away, wherever it stands in the list. A name that starts
 * with a dot is nothing special, a `\` takes the meaning from the character after it, case counts.
 * Names are sorted by byte, without duplicates. */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>

/* More files than any artifact of ours should have; a stray `**` over a whole disk stops here. */
#define FILE_LIST_MAX 1000000

typedef struct FileList {
    char **names; /* relative to the root; regular files, symbolic links and empty directories */
    size_t count;
    size_t allocated;
    size_t limit;           /* set before: no more names than this; 0 means FILE_LIST_MAX */
    bool may_match_nothing; /* set before: a pattern that matches nothing is no mistake */
    bool refuses_special;   /* set before: a matching socket, fifo or device is -EINVAL, named */
} FileList;

void file_list_done(FileList *list);

/* *ret has to be empty. -EINVAL for a pattern that is absolute or has `..`; -ENOENT, naming the
 * pattern, for one that matches nothing; -E2BIG past the limit. Symbolic links are never followed;
 * sockets, fifos and devices are left out, unless the list refuses them. */
int file_list_match(int root_fd, const char *const *patterns, size_t n_patterns, FileList *ret,
                    Error *err) _must_check_;

/* Whether the pattern (with or without its `!`) names this name or a directory that it is in. */
bool file_list_pattern_matches(const char *pattern, const char *name);
