/* SPDX-License-Identifier: MIT */
/* Manifests and indexes, OCI's and docker's: to and from a registry, and what they are made of.
 * Their bytes are never changed: they are what the digest is of. */
#pragma once

#include "agent/package/registry/host.h"
#include "protocol/json.h"

#include <errno.h>
#include <stdbool.h>

/* A registry takes no larger one (docker's own takes 4 MiB). */
#define MANIFEST_MAX ((size_t)4 << 20)
#define MANIFEST_CHILDREN_MAX 256

typedef enum ManifestKind {
    MANIFEST_IMAGE, /* config and layers */
    MANIFEST_INDEX, /* manifests */
    _MANIFEST_KIND_MAX,
    _MANIFEST_KIND_INVALID = -EINVAL,
} ManifestKind;

/* _MANIFEST_KIND_INVALID: it is a blob of some kind. NULL is none. */
ManifestKind manifest_kind_of(const char *media_type);

/* Where in an image or index another blob is named. */
typedef struct Descriptor {
    char media_type[256];
    char digest[OCI_DIGEST_SIZE];
    int64_t size_bytes;
    bool is_elsewhere; /* it has `urls`: no registry need have it */
} Descriptor;

/* Checks what a descriptor has to have. -EBADMSG. */
int descriptor_read(const Json *json, Descriptor *ret, Error *err) _must_check_;

typedef struct Manifest {
    Buffer text; /* as it came */
    Descriptor self;
    ManifestKind kind;
    Json *json;
} Manifest;

void manifest_done(Manifest *manifest);
#define _cleanup_manifest_ _cleanup_(manifest_done)

/* Takes the text out of `text` and reads it: `media_type` (of the answer or the descriptor; may be
 * NULL) has to be what it says of itself. -EBADMSG. */
int manifest_parse_take(Buffer *text, const char *media_type, Manifest *ret,
                        Error *err) _must_check_;

/* Calls `each` for config and layers, or manifests, in that order; with what is not 0 it ends. */
typedef int (*ManifestEach)(void *userdata, const Descriptor *child, Error *err);
int manifest_for_each(const Manifest *manifest, ManifestEach each, void *userdata,
                      Error *err) _must_check_;

/* The image of an index for "os/architecture[/variant]". -ENOENT with what there is. */
int manifest_find_platform(const Manifest *index, const char *platform, Descriptor *ret,
                           Error *err) _must_check_;

/* By tag or digest; with a digest, the answer has to have it. -ENOENT: there is none. */
int manifest_get(RegistryHost *host, const char *repository, const char *target, Manifest *ret,
                 Error *err) _must_check_;

/* 1: it is there, and its digest (of the answer's header, or "" where that is missing). 0: it is
 * not. */
int manifest_head(RegistryHost *host, const char *repository, const char *target,
                  char ret_digest[static OCI_DIGEST_SIZE], Error *err) _must_check_;

/* Stores it under its digest or a tag. `ret_has_subject` (may be NULL): the registry knows
 * referrers and has made a note. -EBADMSG: the registry has understood another digest. */
int manifest_put(RegistryHost *host, const char *repository, const char *target,
                 const Manifest *manifest, bool *ret_has_subject, Error *err) _must_check_;
