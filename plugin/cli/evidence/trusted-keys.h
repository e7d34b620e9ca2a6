/* SPDX-License-Identifier: MIT */
/* Whom somebody believes, out of the files that people have: an agent.json, a JSON file with its
 * `keys`, or what `slipway keys --json` prints. */
#pragma once

#include "plugin/include/slipway.h"

/* Adds the keys of the file to *keys (made where it is NULL, unless the file has none), which is as
 * `keys` of agent.json. *ret_root (may be NULL) gets all that the file says. -EINVAL: it is no JSON
 * object. *ret_error as in slipway.h. */
int trusted_keys_add_file(SlipwayJson **keys, const char *path, SlipwayJson **ret_root,
                          char **ret_error);
