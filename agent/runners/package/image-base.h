/* SPDX-License-Identifier: MIT */
/* What an image is made on, brought here first: what a Dockerfile builds, or a base out of a
 * registry. */
#pragma once

#include "agent/package/package.h"
#include "agent/runners/action.h"
#include "agent/runners/package/dockerfile-build.h"

typedef struct ImageBase {
    PackageBase base;             /* for the request, once `is_there` */
    bool is_there;                /* otherwise the recipe says it all */
    DockerfileBuilt built;        /* its tool is NULL where there was no Dockerfile */
    char digest[OCI_DIGEST_SIZE]; /* of a base out of a registry */
    int call_fd;                  /* borrowed */
} ImageBase;

#define IMAGE_BASE_INIT ((ImageBase){.base = {.fd = -1}, .call_fd = -1})

/* Whatever it needs room for is in the directory `base.tmp` of the call, until image_base_done. */
int image_base_bring(Action *action, int call_fd, ImageBase *ret, Error *err) _must_check_;
void image_base_done(ImageBase *base);
#define _cleanup_image_base_ _cleanup_(image_base_done)

/* Tells who built it. */
int image_base_report(Action *action, const ImageBase *base) _must_check_;
