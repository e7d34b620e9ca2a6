/* SPDX-License-Identifier: MIT */
/* CACHE/blobs: what was made or fetched once, found again by what it was made of. `KEY.json` says
 * what came of the key, `HEX.blob` are its bytes. Any number of processes use it at a time;
 * whatever is missing or damaged is not there.
 *
 * Nothing is synced to disk, because everything can be made again. So what was kept before the last
 * boot is checked against its digest before it is believed. */
#pragma once

#include "protocol/artifact/digest.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdint.h>

/* What blob_cache_clean leaves: this much, and nothing that nobody used for so long. */
#define BLOB_CACHE_BYTES_MAX ((int64_t)10 << 30)
#define BLOB_CACHE_DAYS 30

typedef struct BlobCache {
    int fd;
} BlobCache;

#define BLOB_CACHE_INIT ((BlobCache){.fd = -1})

/* One file under two names where that can be, else a copy. What is there already stays: blobs are
 * named by their digests. -errno. */
int blob_link(int from_dir, const char *from, int to_dir, const char *to) _must_check_;
/* The same of an open file. */
int blob_link_fd(int fd, int to_dir, const char *to) _must_check_;

/* Makes the directory where it is missing. */
int blob_cache_open(const char *cache_directory, BlobCache *ret, Error *err) _must_check_;
void blob_cache_done(BlobCache *cache);
#define _cleanup_blob_cache_ _cleanup_(blob_cache_done)

/* 1: what was kept under `key` (64 hexadecimal digits) is now `name` of `dir_fd`, its record the
 * caller's. 0: nothing is. `name` NULL: the blob's own 64 digits. */
int blob_cache_find(const BlobCache *cache, const char *key, int dir_fd, const char *name,
                    Json **ret_record, Error *err) _must_check_;

/* Keeps `name` of `dir_fd`, which nobody changes any more. The record has the blob's `sha256` (64
 * digits) and `size`, and whatever else the caller wants to find again. */
int blob_cache_add(const BlobCache *cache, const char *key, const Json *record, int dir_fd,
                   const char *name, Error *err) _must_check_;

/* Forgets what was not used since `now_us` less the days above, then the oldest until `max_bytes`
 * are left. */
int blob_cache_clean(const BlobCache *cache, int64_t now_us, int64_t max_bytes,
                     Error *err) _must_check_;
