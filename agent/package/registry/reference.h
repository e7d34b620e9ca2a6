/* SPDX-License-Identifier: MIT */
/* Names of images, as docker writes them: "[HOST[:PORT]/]PATH[:TAG][@DIGEST]".
 * https://github.com/distribution/reference/blob/main/reference.go has the grammar. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>

/* Host and repository together. */
#define REFERENCE_NAME_MAX 255
#define REFERENCE_TAG_MAX 128

#define REFERENCE_DOCKER_HOST "docker.io"

typedef struct Reference {
    char *host;       /* "docker.io" where the text has none */
    char *repository; /* "library/debian" for docker's own "debian" */
    char *tag;        /* "latest" where the text has neither tag nor digest; NULL: a digest alone */
    char *digest;     /* "sha256:…" or NULL */
} Reference;

void reference_done(Reference *reference);
#define _cleanup_reference_ _cleanup_(reference_done)

/* -EINVAL: it is none, and why. */
int reference_parse(const char *text, Reference *ret, Error *err) _must_check_;

/* Appends it whole: with host, repository, and what it has of tag and digest. */
int reference_append(const Reference *reference, Buffer *text) _must_check_;

/* What a registry is asked for: the digest, which cannot be moved, else the tag. */
const char *reference_target(const Reference *reference);

bool reference_is_tag(const char *text);
bool reference_is_repository(const char *text);
/* "sha256:" and 64 lower-case hexadecimal digits; NULL is none. */
bool reference_is_digest(const char *text);
