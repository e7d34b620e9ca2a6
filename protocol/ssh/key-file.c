/* SPDX-License-Identifier: MIT */
/* OpenSSH's format (PROTOCOL.key in its source): "openssh-key-v1\0", then the names of cipher and
 * key derivation, its options, the number of keys, the public key, and the encrypted rest. Each is
 * a length of four bytes and so many bytes, but for the number. */
#include "protocol/ssh/key-file.h"

#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "openssh-key-v1"
#define SPACE " \t\r\n"

/* Bytes that are still to be read. */
typedef struct Wire {
    const char *data;
    size_t n;
} Wire;

static bool take_u32(Wire *wire, uint32_t *ret)
{
    const unsigned char *d = (const unsigned char *)wire->data;

    if (wire->n < 4) {
        return false;
    }
    *ret = (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
    wire->data += 4;
    wire->n -= 4;
    return true;
}

static bool take_string(Wire *wire, Wire *ret)
{
    uint32_t n;

    if (!take_u32(wire, &n) || n > wire->n) {
        return false;
    }
    *ret = (Wire){.data = wire->data, .n = n};
    wire->data += n;
    wire->n -= n;
    return true;
}

static bool equals(const Wire *wire, const char *text)
{
    return wire->n == strlen(text) && memcmp(wire->data, text, wire->n) == 0;
}

bool key_file_blob_type(const char *blob, size_t n, char type[static 64])
{
    Wire wire = {.data = blob, .n = n}, name;

    if (!take_string(&wire, &name) || name.n == 0 || name.n >= 64) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (!isgraph((unsigned char)name.data[i])) {
            return false;
        }
    }
    memcpy(type, name.data, name.n);
    type[name.n] = '\0';
    return true;
}

