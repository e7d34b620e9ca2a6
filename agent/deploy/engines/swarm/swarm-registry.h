/* SPDX-License-Identifier: MIT */
/* How the nodes get an image that not everybody may pull: the manager is given the registry's
 * credentials with the service, as the header X-Registry-Auth. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

/* Wipes before it frees. */
void swarm_secret_done(Buffer *secret);
#define _cleanup_swarm_secret_ _cleanup_(swarm_secret_done)

/* Appends "X-Registry-Auth: …" for the registry of `image`; nothing where `file` (docker's
 * config.json; NULL: the one that docker would read) has no login for it. -EINVAL: `file` is not
 * there or cannot be understood, or a helper program failed; -ENOMEM. */
int swarm_registry_append_header(const char *file, const char *image, Buffer *header,
                                 Error *err) _must_check_;
