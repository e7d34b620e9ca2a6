/* SPDX-License-Identifier: MIT */
/* One blob into a repository: not at all if it is there, from another repository of the registry if
 * that has it, else by an upload that goes on where it broke. */
#pragma once

#include "agent/package/registry/manifest.h"

typedef struct BlobPush {
    const char *repository;
    Descriptor blob;
    const HttpContent *content;    /* its bytes, checked; NULL: nobody here has them */
    const char *const *mount_from; /* repositories, up to a NULL; NULL: none */
} BlobPush;

/* -ENOENT: the registry does not have it, and neither do we. -EBADMSG: the registry says something
 * of it that cannot be. */
int blob_push(RegistryHost *host, const BlobPush *push, Error *err) _must_check_;

/* What the header Range of an upload ("0-499", RFC 9110 has other ones) says to be there: 500; of
 * "0-0", which an empty upload has too, nothing. -EINVAL: it says something else. */
int blob_push_parse_range(const char *text, int64_t *ret_received) _must_check_;
