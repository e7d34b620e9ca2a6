/* SPDX-License-Identifier: MIT */
/* An OCI image layout, read with distrust: every blob is checked against the digest and the size
 * that name it, from the index down to the layers.
 * https://github.com/opencontainers/image-spec/blob/main/image-layout.md */
#pragma once

#include "agent/package/layer/oci.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stddef.h>
#include <stdint.h>

typedef struct OciBlob {
    char digest[OCI_DIGEST_SIZE];
    char *media_type;
    int64_t size_bytes;
} OciBlob;

typedef struct OciImage {
    int layout_fd; /* the layout's directory */
    OciBlob manifest;
    OciBlob config;
    OciBlob *layers;
    size_t n_layers;
    Json *config_json; /* architecture, os, config.Env, config.Entrypoint, rootfs.diff_ids, … */
    Json *manifest_json;
} OciImage;

#define OCI_IMAGE_INIT ((OciImage){.layout_fd = -1})

/* This host's. */
OciPlatform oci_platform_of_host(void);

/* Opens the layout in directory `name` of `dir_fd`, which has exactly one image or index of images,
 * and checks index, manifest and config; with `digest` (may be NULL) it has to be that. Of an index
 * it is the image for this host. -EBADMSG. */
int oci_image_open(int dir_fd, const char *name, const char *digest, OciImage *ret,
                   Error *err) _must_check_;

/* The same for another platform; of several images in the layout it is the one for that. */
int oci_image_open_for(int dir_fd, const char *name, const char *digest,
                       const OciPlatform *platform, OciImage *ret, Error *err) _must_check_;

/* The OCI media type of a layer of that type, which may be one of Docker's; NULL for anything else.
 */
const char *oci_layer_type(const char *media_type);
void oci_image_done(OciImage *image);
#define _cleanup_oci_image_ _cleanup_(oci_image_done)

/* Checks the bytes of every layer. oci_image_unpack does so too. -EBADMSG. */
int oci_image_verify(const OciImage *image, Error *err) _must_check_;

/* The image's file system as the fresh directory `name` of `parent_fd`, layer upon layer with their
 * whiteouts; made aside and renamed. -EEXIST if it is there. */
int oci_image_unpack(const OciImage *image, int parent_fd, const char *name,
                     Error *err) _must_check_;
