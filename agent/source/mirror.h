/* SPDX-License-Identifier: MIT */
/* CACHE/git/HASH, a bare repository for each URL: the objects that this host has seen of it.
 *
 * A workspace borrows its objects from here, so nothing is ever taken away, and a commit that is
 * here costs no network. One process at a time holds a mirror. */
#pragma once

#include "agent/source/git.h"

typedef struct Mirror {
    const Git *git;  /* borrowed */
    char *directory; /* absolute */
    int lock_fd;
} Mirror;

#define MIRROR_INIT ((Mirror){.lock_fd = -1})

/* Takes the mirror of git->url, made if missing, and its lock; waits for another that has it. */
int mirror_open(const char *cache_directory, const Git *git, const char *commit, Mirror *ret,
                Error *err) _must_check_;
void mirror_done(Mirror *mirror);
#define _cleanup_mirror_ _cleanup_(mirror_done)

/* Lets others in; what was fetched stays, so reading goes on. */
void mirror_unlock(Mirror *mirror);

bool mirror_has(const Mirror *mirror, const char *commit);

/* Makes sure that `commit` is here with all that it needs: first by its ref (may be NULL), then by
 * itself, then by all branches and tags. -ENOENT: the repository does not have it. -EIO: it could
 * not be reached. Says so when nothing had to be fetched. */
int mirror_fetch(const Mirror *mirror, const char *commit, const char *ref,
                 Error *err) _must_check_;

/* `git describe --tags --always`; the caller's. */
int mirror_describe(const Mirror *mirror, const char *commit, char **ret, Error *err) _must_check_;

/* The committer's time, in seconds, and the first line of the commit's message, the caller's:
 * UTF-8, cut where it is long, "" where there is none. */
int mirror_read_commit(const Mirror *mirror, const char *commit, int64_t *ret_time,
                       char **ret_subject, Error *err) _must_check_;
