/* SPDX-License-Identifier: MIT */
/* Which files of the workspace go where in the image: `package.files` of slipway.json, made into
 * the sorted entries of its layers, each with every directory that leads to them. */
#pragma once

#include "agent/package/layer/layer.h"
#include "protocol/json.h"

#include <stdbool.h>

/* A layer's part of the entries. */
typedef struct ImageLayer {
    const char *name; /* borrowed from the recipe; NULL: of the files that name none */
    size_t first, count;
} ImageLayer;

typedef struct ImageFiles {
    LayerEntry *entries; /* layer after layer, each sorted by `to` */
    size_t count;
    size_t allocated;
    ImageLayer *layers; /* in the order in which the recipe names them; none is empty */
    size_t n_layers;
} ImageFiles;

void image_files_done(ImageFiles *files);
#define _cleanup_image_files_ _cleanup_(image_files_done)

/* `files` is checked against slipway.schema.json. Of those that name a `platform` it takes the ones
 * that name this one. Modes are 0755 or 0644, by whether anybody may execute, unless the file says
 * otherwise; so a umask or a checkout makes no difference. -ENOENT: a `from` that matches nothing.
 * -EEXIST: two files for one place. -EINVAL: what an image cannot have, or only on purpose. */
int image_files_find(int workspace_fd, const Json *files, const char *platform, ImageFiles *ret,
                     Error *err) _must_check_;

/* Whether the image has an executable file there; `path` is absolute. */
bool image_files_has_executable(const ImageFiles *files, const char *path);
