/* SPDX-License-Identifier: MIT */
/* Which files of a tree a list of patterns names. Patterns are relative, with `*`, `?`, `[…]`
 * inside a name and `**` for any number of directories; a pattern that names a directory means all
 * below it; one that starts with `!` takes away. Names are sorted by byte, without duplicates. */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>

/* More files than any artifact of ours should have; a stray `**` over a whole disk stops here. */
#define FILE_LIST_MAX 1000000

typedef struct FileList {
    char **names; /* relative to the root; regular files, symbolic links and empty directories */
    size_t count;
    size_t allocated;
} FileList;

void file_list_done(FileList *list);

/* -EINVAL for a pattern that is absolute or has `..`; -ENOENT, naming the pattern, for one that
 * matches nothing. Never follows a symbolic link out of the root. */
int file_list_match(int root_fd, const char *const *patterns, size_t n_patterns, FileList *ret,
                    Error *err) _must_check_;

bool file_list_pattern_matches(const char *pattern, const char *name);
