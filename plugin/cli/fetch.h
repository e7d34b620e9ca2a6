/* SPDX-License-Identifier: MIT */
/* Artifacts of a call into a directory: fetched, checked, unpacked. */
#pragma once

#include "plugin/cli/session.h"

/* `artifacts` as in artifacts/list; `name` NULL: all. A tar.zst becomes the directory
 * `directory`/NAME unless `no_unpack`; anything else the file of that name. 0 or an exit code. */
int fetch_artifacts(Session *s, const SlipwayJson *artifacts, const char *name,
                    const char *directory, bool no_unpack);
