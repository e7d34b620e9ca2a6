/* SPDX-License-Identifier: MIT */
/* Moments as Debian's files have them: RFC 2822, always in UTC and in English, whatever the locale.
 */
#pragma once

#include "protocol/base/buffer.h"

#include <stdint.h>

/* "Wed, 25 Nov 2026 13:00:00 +0000"; `zone` is "+0000" or "UTC". -ERANGE, -ENOMEM. */
int deb_date_append(Buffer *text, int64_t seconds, const char *zone) _must_check_;

/* Reads one of those zones. -EINVAL. */
int deb_date_parse(const char *text, int64_t *ret_seconds) _must_check_;
