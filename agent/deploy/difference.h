/* SPDX-License-Identifier: MIT */
/* What differs between two JSON values, for people: one line for each place, by its pointer. */
#pragma once

#include "protocol/json.h"

/* Appends "  /env/GREETING: "hello" → "hi"" lines, at most `max_lines` and then how many more;
 * nothing where the two are equal. Long values are cut. */
int difference_append(const Json *before, const Json *after, size_t max_lines,
                      Buffer *out) _must_check_;
