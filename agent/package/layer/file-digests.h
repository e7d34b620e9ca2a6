/* SPDX-License-Identifier: MIT */
/* The digests of a tree's files, remembered from one run to the next as git's index remembers them:
 * a file whose size, times, inode and device are as they were has the content that it had.
 *
 * That holds only for what was last changed before it was read, by the file system's own clock:
 * what is changed in the very tick in which it is read looks the same after. Such files are not
 * remembered. */
#pragma once

#include "protocol/artifact/digest.h"
#include "protocol/base/error.h"

#include <sys/stat.h>

typedef struct FileDigests FileDigests;

/* What is remembered in the file `name` of `dir_fd` (borrowed, kept); a file that is not whole, or
 * of another version, is as none. */
int file_digests_open(int dir_fd, const char *name, FileDigests **ret, Error *err) _must_check_;
FileDigests *file_digests_free(FileDigests *digests);
DEFINE_CLEANUP(FileDigests, file_digests_free)

/* The SHA-256 of the regular file `path` below `root_fd`, which has just been found to be as `st`
 * says. -EAGAIN: it changed meanwhile. */
int file_digests_get(FileDigests *digests, int root_fd, const char *path, const struct stat *st,
                     char ret_hex[static DIGEST_HEX_SIZE], Error *err) _must_check_;

/* Remembers what was asked for since it was opened, and forgets the rest. */
int file_digests_save(FileDigests *digests, Error *err) _must_check_;
