/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4), by libcrypto; the only file of this room that includes it. Digests are
 * written as 64 lower-case hexadecimal digits. The older kinds are for the formats of others that
 * ask for them (md5sums of a deb, the headers of an rpm), never for trust. */
#pragma once

#include "protocol/base/error.h"

#include <stdint.h>

#define DIGEST_HEX_SIZE 65 /* with the NUL */

typedef enum DigestKind {
    DIGEST_SHA256,
    DIGEST_SHA1,
    DIGEST_MD5,
    _DIGEST_KIND_MAX,
} DigestKind;

typedef struct Digest Digest;

/* Of SHA-256. */
int digest_new(Digest **ret, Error *err) _must_check_;
int digest_new_kind(DigestKind kind, Digest **ret, Error *err) _must_check_;
Digest *digest_free(Digest *d);
DEFINE_CLEANUP(Digest, digest_free)

int digest_update(Digest *d, const void *data, size_t n) _must_check_;

/* The digest of all so far, of the length of its kind; the object can only be freed after. */
int digest_finish(Digest *d, char ret_hex[static DIGEST_HEX_SIZE]) _must_check_;

int digest_bytes(const void *data, size_t n, char ret_hex[static DIGEST_HEX_SIZE]) _must_check_;

/* Of a whole file from its current offset; *ret_size (may be NULL) gets the bytes read. */
int digest_fd(int fd, char ret_hex[static DIGEST_HEX_SIZE], int64_t *ret_size,
              Error *err) _must_check_;
