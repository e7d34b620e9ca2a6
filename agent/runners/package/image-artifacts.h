/* SPDX-License-Identifier: MIT */
/* The artifacts of an action `package` that hold its image: `package`, which deploys take, and
 * where slipway.json asks for it `image.tar`, which other tools take. What was packed before from
 * the same files is not packed again. */
#pragma once

#include "agent/package/package.h"
#include "agent/runners/action.h"

/* Packs `staging_fd`, which package_build has filled. *ret_size_bytes is that of the artifact
 * `package`.
 */
int image_artifacts_make(Action *action, const Package *package, int staging_fd,
                         int64_t *ret_size_bytes, Error *err) _must_check_;

/* Tells what the image is made of. */
int image_artifacts_report(Action *action, const Package *package) _must_check_;
