/* SPDX-License-Identifier: MIT */
/* What one registry wants to see before it does something, learned from its challenges: nothing, a
 * password (Basic), or a token for a scope that a token server gives (Bearer).
 * https://distribution.github.io/distribution/spec/auth/token/ */
#pragma once

#include "agent/http/http.h"
#include "agent/package/registry/credential.h"

#include <stdbool.h>

/* Tokens that are kept at once, one for each scope. */
#define AUTH_TOKENS_MAX 16

/* How to log in, when it is needed first. 1: there is a way, 0: none. */
typedef int (*AuthFindCredential)(void *userdata, Credential *ret, Error *err);

/* May the token server at this address be told passwords, and be asked at all? -EACCES with the
 * reason where not. */
typedef int (*AuthCheckRealm)(void *userdata, const char *realm, bool has_secret, Error *err);

typedef struct AuthOptions {
    Http *http;       /* for token servers */
    const char *host; /* as the reference has it, for messages */
    AuthFindCredential find_credential;
    AuthCheckRealm check_realm;
    void *userdata;
} AuthOptions;

typedef struct Auth Auth;

int auth_new(const AuthOptions *options, Auth **ret, Error *err) _must_check_;
Auth *auth_free(Auth *auth);
DEFINE_CLEANUP(Auth, auth_free)

/* Appends the value of the Authorization header for a request of this scope ("repository:R:pull");
 * nothing where none is known to be needed. */
int auth_append_header(Auth *auth, const char *scope, Buffer *value) _must_check_;

/* Learns from an answer 401 to a request of this scope, which asked `count` times before: 0 means
 * that the request can be made again. AUTH_AGAIN: the token server did not answer now, `err` says
 * why. -EACCES: there is no way in, and what to do about it. */
#define AUTH_AGAIN 1
int auth_learn(Auth *auth, const char *scope, const HttpResponse *response, unsigned count,
               Error *err) _must_check_;

/* Whose credentials were used; NULL: nobody's. */
const char *auth_user(const Auth *auth);
