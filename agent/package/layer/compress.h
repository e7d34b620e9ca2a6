/* SPDX-License-Identifier: MIT */
/* Bytes in, compressed bytes out, the same on every machine: gzip, zstd, or as they are. */
#pragma once

#include "protocol/base/macro.h"

#include <errno.h>
#include <stdint.h>

typedef enum CompressKind {
    COMPRESS_GZIP,
    COMPRESS_ZSTD,
    COMPRESS_NONE,
    _COMPRESS_KIND_MAX,
    _COMPRESS_KIND_INVALID = -EINVAL,
} CompressKind;

/* What takes the output, piece by piece and in order: one call at a time, but from any thread.
 * -errno ends it. */
typedef int (*CompressSink)(const void *data, size_t n, void *userdata);

typedef struct Compress Compress;

/* "gzip"; _COMPRESS_KIND_INVALID for a name that is none. */
const char *compress_kind_name(CompressKind kind);
CompressKind compress_kind_of(const char *name);

/* What the output depends on besides the input: library, version, level. Borrowed. */
const char *compress_kind_version(CompressKind kind);

int compress_new(CompressKind kind, CompressSink sink, void *userdata, Compress **ret) _must_check_;
Compress *compress_free(Compress *c);
DEFINE_CLEANUP(Compress, compress_free)

int compress_write(Compress *c, const void *data, size_t n) _must_check_;
/* The sink has had everything when it returns. Nothing can be written after. */
int compress_finish(Compress *c) _must_check_;
