/* SPDX-License-Identifier: MIT */
/* Which files of the workspace go where in the image: `package.files` of slipway.json, made into
 * the sorted entries of a layer, with every directory that leads to them. */
#pragma once

#include "agent/package/oci-write.h"

#include <stdbool.h>

typedef struct ImageFiles {
    OciEntry *entries;
    size_t count;
    size_t allocated;
} ImageFiles;

void image_files_done(ImageFiles *files);
#define _cleanup_image_files_ _cleanup_(image_files_done)

/* `files` is checked against slipway.schema.json. Modes are 0755 or 0644, by whether anybody may
 * execute, unless the file says otherwise; so a umask or a checkout makes no difference. -ENOENT: a
 * `from` that matches nothing. -EEXIST: two files for one place. */
int image_files_find(int workspace_fd, const Json *files, ImageFiles *ret, Error *err) _must_check_;

/* Whether the image has an executable file there; `path` is absolute. */
bool image_files_has_executable(const ImageFiles *files, const char *path);
