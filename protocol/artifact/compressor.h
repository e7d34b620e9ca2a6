/* SPDX-License-Identifier: MIT */
/* A stream of bytes, compressed as it comes, by libarchive. The same bytes in give the same bytes
 * out: no times, no names, and nothing that depends on how many processors there are. */
#pragma once

#include "protocol/base/error.h"

typedef enum Compression {
    COMPRESSION_NONE,
    COMPRESSION_GZIP,
    COMPRESSION_XZ,
    COMPRESSION_ZSTD,
    _COMPRESSION_MAX,
    _COMPRESSION_INVALID = -1,
} Compression;

const char *compression_name(Compression kind); /* "none", "gzip", "xz", "zstd" */
Compression compression_from_name(const char *name);

/* What is used unless the caller has another; 0 for none. */
int compression_level(Compression kind);

typedef struct Compressor Compressor;

/* Takes compressed bytes. -errno ends the stream. */
typedef int (*CompressorSink)(void *userdata, const void *data, size_t n);

int compressor_new(Compression kind, CompressorSink sink, void *userdata, Compressor **ret,
                   Error *err) _must_check_;
Compressor *compressor_free(Compressor *c);
DEFINE_CLEANUP(Compressor, compressor_free)

int compressor_write(Compressor *c, const void *data, size_t n, Error *err) _must_check_;

/* Hands on what is still inside; after it the object can only be freed. */
int compressor_finish(Compressor *c, Error *err) _must_check_;
