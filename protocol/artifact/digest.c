/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/digest.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

/* Large enough that the calls cost nothing, small enough to stay in the second-level cache. */
#define DIGEST_READ_SIZE ((size_t)256 << 10)

static const struct {
    const char *name;
    const EVP_MD *(*algorithm)(void);
} kinds[_DIGEST_KIND_MAX] = {
    [DIGEST_SHA256] = {"SHA-256", EVP_sha256},
    [DIGEST_SHA1] = {"SHA-1", EVP_sha1},
    [DIGEST_MD5] = {"MD5", EVP_md5},
};

struct Digest {
    EVP_MD_CTX *context;
};

Digest *digest_free(Digest *d)
{
    if (d) {
        EVP_MD_CTX_free(d->context);
        free(d);
    }
    return NULL;
}

int digest_new_kind(DigestKind kind, Digest **ret, Error *err)
{
    _cleanup_(digest_freep) Digest *d = calloc(1, sizeof(*d));

    if (!d) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    d->context = EVP_MD_CTX_new();
    if (!d->context || EVP_DigestInit_ex(d->context, kinds[kind].algorithm(), NULL) != 1) {
        return error_set(err, -EIO, "libcrypto gives no %s", kinds[kind].name);
    }
    *ret = TAKE_PTR(d);
    return 0;
}

int digest_new(Digest **ret, Error *err)
{
    return digest_new_kind(DIGEST_SHA256, ret, err);
}

int digest_update(Digest *d, const void *data, size_t n)
{
    return EVP_DigestUpdate(d->context, data, n) == 1 ? 0 : -EIO;
}

int digest_finish(Digest *d, char ret_hex[static DIGEST_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned int size = 0;

    if (EVP_DigestFinal_ex(d->context, raw, &size) != 1 || 2 * size >= DIGEST_HEX_SIZE) {
        return -EIO;
    }
    for (size_t i = 0; i < size; i++) {
        ret_hex[2 * i] = digits[raw[i] >> 4];
        ret_hex[2 * i + 1] = digits[raw[i] & 0xf];
    }
    ret_hex[2 * size] = '\0';
    return 0;
}

int digest_bytes(const void *data, size_t n, char ret_hex[static DIGEST_HEX_SIZE])
{
    _cleanup_(digest_freep) Digest *d = NULL;
    int r = digest_new(&d, NULL);

    if (r == 0) {
        r = digest_update(d, data, n);
    }
    return r < 0 ? r : digest_finish(d, ret_hex);
}

int digest_fd(int fd, char ret_hex[static DIGEST_HEX_SIZE], int64_t *ret_size, Error *err)
{
    _cleanup_(digest_freep) Digest *d = NULL;
    _cleanup_free_ char *block = malloc(DIGEST_READ_SIZE);
    int64_t size = 0;
    ssize_t got;
    int r;

    if (!block) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = digest_new(&d, err);
    if (r < 0) {
        return r;
    }
    do {
        got = fd_read_full(fd, block, DIGEST_READ_SIZE);
        if (got < 0) {
            return error_set_errno(err, (int)got, "cannot read what is to be digested");
        }
        size += got;
        r = digest_update(d, block, (size_t)got);
        if (r < 0) {
            return error_set(err, r, "libcrypto cannot go on with a SHA-256");
        }
    } while (got == (ssize_t)DIGEST_READ_SIZE);
    r = digest_finish(d, ret_hex);
    if (r < 0) {
        return error_set(err, r, "libcrypto cannot finish a SHA-256");
    }
    if (ret_size) {
        *ret_size = size;
    }
    return 0;
}
