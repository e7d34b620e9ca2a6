/* SPDX-License-Identifier: MIT */
/* Time. Intervals are monotonic milliseconds, moments are microseconds since the epoch, and on the
 * wire a moment is RFC 3339 in UTC with microseconds. */
#pragma once

#include "protocol/base/macro.h"

#include <stdint.h>

#define CLOCK_TEXT_SIZE sizeof("2026-01-01T00:00:00.000000Z")

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t clock_monotonic_ms(void);

/* Microseconds since the epoch. */
int64_t clock_wall_us(void);

/* Writes a moment as RFC 3339 UTC. `text` has CLOCK_TEXT_SIZE bytes. Returns `text`. */
const char *clock_format(int64_t wall_us, char text[static CLOCK_TEXT_SIZE]);

/* Reads what clock_format writes, strictly: the fraction may be absent or longer, the zone is "Z",
 * the day is one that exists, there is no leap second. -EINVAL. */
int clock_parse(const char *text, int64_t *ret_wall_us) _must_check_;
