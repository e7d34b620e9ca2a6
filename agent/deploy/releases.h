/* SPDX-License-Identifier: MIT */
/* What this host remembers of an environment: one directory for each deployment, named by its
 * number (README.md, "Kept releases"). Going back needs nothing else.
 *
 * A directory counts from the moment its record.json is there: it is written last, before the
 * engine hears of the deployment. A record without an `outcome` is a deployment of which nobody saw
 * the end.
 *
 * Whoever changes anything here holds the environment's lock (agent/release/environment-lock.h). */
#pragma once

#include "agent/deploy/engine.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>

/* Files of one release's directory. */
#define RELEASES_RECORD "record.json"
#define RELEASES_FILLED "filled.json"     /* the specification as it was sent */
#define RELEASES_REPLACED "replaced.json" /* the one that ran before */
#define RELEASES_PACKAGE "package"
#define RELEASES_ROOT "root"

#define RELEASES_KEEP_DEFAULT 5

#define RELEASES_NAME_SIZE sizeof("4294967295")

typedef struct KeptRelease {
    unsigned number;
    Json *record;
} KeptRelease;

typedef struct Releases {
    int dir_fd;
    char *path; /* of the environment's directory, absolute */
    char *environment;
    KeptRelease *items; /* oldest first */
    size_t count;
} Releases;

#define RELEASES_INIT ((Releases){.dir_fd = -1})

/* Opens `directory`/`environment` and makes it if it is missing. Reads nothing yet, so that the
 * lock can be taken in it first. */
int releases_open(const char *directory, const char *environment, Releases *ret,
                  Error *err) _must_check_;
void releases_done(Releases *releases);
#define _cleanup_releases_ _cleanup_(releases_done)

/* Reads all records. A record that cannot be read is an error: what it says matters. */
int releases_load(Releases *releases, Error *err) _must_check_;

/* Removes what a deployment left that ended before its record was written. */
int releases_clean(Releases *releases, Error *err) _must_check_;

/* The name of a release's directory. */
const char *releases_name(unsigned number, char name[static RELEASES_NAME_SIZE]);

/* Makes the directory of a new release, with the next number. */
int releases_make(Releases *releases, unsigned *ret_number, Error *err) _must_check_;
int releases_remove(Releases *releases, unsigned number, Error *err) _must_check_;

/* Reads and writes a file of a release's directory. -ENOENT without a file. */
int releases_read_file(const Releases *releases, unsigned number, const char *file, Json **ret,
                       Error *err) _must_check_;
int releases_write_file(const Releases *releases, unsigned number, const char *file,
                        const Json *content, Error *err) _must_check_;

/* Writes a new record, from now on a release of `releases`; the record is consumed. `*ret` (may be
 * NULL) is borrowed until the next one is added or forgotten, as are all below. */
int releases_add_take(Releases *releases, unsigned number, Json *record, KeptRelease **ret,
                      Error *err) _must_check_;

/* Writes a record that was changed. */
int releases_save(const Releases *releases, const KeptRelease *release, Error *err) _must_check_;

/* The newest record that has no outcome; NULL. */
KeptRelease *releases_find_unsettled(const Releases *releases);

KeptRelease *releases_find(const Releases *releases, unsigned number);

/* The release that the engine runs, by its deployment, else by its digest; NULL: none of ours. */
KeptRelease *releases_find_running(const Releases *releases, const EngineCurrent *current);

/* Where the package of a release is: its own number, or the one to which a rollback went back. */
unsigned releases_content_number(const KeptRelease *release);

/* Is it the one that a person means by `wanted`: its digest, its version, or the beginning of its
 * commit? */
bool releases_is_meant(const KeptRelease *release, const char *wanted);

/* The release to go back to. Without `wanted`: the newest that succeeded before the one that runs,
 * with other content; for one that is a rollback itself, before the one to which it went back. With
 * `wanted`: the newest that succeeded and is meant by it. -ENOENT, and `err` lists those that there
 * are; -ENOTUNIQ: several packages are meant. `running` may be NULL. */
int releases_find_target(const Releases *releases, const KeptRelease *running, const char *wanted,
                         KeptRelease **ret, Error *err) _must_check_;

/* What one can go back to, for people: an array of the caller's, newest first, each package once
 * (protocol/schema/action-releases). */
int releases_describe(const Releases *releases, const KeptRelease *running,
                      Json **ret) _must_check_;

/* Forgets the oldest: keeps the `keep` newest that succeeded and as many others, what runs, what a
 * rollback would go back to, and whatever those need. */
int releases_forget(Releases *releases, unsigned keep, const KeptRelease *running,
                    Error *err) _must_check_;
