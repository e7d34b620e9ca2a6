/* SPDX-License-Identifier: MIT */
/* What differs between two JSON values, for people: one line for each place, by its pointer. */
#pragma once

#include "protocol/json.h"

/* Members of ours, such as the labels of a release: whoever shows what changes has said which
 * release it is, so they are passed over. */
#define DIFFERENCE_OWN_PREFIX "slipway."

/* Appends "  /env/GREETING: "hello" → "hi"" lines, at most `max_lines` and then how many more;
 * nothing where the two are equal. Long values are cut. */
int difference_append(const Json *before, const Json *after, size_t max_lines,
                      Buffer *out) _must_check_;
