/* SPDX-License-Identifier: MIT */
/* The whole change between what runs and a commit, told to who releases it: from what git and the
 * engine say to the outputs of `changes-E`. Reads nothing itself.
 *
 * What comes from a repository may try to look like something else: control characters and those
 * that turn the direction of writing are replaced, in the text and in the lists. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stddef.h>

/* For `git log --format=…`: commit, author, author's date, subject; ended by a record separator. */
#define CHANGES_LOG_FORMAT "%H%x1f%an%x1f%as%x1f%s%x1e"

/* In the lists; the counts are of all. */
#define CHANGES_COMMITS_MAX 200
#define CHANGES_FILES_MAX 500

/* Of the text, so that it fits beside a button. */
#define CHANGES_LINES_MAX 40

typedef enum ChangesRelation {
    CHANGES_FIRST,   /* nothing runs yet */
    CHANGES_SAME,    /* the commit that runs */
    CHANGES_FORWARD, /* what runs is an ancestor */
    CHANGES_BACK,    /* what runs is a descendant */
    CHANGES_APART,   /* neither */
    CHANGES_UNKNOWN, /* what runs says no commit, or one that the repository does not have */
    _CHANGES_RELATION_MAX,
} ChangesRelation;

/* Bytes of git's, which may hold anything. */
typedef struct ChangesBytes {
    const char *data;
    size_t len;
} ChangesBytes;

typedef struct ChangesFacts {
    const char *environment;
    ChangesRelation relation;
    const char *from_commit; /* NULL: not known, or nothing runs */
    const char *from_version;
    const char *to_commit;
    const char *to_version;     /* NULL */
    ChangesBytes coming;        /* git log of commits that would come */
    ChangesBytes going;         /* … and of those that would go */
    ChangesBytes files;         /* git diff --numstat -z --no-renames */
    ChangesBytes configuration; /* git diff --unified=0 of slipway.json and the template */
    const Json
        *variables_then; /* of the environment when what runs was deployed; NULL: not known */
    const Json *variables_now;
} ChangesFacts;

/* The outputs, an object of the caller's: `from`, `to` (commits), `relation`, `commits` (of
 * `commit`, `author`, `date`, `subject`, and `isGoing` where it would be taken back),
 * `commitCount`, `files` (of `name`, `added`, `removed`), `fileCount`, `configuration` (lines) and
 * `text`. */
int changes_describe(const ChangesFacts *facts, Json **ret, Error *err) _must_check_;
