/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/dsse.h"

#include "protocol/base/text.h"
#include "protocol/json.h"

#include <errno.h>
#include <string.h>

void dsse_envelope_done(DsseEnvelope *envelope)
{
    for (size_t i = 0; i < envelope->n_signatures; i++) {
        free(envelope->signatures[i].key_id);
    }
    free(envelope->payload_type);
    buffer_done(&envelope->payload);
    *envelope = (DsseEnvelope){0};
}

/* Pre-authentication encoding: "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body. */
static int append_pae(Buffer *out, const char *type, const void *payload, size_t n)
{
    int r = buffer_append_format(out, "DSSEv1 %zu %s %zu ", strlen(type), type, n);

    return r == 0 ? buffer_append(out, payload, n) : r;
}

int dsse_append_signed(Buffer *out, const Key *key, const void *payload, size_t n, Error *err)
{
    _cleanup_buffer_ Buffer pae = {0};
    unsigned char signature[KEY_SIGNATURE_SIZE];
    size_t start = out->len;
    int r = append_pae(&pae, DSSE_PAYLOAD_TYPE, payload, n);

    if (r < 0) {
        return error_set_errno(err, r, "cannot sign");
    }
    r = key_sign(key, pae.data, pae.len, signature, err);
    if (r < 0) {
        return r;
    }
    r = buffer_append_text(out, "{\"payloadType\":\"" DSSE_PAYLOAD_TYPE "\",\"payload\":\"");
    r = r == 0 ? text_append_base64(out, payload, n) : r;
    r = r == 0 ? buffer_append_format(out, "\",\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"",
                                      key_id(key))
               : r;
    r = r == 0 ? text_append_base64(out, signature, sizeof(signature)) : r;
    r = r == 0 ? buffer_append_text(out, "\"}]}\n") : r;
    if (r == 0 && out->len - start > DSSE_ENVELOPE_MAX) {
        r = -EMSGSIZE;
    }
    if (r < 0) {
        buffer_truncate(out, start);
        return error_set_errno(err, r, "cannot write the signed statement");
    }
    return 0;
}

/* Every member has to be one of `allowed`, which ends with NULL, and a text. */
static int check_members(const Json *object, const char *what, const char *const *allowed,
                         Error *err)
{
    for (JsonMember m = {0}; json_next_member(object, &m);) {
        size_t i = 0;

        while (allowed[i] && strcmp(allowed[i], m.name) != 0) {
            i++;
        }
        if (!allowed[i]) {
            return error_set(err, -EINVAL, "%s has the unknown member \"%s\"", what, m.name);
        }
    }
    return 0;
}

static int decode(const Json *value, const char *what, Buffer *out, Error *err)
{
    const char *text = json_as_string(value);

    if (!text) {
        return error_set(err, -EINVAL, "%s is missing or no text", what);
    }
    if (text_decode_base64(out, text, json_as_string_len(value)) < 0) {
        return error_set(err, -EINVAL, "%s is not base64 as RFC 4648 section 4 has it", what);
    }
    return 0;
}

static int parse_signature(const Json *object, DsseEnvelope *ret, Error *err)
{
    static const char *const allowed[] = {"keyid", "sig", NULL};
    _cleanup_buffer_ Buffer bytes = {0};
    DsseSignature *signature = &ret->signatures[ret->n_signatures];
    const char *key_id = json_get_string(object, "keyid");
    int r = check_members(object, "a signature", allowed, err);

    r = r == 0 ? decode(json_get(object, "sig"), "\"sig\"", &bytes, err) : r;
    if (r < 0) {
        return r;
    }
    if (bytes.len != KEY_SIGNATURE_SIZE) {
        return error_set(err, -EINVAL,
                         "a signature of %zu bytes; Ed25519, the only algorithm here, has %d",
                         bytes.len, KEY_SIGNATURE_SIZE);
    }
    memcpy(signature->bytes, bytes.data, KEY_SIGNATURE_SIZE);
    signature->key_id = key_id ? strdup(key_id) : NULL;
    ret->n_signatures++;
    return key_id && !signature->key_id ? error_set(err, -ENOMEM, "out of memory") : 0;
}

static int parse_signatures(const Json *array, DsseEnvelope *ret, Error *err)
{
    size_t n = json_length(array);
    int r = 0;

    if (n == 0 || n > DSSE_SIGNATURES_MAX) {
        return error_set(err, -EINVAL, "\"signatures\" has to be an array of 1 to %d",
                         DSSE_SIGNATURES_MAX);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = parse_signature(json_at(array, i), ret, err);
    }
    return r;
}

static int parse_members(const Json *root, DsseEnvelope *ret, Error *err)
{
    static const char *const allowed[] = {"payloadType", "payload", "signatures", NULL};
    const char *type = json_get_string(root, "payloadType");
    int r;

    if (json_type_of(root) != JSON_OBJECT) {
        return error_set(err, -EINVAL, "an envelope is a JSON object");
    }
    r = check_members(root, "the envelope", allowed, err);
    if (r < 0) {
        return r;
    }
    if (!type || strcmp(type, DSSE_PAYLOAD_TYPE) != 0) {
        return error_set(err, -EINVAL, "the payload's type is '%s', not " DSSE_PAYLOAD_TYPE,
                         type ? type : "");
    }
    ret->payload_type = strdup(type);
    if (!ret->payload_type) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = decode(json_get(root, "payload"), "\"payload\"", &ret->payload, err);
    return r == 0 ? parse_signatures(json_get(root, "signatures"), ret, err) : r;
}

int dsse_parse(const char *line, size_t n, DsseEnvelope *ret, Error *err)
{
    _cleanup_json_ Json *root = NULL;
    int r;

    *ret = (DsseEnvelope){0};
    if (n > DSSE_ENVELOPE_MAX) {
        return error_set(err, -EINVAL, "an envelope of %zu bytes; at most %zu are taken", n,
                         DSSE_ENVELOPE_MAX);
    }
    r = json_parse_strict(line, n, &root, err);
    return r == 0 ? parse_members(root, ret, err) : r;
}

int dsse_find_signer(const DsseEnvelope *envelope, Key *const *keys, size_t n_keys, size_t *ret)
{
    _cleanup_buffer_ Buffer pae = {0};
    int r = append_pae(&pae, envelope->payload_type, buffer_text(&envelope->payload),
                       envelope->payload.len);

    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < n_keys; i++) {
        for (size_t s = 0; s < envelope->n_signatures; s++) {
            if (key_verifies(keys[i], pae.data, pae.len, envelope->signatures[s].bytes,
                             KEY_SIGNATURE_SIZE)) {
                *ret = i;
                return 0;
            }
        }
    }
    return -ENOKEY;
}
