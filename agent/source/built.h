/* SPDX-License-Identifier: MIT */
/* Of which commit the workspace was built last. What a build leaves is nothing that git knows, so
 * it stays when the workspace moves to another commit: without this a package of the new commit
 * would be made of the old one's files, and its provenance would be an untruth. The mark lies
 * beside the workspace, where no step can write. */
#pragma once

#include "protocol/base/error.h"

/* A build begins: until its end nobody knows what is there. */
int built_begin(const char *workspace, Error *err) _must_check_;

/* It succeeded. `commit` is NULL where the source has none; then nothing can be said later. */
int built_finish(const char *workspace, const char *commit, Error *err) _must_check_;

/* -ESTALE, with what mends it: the last build was of another commit, failed, or still runs. Without
 * any build, or without a commit, there is nothing to find wrong. */
int built_check(const char *workspace, const char *commit, Error *err) _must_check_;
