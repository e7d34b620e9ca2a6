/* SPDX-License-Identifier: MIT */
/* One layer of an image: the entries as a tar, compressed, named by its digest. A layer that was
 * made before, of the same entries with the same contents, is neither packed nor compressed again.
 */
#pragma once

#include "agent/package/layer/blob-cache.h"
#include "agent/package/layer/compress.h"
#include "agent/package/layer/file-digests.h"

#include <stdbool.h>
#include <sys/types.h>

/* One file, link or directory of the image. */
typedef struct LayerEntry {
    char *from;   /* below root_fd; NULL: a directory that only the image has */
    char *to;     /* in the image, without a leading slash */
    mode_t mode;  /* permission bits; (mode_t)-1 keeps a link's */
    size_t layer; /* which one it belongs to, for who sorts them */
} LayerEntry;

typedef struct LayerSpec {
    int root_fd;               /* borrowed: what `from` is below */
    const LayerEntry *entries; /* in the order in which they are written; parents come first */
    size_t n_entries;
    int64_t time; /* seconds: of every entry */
    CompressKind compression;
} LayerSpec;

/* What was made before; both or none. */
typedef struct LayerMemory {
    const BlobCache *cache;
    FileDigests *digests;
} LayerMemory;

typedef struct Layer {
    char diff_id[DIGEST_HEX_SIZE]; /* SHA-256 of the tar */
    char sha256[DIGEST_HEX_SIZE];  /* of the blob */
    int64_t size_bytes;
    bool is_known; /* made before */
} Layer;

/* Writes the blob into `blobs_fd`, under its 64 digits. `memory` may be NULL. */
int layer_write(const LayerSpec *spec, const LayerMemory *memory, int blobs_fd, Layer *ret,
                Error *err) _must_check_;

/* A tar that is there, from the descriptor's offset on, made a layer. -EBADMSG where its SHA-256 is
 * not `diff_id` (64 digits), by which it is also remembered. `cache` may be NULL. */
int layer_write_tar(int tar_fd, const char *diff_id, CompressKind compression,
                    const BlobCache *cache, int blobs_fd, Layer *ret, Error *err) _must_check_;
