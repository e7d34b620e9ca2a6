/* SPDX-License-Identifier: MIT */
/* Signed envelopes: DSSE (https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md,
 * version 1) with Ed25519, one envelope on a line.
 *
 *     {"payloadType":"application/vnd.in-toto+json","payload":"BASE64",
 *      "signatures":[{"keyid":"HEX","sig":"BASE64"}]}
 *
 * What is signed is PAE(payloadType, payload), so a signature holds for one type only. Nothing of a
 * payload is looked at before a signature over it was found good. */
#pragma once

#include "protocol/evidence/key.h"

#define DSSE_PAYLOAD_TYPE "application/vnd.in-toto+json"
/* A statement of ours has some kilobytes; the longest are lists of tests. */
#define DSSE_ENVELOPE_MAX ((size_t)1 << 20)
#define DSSE_SIGNATURES_MAX 16

typedef struct DsseSignature {
    char *key_id; /* as it was said; NULL where it was not */
    unsigned char bytes[KEY_SIGNATURE_SIZE];
} DsseSignature;

typedef struct DsseEnvelope {
    char *payload_type;
    Buffer payload; /* decoded */
    DsseSignature signatures[DSSE_SIGNATURES_MAX];
    size_t n_signatures;
} DsseEnvelope;

void dsse_envelope_done(DsseEnvelope *envelope);

/* Signs `payload` as DSSE_PAYLOAD_TYPE and appends the envelope as one line with its line feed. */
int dsse_append_signed(Buffer *out, const Key *key, const void *payload, size_t n,
                       Error *err) _must_check_;

/* Reads an envelope (a line without its line feed). -EINVAL: it is none, with what is wrong:
 * unknown or second members, another payload type, base64 that is not strict, a signature that
 * cannot be Ed25519. Checks no signature. `ret` is to be released in every case. */
int dsse_parse(const char *line, size_t n, DsseEnvelope *ret, Error *err) _must_check_;

/* The index of the first of `keys` that has signed the envelope; -ENOKEY if none has. */
int dsse_find_signer(const DsseEnvelope *envelope, Key *const *keys, size_t n_keys,
                     size_t *ret) _must_check_;
