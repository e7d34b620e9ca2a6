/* SPDX-License-Identifier: MIT */
/* Unix sockets by path, without the loop. A path may be longer than sun_path: it is then reached
 * through the descriptor of its directory. */
#pragma once

#include "protocol/base/error.h"

#include <sys/stat.h>
#include <sys/types.h>

typedef struct UnixSocket {
    int fd;     /* listening, non-blocking; -1 when empty */
    char *path; /* NULL for one that somebody else made: its file is not ours to remove */
    dev_t device;
    ino_t inode;
} UnixSocket;

#define UNIX_SOCKET_EMPTY ((UnixSocket){.fd = -1})

/* Listens on `path` with the file's mode. A file that a dead process left is replaced; -EADDRINUSE:
 * somebody listens there, -EEXIST: what is there is no socket. */
int unix_socket_listen(const char *path, mode_t mode, UnixSocket *ret, Error *err) _must_check_;

/* Takes a listening unix stream socket that systemd passed; on failure it is closed. */
int unix_socket_adopt_take(int fd, UnixSocket *ret, Error *err) _must_check_;

/* Closes, and removes the file where it is still the one that was made. */
void unix_socket_done(UnixSocket *s);

/* Connects, blocking. The descriptor is the caller's. */
int unix_socket_connect(const char *path, int *ret_fd, Error *err) _must_check_;
