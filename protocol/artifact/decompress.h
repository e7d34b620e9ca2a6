/* SPDX-License-Identifier: MIT */
/* Bytes that somebody else compressed: gzip, xz, zstd, bzip2, lz4, or not at all, whatever their
 * beginning says. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

/* Appends what they were. -ENOBUFS: more than `out` takes. -EBADMSG: damaged or cut. On failure
 * `out` is as it was. */
int decompress_bytes(const void *data, size_t n, Buffer *out, Error *err) _must_check_;
