/* SPDX-License-Identifier: MIT */
/* What `docker save` and `buildah push docker-archive:` write, made an OCI image layout: the same
 * configuration, byte by byte, and the layers compressed as ours are. Old docker's archives, whose
 * layers may be links to each other, and new ones, which are layouts besides, are read the same
 * way. https://github.com/moby/docker-image-spec/blob/main/spec.md */
#pragma once

#include "agent/package/layer/layer.h"
#include "agent/package/layer/oci.h"

/* Of the unpacked archive `archive_fd`, which has exactly one image, makes the layout `name` of
 * `parent_fd`. Every layer has to be what the configuration says. `cache` may be NULL. -EBADMSG. */
int docker_archive_import(int archive_fd, const BlobCache *cache, int parent_fd, const char *name,
                          Error *err) _must_check_;
