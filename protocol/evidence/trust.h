/* SPDX-License-Identifier: MIT */
/* The keys that somebody believes, and what: `keys` of agent.json, README.md "Keys". */
#pragma once

#include "protocol/evidence/bundle.h"
#include "protocol/json.h"

/* More keys than any team has hosts. */
#define TRUST_KEYS_MAX 256

typedef struct Trust {
    TrustedKey *keys; /* names and keys are owned */
    size_t count;
} Trust;

void trust_done(Trust *trust);
#define _cleanup_trust_ _cleanup_(trust_done)

/* Adds `keys`, an object NAME → {"publicKey": PEM or "file": PATH, "roles": […]} (NULL: none).
 * -EINVAL names the key that is wrong. */
int trust_add(Trust *trust, const Json *keys, Error *err) _must_check_;

/* Adds one key, which is the trust's from now on, also on failure. */
int trust_add_key_take(Trust *trust, const char *name, Key *key, unsigned roles,
                       Error *err) _must_check_;
