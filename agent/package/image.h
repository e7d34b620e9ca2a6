/* SPDX-License-Identifier: MIT */
/* The image of a commit as an OCI layout: for each platform its files in layers, on top of a base.
 */
#pragma once

#include "agent/package/oci-write.h"

/* What an image is made of where nothing says so. */
#define IMAGE_CONVENTION_FROM "dist"
#define IMAGE_CONVENTION_DOCKERFILE "Dockerfile"

/* A layer with a name is to stay the same while its files do, whatever commit they are of, so that
 * it is stored and sent once. So its files have this time, 1980-01-01, the first that every format
 * knows; those of the layer without a name have the commit's, which is what a web server tells
 * browsers. */
#define IMAGE_NAMED_LAYER_TIME ((int64_t)315532800)

typedef struct ImageRequest {
    int workspace_fd;
    const Json *package; /* of slipway.json, checked; NULL where it has none */
    const char *name;    /* of the service */
    const char *version;
    const char *commit;              /* NULL where there is none, as the next */
    const char *repository;          /* an annotation of the layout, no part of the image */
    int64_t committed_at;            /* seconds */
    bool is_whole;                   /* the base is the whole image: no files are looked for */
    int base_fd;                     /* where the base's layout is; -1: there is no base */
    const char *base_layout;         /* its directory there; or */
    const char *const *base_layouts; /* one for each platform */
    const char *base_name;           /* what it is called: "./base", "registry.example/base:1" */
    const char *base_digest;         /* NULL: the layout's own */
    const LayerMemory *memory;       /* or NULL */
} ImageRequest;

typedef struct Image {
    OciLayout layout;
    const char *base_name;             /* of the request: borrowed from there; NULL: none */
    char base_digest[OCI_DIGEST_SIZE]; /* "" where there is none */
} Image;

void image_done(Image *image);
#define _cleanup_image_ _cleanup_(image_done)

/* Writes the fresh directory `name` of `parent_fd`. The digest depends on files, recipe, name,
 * commit, time and base only. */
int image_build(const ImageRequest *request, int parent_fd, const char *name, Image *ret,
                Error *err) _must_check_;
