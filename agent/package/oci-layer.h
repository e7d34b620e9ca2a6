/* SPDX-License-Identifier: MIT */
/* A layer on top of a root file system, whiteouts included: a file `.wh.NAME` takes NAME of the
 * layers below away, `.wh..wh..opq` all of its directory.
 * https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts */
#pragma once

#include "protocol/base/error.h"

/* Moves the tree `layer` into the tree `root`, both directories of `parent_fd` on one file system.
 * `layer` is gone after success; after a failure both hold something. -EBADMSG: a whiteout that
 * names nothing that may be removed. */
int oci_layer_merge(int parent_fd, const char *layer, const char *root, Error *err) _must_check_;
