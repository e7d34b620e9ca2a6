/* SPDX-License-Identifier: MIT */
/* Opens files and reads small ones in a thread of its own, in the order in which they will be
 * packed. Opening and reading is mostly the kernel's work, and packing mostly ours, so that two
 * processors do in parallel what one did in turn. */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* Of a larger file only the descriptor comes: whoever packs it reads it. */
#define READ_AHEAD_FILE_MAX ((size_t)16 << 10)

/* Fewer files than this are not worth a thread. */
#define READ_AHEAD_MIN 32

/* A file that was opened, and perhaps read. */
typedef struct ReadAheadFile {
    int fd;           /* -1: it could not be opened, or was read; else the taker's to close */
    int open_problem; /* -errno: a link, a socket, something that may not be read */
    int stat_problem; /* -errno: nothing is known of it, and `st` is empty */
    struct stat st;
    bool is_read; /* these two are its content; borrowed until the next one is taken */
    char *data;   /* one byte more than its size says was asked for */
    size_t n;     /* so that one that grew has `n` > st.st_size, as one that shrank has less */
    int read_problem;
} ReadAheadFile;

/* What the thread does with each: opens `name` below `root_fd`, without waiting and without
 * following a link, and reads it into `buffer` (READ_AHEAD_FILE_MAX + 1 bytes; NULL: does not) if
 * it is small. */
void read_ahead_open(int root_fd, const char *name, char *buffer, ReadAheadFile *ret);

typedef struct ReadAhead ReadAhead;

/* `names` are borrowed for its whole life. -ENOMEM, -EAGAIN: there is no thread to be had. */
int read_ahead_new(int root_fd, char *const *names, size_t n_names, ReadAhead **ret) _must_check_;

/* The next of the names; there has to be one. */
void read_ahead_next(ReadAhead *a, ReadAheadFile *ret);

/* Takes NULL. What was read and not taken is closed. */
ReadAhead *read_ahead_free(ReadAhead *a);
DEFINE_CLEANUP(ReadAhead, read_ahead_free)
