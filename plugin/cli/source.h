/* SPDX-License-Identifier: MIT */
/* Where the source of a call comes from: a commit of a git repository, or a directory that is sent.
 */
#pragma once

#include "plugin/cli/session.h"

/* A commit, found. All owned. */
typedef struct SourceCommit {
    char *repository;       /* as the agent is to fetch it: a URL or an absolute path */
    char *commit;           /* full */
    char *ref;              /* the name it was found by; may be NULL */
    char *subject;          /* first line of its message; NULL where the repository is not here */
    long long committed_at; /* seconds since the epoch; 0 where it is not known */
    bool is_dirty;          /* the working tree has changes that are not in it */
} SourceCommit;

void source_commit_done(SourceCommit *c);

/* Finds the commit of `repository` (a path or a URL; NULL: here): `commit` as it is or, for a local
 * one, anything that names one; else `ref`, else HEAD. Runs git. 0 or an exit code, said. */
int source_find_commit(Session *s, const char *repository, const char *commit, const char *ref,
                       SourceCommit *ret);

/* Puts /parameters/source of a calls/start. -1 when memory is out. */
int source_set_git(SlipwayJson *params, const SourceCommit *commit);

/* Packs a directory (or takes an archive as it is) and sends it as `input`. 0 or an exit code. */
int source_send(Session *s, const char *path, const char *input);
