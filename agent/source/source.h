/* SPDX-License-Identifier: MIT */
/* Brings the source that a call names into the workspace of its run.
 *
 * Beside the workspace lies `source.json`, which says what is in it. It is removed before the
 * workspace is touched and written when all of it is there, so a later call of the run takes the
 * workspace as it is, with what the earlier one built, or brings it afresh; never a half. */
#pragma once

#include "agent/source/confine.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>

/* What is asked for; all borrowed, whatever is not asked for is NULL. Exactly one of `git` and
 * `input`, or neither: what an earlier call of the run brought. */
typedef struct SourceRequest {
    const char *git; /* URL or path of a repository */
    const char *commit;
    const char *ref; /* branch, tag or whole name ("refs/…"); HEAD where nothing is given */
    const char *input;
    const char *name;
    bool is_clean;    /* nothing may be left of earlier calls */
    bool is_optional; /* no source at all will do: verify */

    const char *workspace; /* exists; its parent may be written too */
    const char *cache_directory;
    const char *inputs_directory; /* NULL: there are no inputs */
    const Confine *confine;       /* for git, which does what the files of a step say; NULL: none */
} SourceRequest;

/* What the workspace holds. */
typedef struct Source {
    char *repository;     /* without a password; NULL for an input */
    char *commit;         /* NULL for an input that says none */
    char *ref;            /* NULL where none was named */
    char *version;        /* never NULL: the tag, `git describe`, or what an input has instead */
    char *name;           /* never NULL: of the repository or input, fit for a file name */
    char *subject;        /* first line of the commit's message; NULL where it cannot be told */
    int64_t committed_at; /* seconds; SOURCE_TIME_UNKNOWN where there is no commit */
    bool is_kept;         /* it was there already and nothing was touched */
    bool is_none;         /* there is none, and it was optional */
} Source;

/* An archive without a commit: everything made from it gets this time, so that the same input gives
 * the same bytes. 1980-01-01, the first that zip can hold. */
#define SOURCE_TIME_UNKNOWN ((int64_t)315532800)

void source_done(Source *source);
#define _cleanup_source_ _cleanup_(source_done)

/* Reads `source`, `ref` and `clean` of a call's parameters. -EINVAL. The strings are borrowed. */
int source_request_read(const Json *parameters, SourceRequest *ret, Error *err) _must_check_;

/* Does it. What git says goes to stderr, the log. The reason in `err` is meant for the call's. */
int source_bring(const SourceRequest *request, Source *ret, Error *err) _must_check_;
