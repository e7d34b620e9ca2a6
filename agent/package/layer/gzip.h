/* SPDX-License-Identifier: MIT */
/* gzip by all processors: the bytes are cut into blocks of one size, each block becomes a gzip
 * member of its own (RFC 1952 section 2.2), and every reader of gzip takes members in a row for one
 * file. The cuts depend on nothing but the input, so the output is the same on one processor and on
 * many. */
#pragma once

#include "agent/package/layer/compress.h"

typedef struct Gzip Gzip;

/* What is in a cache's key, so that another version of the library is another key. */
#define GZIP_BLOCK_SIZE ((size_t)1 << 20)
const char *gzip_version(void);

/* `sink` gets the output in order, one call at a time, but from any thread. */
int gzip_new(CompressSink sink, void *userdata, Gzip **ret) _must_check_;
/* With threads at work it waits until they have ended. */
Gzip *gzip_free(Gzip *g);
DEFINE_CLEANUP(Gzip, gzip_free)

/* -errno, also of the sink, perhaps for what was written earlier. */
int gzip_write(Gzip *g, const void *data, size_t n) _must_check_;
/* The sink has had everything when it returns. Nothing can be written after. */
int gzip_finish(Gzip *g) _must_check_;
