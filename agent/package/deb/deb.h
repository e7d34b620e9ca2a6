/* SPDX-License-Identifier: MIT */
/* A Debian package, written without dpkg: ar around debian-binary, control.tar and data.tar
 * (deb(5)). The same commit gives the same bytes, whenever and wherever it is packaged. */
#pragma once

#include "protocol/artifact/archive.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

typedef struct DebRequest {
    int workspace_fd;
    const Json *package;  /* `package` of slipway.json, checked, with its `deb` */
    const char *name;     /* of the service */
    const char *version;  /* as git describes it */
    const char *commit;   /* NULL: not known */
    int64_t committed_at; /* seconds; the time of everything */
} DebRequest;

typedef struct DebPackage {
    char *name, *version, *architecture;
    char *file_name;        /* NAME_VERSION_ARCHITECTURE.deb */
    char *control;          /* its fields: a stanza of `Packages` begins with them */
    ArchiveSummary summary; /* of the file: size and SHA-256 */
} DebPackage;

void deb_package_done(DebPackage *package);
#define _cleanup_deb_package_ _cleanup_(deb_package_done)

/* Writes the file into `directory_fd`, whole and synced when this returns; meanwhile files of other
 * names are there. -ENOENT, -EINVAL: with the pointer into slipway.json. */
int deb_build(const DebRequest *request, int directory_fd, DebPackage *ret,
              Error *err) _must_check_;
