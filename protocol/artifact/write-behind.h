/* SPDX-License-Identifier: MIT */
/* Makes small files in a thread of its own, in batches, while the next entries of an archive are
 * read. Making a file is mostly the kernel's work, and reading an archive mostly ours, so that two
 * processors do in parallel what one did in turn.
 *
 * The order in which files are made is not that in which they were given. That can only be seen
 * where two have the same name: then either of them is the one that is there twice, since all are
 * made with O_EXCL. A directory that is given stays what it is until it is written to, whatever
 * becomes of the caller's descriptor. */
#pragma once

#include "protocol/base/error.h"

#include "protocol/base/buffer.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Larger ones are better written by whoever reads them. */
#define WRITE_BEHIND_FILE_MAX ((size_t)32 << 10)

typedef struct WriteBehind WriteBehind;

/* All borrowed for the time of the call. */
typedef struct WriteBehindFile {
    const char *path; /* as the archive names it, for errors */
    int dir_fd;
    const char *name; /* in the directory */
    mode_t mode;
    bool sets_mode; /* open(2) may have taken away from it */
    int64_t mtime;  /* seconds */
    const void *data;
    size_t n; /* at most WRITE_BEHIND_FILE_MAX */
} WriteBehindFile;

/* -ENOMEM. Starts no thread before there is a batch for it. */
int write_behind_new(WriteBehind **ret) _must_check_;

/* Ends the thread; what waits is not made any more. Takes NULL. */
WriteBehind *write_behind_free(WriteBehind *w);
DEFINE_CLEANUP(WriteBehind, write_behind_free)

/* Fails with the first problem that anything given before has met; `err` names its path. */
int write_behind_add(WriteBehind *w, const WriteBehindFile *file, Error *err) _must_check_;

/* The caller closes a directory: a later one may have the same number. */
void write_behind_leave(WriteBehind *w);

/* All that was given is there when this returns 0. */
int write_behind_wait(WriteBehind *w, Error *err) _must_check_;
