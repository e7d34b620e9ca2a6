/* SPDX-License-Identifier: MIT */
/* The bundle of a release in a file of the controller's (release.intoto.jsonl): statements come to
 * it from several hosts and at several times, each once. It is always written whole, aside, synced
 * and renamed, so that nobody ever reads half of one. */
#pragma once

#include "plugin/include/slipway.h"

#define RELEASE_BUNDLE_FILE "release.intoto.jsonl"
#define RELEASE_BUNDLE_MAX ((size_t)16 << 20)

typedef struct ReleaseBundle {
    char *text; /* envelopes, each with its line feed; NULL: none */
    size_t len;
    SlipwayJson *entries; /* as slipway_bundle_read has them, with no key believed; NULL: none */
} ReleaseBundle;

void release_bundle_done(ReleaseBundle *bundle);

/* Adds the envelopes of `text` that are not there yet; *ret_added (may be NULL) says how many.
 * -EINVAL: a line is no envelope, or it would be too much; then nothing was added. *ret_error as in
 * slipway.h. */
int release_bundle_add(ReleaseBundle *bundle, const char *text, size_t len, size_t *ret_added,
                       char **ret_error);

/* Adds a file. -ENOENT: there is none, which is told like any other problem. */
int release_bundle_load(ReleaseBundle *bundle, const char *path, char **ret_error);

/* Writes the file anew. */
int release_bundle_save(const ReleaseBundle *bundle, const char *path, char **ret_error);
