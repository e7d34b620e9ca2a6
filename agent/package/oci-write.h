/* SPDX-License-Identifier: MIT */
/* An OCI image layout, written without a daemon. The same files and the same configuration give the
 * same digests, whenever and wherever they are written. */
#pragma once

#include "agent/package/layer/layer.h"
#include "agent/package/oci-read.h"

/* One image: the layers of its base, then its own. */
typedef struct OciImageSpec {
    OciPlatform platform;
    const OciImage *base;    /* or NULL: from nothing. Borrowed, as all here */
    const LayerSpec *layers; /* in their order */
    size_t n_layers;
    const Json *config; /* `config` of the image configuration: Env, Entrypoint, …; or NULL */
    const Json *annotations; /* of the manifest, part of the image; or NULL */
} OciImageSpec;

typedef struct OciLayoutSpec {
    const OciImageSpec *images; /* several: an index of them is what the layout is of */
    size_t n_images;
    int64_t created;           /* seconds: what the images say of themselves */
    const LayerMemory *memory; /* or NULL */
    const Json *annotations; /* of index.json's entry, not of the image: free to differ; or NULL */
} OciLayoutSpec;

typedef struct OciLayout {
    char digest[OCI_DIGEST_SIZE]; /* of the manifest, or of the index where there are several */
    int64_t size_bytes;           /* of all blobs */
    size_t n_layers;              /* of the first image */
    size_t n_known_layers;        /* of all images: those that were made before */
    Json *layers;                 /* array of {"digest","size"}, of the first image */
} OciLayout;

void oci_layout_done(OciLayout *layout);
#define _cleanup_oci_layout_ _cleanup_(oci_layout_done)

/* Writes it as the fresh directory `name` of `parent_fd`. */
int oci_layout_write(const OciLayoutSpec *spec, int parent_fd, const char *name, OciLayout *ret,
                     Error *err) _must_check_;
