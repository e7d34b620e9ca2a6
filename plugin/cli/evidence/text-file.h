/* SPDX-License-Identifier: MIT */
/* Small files that are named on the command line. */
#pragma once

#include <stddef.h>

/* The whole file, NUL-terminated, to free(); "-" is standard input. -EFBIG: more than `limit`
 * bytes. *ret_error as in slipway.h. */
int text_file_read(const char *path, size_t limit, char **ret, size_t *ret_len, char **ret_error);
