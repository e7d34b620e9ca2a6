/* SPDX-License-Identifier: MIT */
/* The artifact that a connection reads. Its pieces are asked for one by one (`artifacts/read`), so
 * the file stays open from the first to the last instead of being looked up for each. */
#pragma once

#include "agent/calls/calls.h"
#include "protocol/base/buffer.h"

/* `maxChunkBytes` of the protocol. */
#define OPEN_ARTIFACT_PIECE_MAX ((size_t)256 << 10)

typedef struct OpenArtifact {
    char *name; /* CALL/NAME; NULL while none is open */
    int fd;
    int64_t size;
    char *piece; /* OPEN_ARTIFACT_PIECE_MAX bytes */
} OpenArtifact;

#define OPEN_ARTIFACT_EMPTY ((OpenArtifact){.fd = -1})

/* Opens "CALL/NAME" instead of what was open. Nothing to do where it is open already. -ENOENT. */
int open_artifact_switch(OpenArtifact *a, Calls *calls, const char *name, Error *err) _must_check_;

/* Appends up to `length` bytes from `offset` as base64; *ret_is_last: they reach the end. -EILSEQ:
 * the offset is beyond it. */
int open_artifact_append(const OpenArtifact *a, int64_t offset, size_t length, Buffer *out,
                         bool *ret_is_last, Error *err) _must_check_;

void open_artifact_done(OpenArtifact *a);
