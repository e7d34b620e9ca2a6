/* SPDX-License-Identifier: MIT */
/* The blobs and the index of an OCI image layout, as a registry fills and empties it.
 * https://github.com/opencontainers/image-spec/blob/main/image-layout.md */
#pragma once

#include "agent/package/registry/manifest.h"

#include <stdbool.h>

/* Makes an empty directory a layout; one that is a layout already stays as it is. -EBADMSG: it is
 * one of a version that nobody knows here. */
int layout_init(int layout_fd, Error *err) _must_check_;

/* 1: the blob is there and its bytes are what its name says; 0: it is not there, or not all of it.
 * The descriptor, at its start, is the caller's (ret_fd may be NULL). -EBADMSG: it was changed. */
int layout_open_blob(int layout_fd, const Descriptor *blob, int *ret_fd, Error *err) _must_check_;

/* Opens what there is of a blob for going on with it; *ret_size are there already. */
int layout_begin_blob(int layout_fd, const char *digest, int *ret_fd, int64_t *ret_size,
                      Error *err) _must_check_;
/* Names what was begun, once it is right; or takes it away. */
int layout_finish_blob(int layout_fd, const char *digest, int fd, Error *err) _must_check_;
void layout_drop_blob(int layout_fd, const char *digest);

int layout_read_manifest(int layout_fd, const Descriptor *descriptor, Manifest *ret,
                         Error *err) _must_check_;
int layout_write_manifest(int layout_fd, const Manifest *manifest, Error *err) _must_check_;

/* What index.json says of `digest` (NULL: of the only one that it has). Of an image that is named
 * by an index alone, the index's blobs are looked through. -ENOENT. */
int layout_find(int layout_fd, const char *digest, Descriptor *ret, Error *err) _must_check_;

/* Puts the manifest into index.json, under `name` ("org.opencontainers.image.ref.name"; NULL:
 * none), which is taken from whatever had it. */
int layout_name(int layout_fd, const Manifest *manifest, const char *name, Error *err) _must_check_;
