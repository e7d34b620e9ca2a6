/* SPDX-License-Identifier: MIT */
/* A Dockerfile is obeyed, not read: docker builds it where a daemon answers, else buildah. What
 * comes of it becomes an image layout, and goes the way of the images that we make ourselves. */
#pragma once

#include "agent/runners/action.h"

typedef struct DockerfileBuilt {
    const char *tool; /* "docker", "buildah" */
    char *version;
} DockerfileBuilt;

void dockerfile_built_done(DockerfileBuilt *built);
#define _cleanup_dockerfile_built_ _cleanup_(dockerfile_built_done)

/* The Dockerfile that the image is to be built by: the one that slipway.json names, or ./Dockerfile
 * where it names neither files nor anything else to make the image of. NULL: none. */
const char *dockerfile_find(const Action *action);

/* Builds it with the workspace as context, and leaves the layout `layout` in the fresh directory
 * `directory` of the call. */
int dockerfile_build(const Action *action, const char *dockerfile, const char *directory,
                     const char *layout, DockerfileBuilt *ret, Error *err) _must_check_;
