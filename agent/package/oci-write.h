/* SPDX-License-Identifier: MIT */
/* An OCI image layout, written without a daemon and without a base image. The same files and the
 * same configuration give the same digests, whenever and wherever they are written. */
#pragma once

#include "agent/package/oci.h"
#include "protocol/artifact/archive.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

/* One file, link or directory of the image. */
typedef struct OciEntry {
    char *from;  /* below root_fd; NULL: a directory that only the image has */
    char *to;    /* in the image, without a leading slash */
    mode_t mode; /* permission bits; (mode_t)-1 keeps a link's */
} OciEntry;

typedef struct OciImageSpec {
    int root_fd;             /* borrowed: what `from` is below */
    const OciEntry *entries; /* in the order in which they are written; parents come first */
    size_t n_entries;
    int64_t created;    /* seconds: the time of everything */
    const Json *config; /* `config` of the image configuration: Env, Entrypoint, …; or NULL */
    const Json *annotations; /* of the index's entry, not of the image: free to differ; or NULL */
} OciImageSpec;

/* Writes the layout as the fresh directory `name` of `parent_fd`. `ret_digest` is the manifest's.
 */
int oci_image_write(const OciImageSpec *spec, int parent_fd, const char *name,
                    char ret_digest[static OCI_DIGEST_SIZE], Error *err) _must_check_;
