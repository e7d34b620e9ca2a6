/* SPDX-License-Identifier: MIT */
/* Patterns of host names, as ssh_config(5) and sshd(8) have them: `*` any characters, `?` one of
 * them, `!` before a pattern excludes what the others would take. */
#pragma once

#include "protocol/base/macro.h"

#include <stdbool.h>

/* Does the whole name fit? Letters are compared without regard to case. Linear in the name for each
 * star of the pattern. */
bool host_pattern_matches(const char *pattern, const char *name);

/* Is the name in the list, whose patterns are separated by any of `separators`? A pattern with `!`
 * that fits takes it out again. */
bool host_pattern_list_matches(const char *list, const char *separators, const char *name);
