/* SPDX-License-Identifier: MIT */
/* What proves to a registry who we are. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

typedef struct Credential {
    char *user;
    char *password;
    char *identity_token; /* changed for a token at the token server; instead of a password */
    char *registry_token; /* is a token already */
} Credential;

/* Wipes before it frees. */
void credential_done(Credential *credential);
#define _cleanup_credential_ _cleanup_(credential_done)

/* Reads "user:password" in base64, as docker's configuration has it. -EINVAL. */
int credential_from_base64(const char *text, Credential *ret) _must_check_;

/* Appends "Basic …", the value of an Authorization header. */
int credential_append_basic(const Credential *credential, Buffer *value) _must_check_;

/* Asks the program `docker-credential-NAME`, which is looked up in PATH, for the server's. 1: there
 * is one. 0: it knows none. `server` as docker names it. */
int credential_from_helper(const char *name, const char *server, Credential *ret,
                           Error *err) _must_check_;
