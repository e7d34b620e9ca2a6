/* SPDX-License-Identifier: MIT */
/* A bundle: the signed statements about a release, one envelope on a line (release.intoto.jsonl),
 * with who signed each. Reading one decides nothing: which statements have to be there is a matter
 * of the environment that is deployed to. */
#pragma once

#include "protocol/evidence/dsse.h"
#include "protocol/evidence/statement.h"

#define BUNDLE_FILE "release.intoto.jsonl"
#define BUNDLE_MAX ((size_t)16 << 20)
#define BUNDLE_ENTRIES_MAX 256

/* What a key may say. A host names them in agent.json. */
typedef enum KeyRole {
    KEY_ROLE_BUILDER = 1 << 0,  /* provenance */
    KEY_ROLE_TESTER = 1 << 1,   /* test results */
    KEY_ROLE_STAGER = 1 << 2,   /* deployments and verifications */
    KEY_ROLE_APPROVER = 1 << 3, /* approvals */
} KeyRole;

/* The role that a kind of statement needs, and a role's name. */
KeyRole bundle_role_for(StatementKind kind);
const char *bundle_role_name(KeyRole role);
int bundle_role_from_name(const char *name, KeyRole *ret) _must_check_;

typedef struct TrustedKey {
    const char *name; /* as the host calls it; borrowed */
    Key *key;         /* borrowed */
    unsigned roles;   /* of KeyRole */
} TrustedKey;

typedef enum BundleTrust {
    BUNDLE_TRUSTED,    /* signed by a key with the right role */
    BUNDLE_UNTRUSTED,  /* no known key signed it, and it does not say so */
    BUNDLE_ALTERED,    /* it says that a known key signed it, and none did: bytes have changed */
    BUNDLE_WRONG_ROLE, /* a known key signed what it may not say */
} BundleTrust;

typedef struct BundleEntry {
    unsigned line; /* from 1 */
    BundleTrust trust;
    const TrustedKey *signer; /* NULL if untrusted; if altered, the one that is named; borrowed */
    char *claimed_key_id;     /* what the envelope names; may be NULL */
    Statement statement;      /* empty, because not read, if untrusted or altered */
    char *sha256;             /* of the line, as 64 hexadecimal digits */
} BundleEntry;

typedef struct Bundle {
    BundleEntry *entries;
    size_t count;
} Bundle;

void bundle_done(Bundle *bundle);
#define _cleanup_bundle_ _cleanup_(bundle_done)

/* Reads envelopes from text; adds to what `bundle` has, leaving out a line that is there already.
 * -EINVAL names the line: one broken envelope makes the whole text worthless. */
int bundle_add(Bundle *bundle, const char *text, size_t n, const TrustedKey *keys, size_t n_keys,
               Error *err) _must_check_;
