/* SPDX-License-Identifier: MIT */
/* Ed25519 keys (RFC 8032), by libcrypto; the only file of this room that includes it.
 *
 * Files are what `openssl pkey` reads and writes: PKCS#8 PEM for a private key (RFC 8410), its
 * SubjectPublicKeyInfo PEM for the public one. A key's id is the SHA-256 of that
 * SubjectPublicKeyInfo (DER) as 64 lower-case hexadecimal digits; it is a name and a hint, never a
 * proof. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>

#define KEY_ID_SIZE 65 /* with the NUL */
#define KEY_SIGNATURE_SIZE 64
/* A PEM file of an Ed25519 key has 119 bytes; anything much longer is something else. */
#define KEY_FILE_MAX ((size_t)16 << 10)

typedef struct Key Key;

/* A new private key; the caller's. */
int key_generate(Key **ret, Error *err) _must_check_;

/* From a PEM file below `dir_fd` (or AT_FDCWD). -EPERM: somebody else may read it. -EINVAL: no
 * Ed25519 private key (another algorithm is named). */
int key_read_private(int dir_fd, const char *path, Key **ret, Error *err) _must_check_;

/* A public key from PEM text. -EINVAL. A private key is refused: it should not be there. */
int key_parse_public(const char *pem, size_t n, Key **ret, Error *err) _must_check_;

/* The same from a file. */
int key_read_public(int dir_fd, const char *path, Key **ret, Error *err) _must_check_;

Key *key_free(Key *key);
DEFINE_CLEANUP(Key, key_free)

/* Writes the private key to the new file `path` (mode 0600, synced). -EEXIST. */
int key_write_private(const Key *key, int dir_fd, const char *path, Error *err) _must_check_;

/* Appends the public key as PEM. */
int key_format_public(const Key *key, Buffer *out, Error *err) _must_check_;

/* Borrowed from the key. */
const char *key_id(const Key *key);
bool key_is_private(const Key *key);

int key_sign(const Key *key, const void *data, size_t n,
             unsigned char ret_signature[static KEY_SIGNATURE_SIZE], Error *err) _must_check_;

/* Is this the key's signature of the data? Anything that is not is `false`, whatever the reason. */
bool key_verifies(const Key *key, const void *data, size_t n, const void *signature,
                  size_t signature_len);

/* `n` random bytes from the system, for nonces. */
int key_random(void *data, size_t n, Error *err) _must_check_;
