/* SPDX-License-Identifier: MIT */
/* What the lock of a place says where no kernel of ours lets go of it: who has it, since when, and
 * which process that is. It runs out, and sooner where its holder is seen to be gone. */
#pragma once

#include "protocol/base/buffer.h"

#include <stdbool.h>

/* A holder renews it long before. */
#define PUBLISH_LEASE_US ((int64_t)10 * 60 * 1000000)

/* Appends the lock's text, as of now, for this process: the lines of publish_lock_format(), and one
 * by which another process of this host can see whether we live. */
int publish_lease_format(const char *holder, Buffer *ret) _must_check_;

/* Nobody has it any more. A text that says neither is one that somebody has. */
bool publish_lease_is_over(const char *text);
