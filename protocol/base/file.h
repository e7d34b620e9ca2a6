/* SPDX-License-Identifier: MIT */
/* Whole files and trees, relative to a directory that the caller holds open (or AT_FDCWD). */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Appends the content of a regular file to `b`; -ENOBUFS past the buffer's limit. On failure `b` is
 * as it was. */
int file_read(int dir_fd, const char *name, Buffer *b, Error *err) _must_check_;

/* Replaces a file whole: writes `name.tmp`, fsyncs it, renames it, fsyncs the directory. After a
 * crash there is the old content or the new, never a mixture. The new file has `mode` (less the
 * umask), whatever the old one had. One writer at a time for each name. */
int file_replace(int dir_fd, const char *name, const void *data, size_t n, mode_t mode,
                 Error *err) _must_check_;

/* mkdir -p: missing parents are made with `mode`. An existing directory is success. */
int file_make_dirs(const char *path, mode_t mode, Error *err) _must_check_;

/* rm -rf below a held directory, never through a symbolic link and never across a mount, however
 * deep the tree. Missing is success. Directories in the tree that lack permissions are given them.
 */
int file_remove_tree(int dir_fd, const char *name, Error *err) _must_check_;

/* Bytes used by a tree (allocated blocks); what cannot be read or is a hundred levels deep counts
 * as nothing. */
int64_t file_tree_size(int dir_fd, const char *name);

bool file_exists(int dir_fd, const char *name);

/* fsync of a directory, so that a rename in it survives a power cut. -errno. */
int file_sync_dir(int dir_fd) _must_check_;
