/* SPDX-License-Identifier: MIT */
/* File descriptors: one owner each, close-on-exec from birth, -1 when empty. */
#pragma once

#include "protocol/base/macro.h"

#include <stdbool.h>
#include <sys/types.h>

/* Closes unless negative, keeps errno. Returns -1. */
int fd_close(int fd);

static inline void fd_closep(int *fd)
{
    *fd = fd_close(*fd);
}
#define _cleanup_fd_ _cleanup_(fd_closep)

/* Writes all of it to a blocking descriptor, through EINTR and short writes. -errno. */
int fd_write_all(int fd, const void *data, size_t n) _must_check_;

/* Reads until `n` bytes or the end. Returns the bytes read, or -errno. */
ssize_t fd_read_full(int fd, void *data, size_t n) _must_check_;

/* As fd_read_full at an offset, which does not move. */
ssize_t fd_pread_full(int fd, void *data, size_t n, off_t offset) _must_check_;

/* Sets or clears O_NONBLOCK. -errno. */
int fd_set_nonblock(int fd, bool on) _must_check_;
