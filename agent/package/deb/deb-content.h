/* SPDX-License-Identifier: MIT */
/* What a Debian package installs: the files of `package.deb.files`, its units, and what Debian
 * wants below /usr/share/doc. */
#pragma once

#include "agent/package/file-map.h"
#include "protocol/artifact/archive.h"
#include "protocol/base/buffer.h"

#include <stdint.h>

/* A file that is in no workspace. */
typedef struct DebGenerated {
    char *to; /* without a leading slash */
    Buffer bytes;
} DebGenerated;

#define DEB_GENERATED_MAX 2

typedef struct DebContent {
    Json *rules; /* of all of the files: the repository's, then ours */
    FileMap map;
    DebGenerated generated[DEB_GENERATED_MAX];
    size_t n_generated;
} DebContent;

typedef struct DebContentRequest {
    int workspace_fd;
    const Json *deb;   /* `package.deb`, checked against slipway.schema.json */
    const Json *files; /* what goes where, and where that stands in slipway.json */
    const char *files_pointer;
    const char *name;    /* of the package */
    const char *version; /* of the package */
    const char *source_version;
    const char *commit;   /* NULL: not known */
    int64_t committed_at; /* seconds */
} DebContentRequest;

/* Every mistake has its pointer: -ENOENT for what is not there, -EINVAL for what may not be. */
int deb_content_find(const DebContentRequest *request, DebContent *ret, Error *err) _must_check_;
void deb_content_done(DebContent *content);
#define _cleanup_deb_content_ _cleanup_(deb_content_done)

typedef struct DebData {
    Buffer md5sums;   /* of the control member of that name */
    Buffer conffiles; /* the same */
    int64_t installed_kib;
} DebData;

void deb_data_done(DebData *data);
#define _cleanup_deb_data_ _cleanup_(deb_data_done)

/* Writes data.tar to `out_fd`; `format` is one of ARCHIVE_GNUTAR_…. Every digest is of the very
 * bytes that are packed. */
int deb_content_write(const DebContentRequest *request, const DebContent *content,
                      ArchiveFormat format, int out_fd, DebData *ret, Error *err) _must_check_;
