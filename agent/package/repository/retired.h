/* SPDX-License-Identifier: MIT */
/* Files of a repository that its index no longer names, and for how long they stay: a reader that
 * fetched the index a moment ago still asks for them.
 *
 * The list is a file of the repository. What a publication is about to write is on it, too, before
 * it is written; so what a publication leaves behind that was killed in the middle goes the same
 * way. Whoever publishes next takes off what its index names (retired_keep). */
#pragma once

#include "agent/package/repository/publish-target.h"
#include "protocol/json.h"

/* A reader that is slower than this begins anew. */
#define RETIRED_STAY_US ((int64_t)24 * 3600 * 1000000)
/* Of more than this the oldest go early: so many publications in a day are from a machine. */
#define RETIRED_MAX 64

typedef struct Retired {
    const char *name; /* of the list's file; borrowed */
    Json *files;      /* [{"name","since"}] in the order in which they were added */
    size_t n_earlier; /* those of earlier publications: of no index any more */
} Retired;

/* A missing list is an empty one, and so is one that cannot be understood: then files stay that
 * nobody needs, which is no reason to publish nothing. */
int retired_read(PublishTarget *target, const char *name, Retired *ret, Error *err) _must_check_;
void retired_done(Retired *retired);
#define _cleanup_retired_ _cleanup_(retired_done)

/* Adds a file, unless it is there. -ENOMEM. */
int retired_add(Retired *retired, const char *file, int64_t now_us) _must_check_;

/* The index names it: it stays. -ENOMEM. */
int retired_keep(Retired *retired, const char *file) _must_check_;

/* Removes from the repository what has stayed long enough, then writes the list. What was added
 * since it was read stays: the index in force may still name it. To be called before the first file
 * of a publication is written, with all of them on it. */
int retired_sweep(PublishTarget *target, Retired *retired, int64_t now_us, Error *err) _must_check_;
