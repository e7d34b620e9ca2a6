/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/key.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct Key {
    EVP_PKEY *pkey;
    bool is_private;
    char id[KEY_ID_SIZE];
};

/* What libcrypto says last, and its queue is empty after. */
static int crypto_error(Error *err, const char *what)
{
    char text[256] = "";
    unsigned long code = ERR_peek_last_error();

    if (code) {
        ERR_error_string_n(code, text, sizeof(text));
    }
    ERR_clear_error();
    return error_set(err, -EIO, "%s%s%s", what, *text ? ": " : "", text);
}

static int set_id(Key *key, Error *err)
{
    unsigned char digest[SHA256_DIGEST_LENGTH], *der = NULL;
    int len = i2d_PUBKEY(key->pkey, &der);

    if (len <= 0) {
        return crypto_error(err, "cannot encode the public key");
    }
    SHA256(der, (size_t)len, digest);
    OPENSSL_free(der);
    for (size_t i = 0; i < sizeof(digest); i++) {
        (void)snprintf(key->id + 2 * i, 3, "%02x", digest[i]);
    }
    return 0;
}

/* Consumes `pkey`, also on failure. */
static int key_new_take(EVP_PKEY *pkey, bool is_private, Key **ret, Error *err)
{
    _cleanup_(key_freep) Key *key = calloc(1, sizeof(*key));
    int r;

    if (!key) {
        EVP_PKEY_free(pkey);
        return error_set(err, -ENOMEM, "out of memory");
    }
    key->pkey = pkey;
    key->is_private = is_private;
    if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519) {
        const char *name = EVP_PKEY_get0_type_name(pkey);

        return error_set(err, -EINVAL, "a key of the algorithm %s; Slipway takes Ed25519 only",
                         name ? name : "?");
    }
    r = set_id(key, err);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(key);
    return 0;
}

int key_generate(Key **ret, Error *err)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    return pkey ? key_new_take(pkey, true, ret, err) : crypto_error(err, "cannot make a key");
}

Key *key_free(Key *key)
{
    if (key) {
        EVP_PKEY_free(key->pkey);
        free(key);
    }
    return NULL;
}

/* No passphrase is ever asked for on a terminal that may not be there. */
static int no_passphrase(char *buf, int size, int is_writing, void *userdata)
{
    return -1;
}

static int check_private_mode(int dir_fd, const char *path, Error *err)
{
    struct stat st;

    if (fstatat(dir_fd, path, &st, 0) < 0) {
        return error_set_errno(err, -errno, "cannot read the key '%s'", path);
    }
    if (st.st_mode & 077) {
        return error_set(err, -EPERM,
                         "the private key '%s' may be read or written by others (mode %04o); "
                         "chmod 600 it, or make a new one if somebody may have read it",
                         path, (unsigned)st.st_mode & 07777);
    }
    return 0;
}

int key_read_private(int dir_fd, const char *path, Key **ret, Error *err)
{
    Buffer text = BUFFER_INIT(KEY_FILE_MAX);
    EVP_PKEY *pkey = NULL;
    BIO *bio;
    int r = check_private_mode(dir_fd, path, err);

    r = r == 0 ? file_read(dir_fd, path, &text, err) : r;
    if (r == 0) {
        bio = BIO_new_mem_buf(buffer_text(&text), (int)text.len);
        pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
        BIO_free(bio);
        ERR_clear_error();
        r = pkey ? key_new_take(pkey, true, ret, err)
                 : error_set(err, -EINVAL, "not a private key in PEM without a passphrase");
        r = r < 0 ? error_wrap(err, "'%s'", path) : 0;
    }
    if (text.data) {
        explicit_bzero(text.data, text.allocated);
    }
    buffer_done(&text);
    return r;
}

int key_parse_public(const char *pem, size_t n, Key **ret, Error *err)
{
    EVP_PKEY *pkey;
    BIO *bio;

    if (n > KEY_FILE_MAX) {
        return error_set(err, -EINVAL, "too long for a public key");
    }
    if (memmem(pem, n, "PRIVATE KEY", 11)) {
        return error_set(err, -EINVAL,
                         "this is a private key; the public one belongs here, and the private one "
                         "stays with who signs");
    }
    bio = BIO_new_mem_buf(pem, (int)n);
    pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return pkey ? key_new_take(pkey, false, ret, err)
                : error_set(err, -EINVAL, "not a public key in PEM (-----BEGIN PUBLIC KEY-----)");
}

int key_read_public(int dir_fd, const char *path, Key **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(KEY_FILE_MAX);
    int r = file_read(dir_fd, path, &text, err);

    if (r < 0) {
        return r;
    }
    r = key_parse_public(buffer_text(&text), text.len, ret, err);
    return r < 0 ? error_wrap(err, "'%s'", path) : 0;
}

int key_write_private(const Key *key, int dir_fd, const char *path, Error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    long len;
    int fd = -1, r;

    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(bio);
        return crypto_error(err, "cannot encode the key");
    }
    len = BIO_get_mem_data(bio, &pem);
    fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    r = fd < 0 ? -errno : fd_write_all(fd, pem, (size_t)len);
    if (r == 0 && fsync(fd) < 0) {
        r = -errno;
    }
    if (r < 0 && fd >= 0) {
        (void)unlinkat(dir_fd, path, 0);
    }
    (void)fd_close(fd);
    OPENSSL_cleanse(pem, (size_t)len);
    BIO_free(bio);
    return r == 0 ? 0 : error_set_errno(err, r, "cannot write the key '%s'", path);
}

int key_format_public(const Key *key, Buffer *out, Error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    long len;
    int r;

    if (!bio || PEM_write_bio_PUBKEY(bio, key->pkey) != 1) {
        BIO_free(bio);
        return crypto_error(err, "cannot encode the public key");
    }
    len = BIO_get_mem_data(bio, &pem);
    r = buffer_append(out, pem, (size_t)len);
    BIO_free(bio);
    return r < 0 ? error_set_errno(err, r, "cannot encode the public key") : 0;
}

const char *key_id(const Key *key)
{
    return key->id;
}

bool key_is_private(const Key *key)
{
    return key->is_private;
}

int key_sign(const Key *key, const void *data, size_t n,
             unsigned char ret_signature[static KEY_SIGNATURE_SIZE], Error *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t len = KEY_SIGNATURE_SIZE;
    bool is_good = context && EVP_DigestSignInit(context, NULL, NULL, NULL, key->pkey) == 1 &&
                   EVP_DigestSign(context, ret_signature, &len, data, n) == 1;

    EVP_MD_CTX_free(context);
    return is_good ? 0 : crypto_error(err, "cannot sign");
}

bool key_verifies(const Key *key, const void *data, size_t n, const void *signature,
                  size_t signature_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = signature_len == KEY_SIGNATURE_SIZE && context &&
                   EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->pkey) == 1 &&
                   EVP_DigestVerify(context, signature, signature_len, data, n) == 1;

    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_good;
}

int key_random(void *data, size_t n, Error *err)
{
    return RAND_bytes(data, (int)n) == 1 ? 0 : crypto_error(err, "no random bytes");
}
