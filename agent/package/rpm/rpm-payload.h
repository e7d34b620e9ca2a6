/* SPDX-License-Identifier: MIT */
/* The content of an rpm: a cpio archive ("newc", with "./" before every name), compressed. Each
 * file is read once: what its digest was made of is what is in the archive. */
#pragma once

#include "agent/package/rpm/rpm-files.h"
#include "protocol/artifact/compressor.h"

typedef struct RpmPayload {
    int64_t size_bytes;           /* compressed */
    int64_t inside_bytes;         /* of the cpio archive */
    char sha256[DIGEST_HEX_SIZE]; /* compressed */
    char inside_sha256[DIGEST_HEX_SIZE];
} RpmPayload;

/* Writes to `out_fd` (borrowed) and fills in the files' digests. `time` is every file's. -EAGAIN: a
 * file changed its size meanwhile. */
int rpm_payload_write(int workspace_fd, RpmFiles *files, uint32_t time, Compression compression,
                      int out_fd, RpmPayload *ret, Error *err) _must_check_;