static int set_blob(KeyFile *key, const char *data, size_t n, Error *err)
{
    buffer_clear(&key->blob);
    if (!key_file_blob_type(data, n, key->type)) {
        return error_set(err, -EINVAL, "its public key has no type");
    }
    return buffer_append(&key->blob, data, n) == 0 ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int parse_openssh(const Buffer *inside, KeyFile *key, Error *err)
{
    Wire wire = {.data = inside->data, .n = inside->len}, cipher, derivation, options, blob;
    uint32_t count;

    if (wire.n < sizeof(MAGIC) || memcmp(wire.data, MAGIC, sizeof(MAGIC)) != 0) {
        return error_set(err, -EINVAL, "it does not begin as a key of OpenSSH does");
    }
    wire.data += sizeof(MAGIC); /* its NUL is part of it */
    wire.n -= sizeof(MAGIC);
    if (!take_string(&wire, &cipher) || !take_string(&wire, &derivation) ||
        !take_string(&wire, &options) || !take_u32(&wire, &count) || !take_string(&wire, &blob) ||
        count < 1) {
        return error_set(err, -EINVAL, "it is cut short");
    }
    key->is_encrypted = !equals(&cipher, "none");
    return set_blob(key, blob.data, blob.n, err);
}

/* Base64 without its line feeds. */
static int decode_body(const char *text, size_t n, Buffer *ret, Error *err)
{
    _cleanup_buffer_ Buffer joined = {0};

    for (size_t i = 0; i < n; i++) {
        if (!strchr(SPACE, text[i]) && buffer_append(&joined, &text[i], 1) < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
    }
    return text_decode_base64(ret, buffer_text(&joined), joined.len) == 0
               ? 0
               : error_set(err, -EINVAL, "it is damaged: what is in it is not base64");
}

/* The label of "-----BEGIN LABEL-----", and what stands between that line and the one of END. */
static bool find_body(const char *text, const char **ret_label, size_t *ret_label_len,
                      const char **ret_body, size_t *ret_body_len)
{
    const char *label = strstr(text, "-----BEGIN "), *label_end, *end;

    if (!label) {
        return false;
    }
    label += strlen("-----BEGIN ");
    label_end = strstr(label, "-----");
    end = label_end ? strstr(label_end + 5, "-----END ") : NULL;
    if (!end) {
        return false;
    }
    *ret_label = label;
    *ret_label_len = (size_t)(label_end - label);
    *ret_body = label_end + 5;
    *ret_body_len = (size_t)(end - *ret_body);
    return true;
}

static int parse_private(const char *text, KeyFile *key, Error *err)
{
    static const struct {
        const char *label;
        const char *type;
    } labels[] = {
        {"RSA PRIVATE KEY", "ssh-rsa"}, {"DSA PRIVATE KEY", "ssh-dss"},
        {"EC PRIVATE KEY", ""},         {"PRIVATE KEY", ""},
        {"ENCRYPTED PRIVATE KEY", ""},
    };
    _cleanup_buffer_ Buffer inside = {0};
    const char *label, *body;
    size_t label_len, body_len;

    if (!find_body(text, &label, &label_len, &body, &body_len)) {
        return error_set(err, -EINVAL, "it is no private key");
    }
    if (strncmp(label, "OPENSSH PRIVATE KEY", label_len) == 0) {
        int r = decode_body(body, body_len, &inside, err);

        return r == 0 ? parse_openssh(&inside, key, err) : r;
    }
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
        if (strlen(labels[i].label) == label_len &&
            memcmp(labels[i].label, label, label_len) == 0) {
            const char *mark = strstr(body, "ENCRYPTED");

            (void)snprintf(key->type, sizeof(key->type), "%s", labels[i].type);
            key->is_encrypted =
                *label == 'E' && label[1] == 'N' ? true : mark && mark < body + body_len;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "it is no private key");
}

/* "TYPE BASE64 COMMENT" */
static int parse_public(const char *text, KeyFile *key, Error *err)
{
    _cleanup_buffer_ Buffer blob = {0};
    const char *type = text + strspn(text, SPACE), *body;
    size_t type_len = strcspn(type, SPACE);
    int r;

    body = type + type_len + strspn(type + type_len, SPACE);
    r = decode_body(body, strcspn(body, SPACE), &blob, err);
    r = r == 0 ? set_blob(key, blob.data, blob.len, err) : r;
    if (r == 0 && (strlen(key->type) != type_len || memcmp(key->type, type, type_len) != 0)) {
        r = error_set(err, -EINVAL, "it says another type than the key in it");
    }
    key->is_public = true;
    return r;
}

int key_file_parse(const char *text, size_t n, KeyFile *ret, Error *err)
{
    _cleanup_free_ char *copy = strndup(text, n);
    KeyFile key = {.blob = BUFFER_INIT(KEY_FILE_SIZE_MAX)};
    int r;

    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (strstr(copy, "-----BEGIN ")) {
        r = parse_private(copy, &key, err);
    } else {
        r = parse_public(copy, &key, err);
        r = r == -EINVAL ? error_set(err, r, "it is neither a private nor a public key") : r;
    }
    if (r < 0) {
        key_file_done(&key);
        return r;
    }
    *ret = key;
    return 0;
}

/* A PEM file has its public part inside; the one beside it is as good, and is what ssh reads. */
static void read_public_beside(const char *path, KeyFile *key)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(KEY_FILE_SIZE_MAX);
    _cleanup_key_file_ KeyFile beside = {0};
    _cleanup_free_ char *name = NULL;

    if (asprintf(&name, "%s.pub", path) < 0) {
        name = NULL;
        return;
    }
    if (file_read(AT_FDCWD, name, &text, NULL) < 0 ||
        key_file_parse(buffer_text(&text), text.len, &beside, NULL) < 0 || !beside.is_public) {
        return;
    }
    memcpy(key->type, beside.type, sizeof(key->type));
    buffer_done(&key->blob);
    key->blob = beside.blob;
    beside.blob = (Buffer){0};
}

int key_file_read(const char *path, KeyFile *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(KEY_FILE_SIZE_MAX);
    int r = file_read(AT_FDCWD, path, &text, err);

    if (r < 0) {
        return r;
    }
    r = key_file_parse(buffer_text(&text), text.len, ret, err);
    explicit_bzero(text.data, text.len);
    if (r < 0) {
        return error_wrap(err, "'%s'", path);
    }
    if (ret->blob.len == 0) {
        read_public_beside(path, ret);
    }
    return 0;
}

void key_file_done(KeyFile *key)
{
    buffer_done(&key->blob);
    *key = (KeyFile){0};
}
