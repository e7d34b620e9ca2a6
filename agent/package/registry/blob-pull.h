/* SPDX-License-Identifier: MIT */
/* One blob out of a repository into an image layout: not at all if it is there, and from where an
 * earlier attempt broke, in this process or in one before. */
#pragma once

#include "agent/package/registry/manifest.h"

/* The bytes are checked while they come, and no more than there should be are taken. -ENOENT: the
 * registry does not have it. -EBADMSG: it gave other bytes. */
int blob_pull(RegistryHost *host, const char *repository, const Descriptor *blob, int layout_fd,
              Error *err) _must_check_;

/* A small one into memory, appended. */
int blob_pull_text(RegistryHost *host, const char *repository, const Descriptor *blob, Buffer *ret,
                   Error *err) _must_check_;
