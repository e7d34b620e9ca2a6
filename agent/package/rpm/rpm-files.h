/* SPDX-License-Identifier: MIT */
/* The files of an rpm, with what its `files` say about each, and the part of the header that lists
 * them. */
#pragma once

#include "agent/package/file-map.h"
#include "agent/package/rpm/rpm-header.h"
#include "protocol/artifact/digest.h"

#include <stdint.h>

/* The payload's own numbers have 32 bits, and with larger ones old readers fail in odd ways. */
#define RPM_CONTENT_BYTES_MAX ((int64_t)0xffffffff)

typedef struct RpmFile {
    const FileMapEntry *entry;               /* borrowed from the map */
    const char *user, *group, *capabilities; /* borrowed from the elements */
    uint32_t flags;
    uint16_t mode; /* with its type */
    uint32_t size_bytes;
    char digest[DIGEST_HEX_SIZE]; /* "" of all but regular files; known once they were packed */
    char *link_target;
} RpmFile;

typedef struct RpmFiles {
    FileMap map;
    RpmFile *list; /* in the order of the package; directories of the system are left out */
    size_t count;
    bool has_config, has_capabilities;
} RpmFiles;

/* `elements` is a `files` array of slipway.json, which stands there at `pointer`; it has to live as
 * long as what is returned. Refused, by name: names that are not UTF-8 or have control characters,
 * content beyond RPM_CONTENT_BYTES_MAX, capabilities that nobody named. */
int rpm_files_find(int workspace_fd, const Json *elements, const char *pointer, RpmFiles *ret,
                   Error *err) _must_check_;
void rpm_files_done(RpmFiles *files);
#define _cleanup_rpm_files_ _cleanup_(rpm_files_done)

/* `time` is every file's. Digests have to be there. -ENOMEM, -ENOBUFS. */
int rpm_files_write(const RpmFiles *files, uint32_t time, RpmHeader *header) _must_check_;
