/* SPDX-License-Identifier: MIT */
/* One registry: its connection, what it wants to see, and when something is asked again.
 *
 * Whatever may be repeated is repeated here, with pauses that double and differ (so that many
 * clients do not come back at once), or as long as Retry-After says: no answer, 429, and 5xx. A
 * login that is asked for is brought. Other answers are the caller's. */
#pragma once

#include "agent/http/http.h"
#include "agent/package/registry/registry.h"

#include <stdbool.h>

typedef struct RegistryHost RegistryHost;

/* `options` is borrowed. `host` as a reference has it. */
int registry_host_new(const RegistryOptions *options, const char *host, RegistryHost **ret,
                      Error *err) _must_check_;
RegistryHost *registry_host_free(RegistryHost *host);
DEFINE_CLEANUP(RegistryHost, registry_host_free)

const char *registry_host_name(const RegistryHost *host);
const RegistryOptions *registry_host_options(const RegistryHost *host);

typedef struct RegistryCall {
    const char *method; /* NULL: GET */
    const char *repository;
    const char *path;           /* after "/v2/REPOSITORY/"; or */
    const char *url;            /* what a Location said, as it came */
    const char *header;         /* one of the request, "Name: value"; NULL */
    const HttpContent *content; /* NULL: none */
    HttpSink sink;              /* of a success; NULL: the body is kept */
    HttpProgress progress;
    void *userdata;   /* of both */
    size_t max_bytes; /* of the body; 0: HTTP_BODY_MAX */
    const char *from; /* another repository that is read from (a mount); NULL */
    bool may_write;   /* the scope that is asked for: push besides pull */
    bool is_once;     /* not repeated: REGISTRY_AGAIN is the caller's */
} RegistryCall;

/* It may go better another time, and `err` says what went wrong; only with is_once. */
#define REGISTRY_AGAIN 1

/* 0: an answer, but none of 401, 403, 429, 5xx. -EACCES: refused. -EIO: failed every time. What
 * the sink answered. */
int registry_host_call(RegistryHost *host, const RegistryCall *call, HttpResponse *ret,
                       Error *err) _must_check_;

/* Before attempt 1, 2, …: waits, or says that there were enough (false). `err` is why the one
 * before failed, and is emptied where it goes on. `retry_after_ms` may be 0. */
bool registry_host_pause(RegistryHost *host, unsigned attempt, int64_t retry_after_ms, Error *err);

/* Sets `err` to what an answer that is not the hoped one means: "pushing x: status 400:
 * DIGEST_INVALID: …". Returns `code`. */
int registry_host_complain(const RegistryHost *host, const HttpResponse *response, int code,
                           const char *what, Error *err);

/* Tells whoever asked for it. */
void registry_host_tell(const RegistryHost *host, RegistryStage stage, const char *digest,
                        int64_t done, int64_t total);
