/* SPDX-License-Identifier: MIT */
/* What an image says of itself: `config` of the image configuration, from what slipway.json says
 * under `package`, on top of what its base says. As in a Dockerfile, variables, labels and ports
 * come together, and an entrypoint takes the base's arguments away. */
#pragma once

#include "agent/package/image-files.h"
#include "agent/package/oci-read.h"
#include "protocol/json.h"

/* Where files go that nothing is said about. */
#define IMAGE_CONVENTION_TO "/app"

/* https://specs.opencontainers.org/image-spec/annotations/ */
#define IMAGE_LABEL "org.opencontainers.image."

typedef struct ImageConfigRequest {
    const Json *package; /* of slipway.json, checked; NULL where it has none */
    const char *name;    /* of the service */
    const char *commit;  /* or NULL */
    int64_t committed_at;
    const ImageFiles *files; /* NULL: the base is the whole image, as a Dockerfile made it */
    const OciImage *base;    /* or NULL */
} ImageConfigRequest;

/* Only what is the commit's own, so that its digest does not depend on where it was found. -ENOMEM.
 */
int image_config_new(const ImageConfigRequest *request, Json **ret) _must_check_;
