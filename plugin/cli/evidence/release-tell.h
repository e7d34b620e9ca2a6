/* SPDX-License-Identifier: MIT */
/* One statement in a sentence, for people. */
#pragma once

#include "plugin/include/slipway.h"

/* What an entry of a bundle (slipway_bundle_read) says, trusted or not; nothing in it commands a
 * terminal. To free(); NULL when memory is out. */
char *release_tell(const SlipwayJson *entry);
