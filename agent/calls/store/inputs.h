/* SPDX-License-Identifier: MIT */
/* What clients send up (`inputs/write`): files of the directory inputs/ (README.md, "Inputs"). */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `maxInputBytes` of protocol/README.md. */
#define INPUTS_SIZE_MAX ((int64_t)8 << 30)

/* calls_write_input on the held directory. */
int inputs_write(int inputs_fd, const char *name, int64_t offset, const void *data, size_t n,
                 bool is_last, const char *sha256, int64_t *ret_size, Error *err) _must_check_;

/* Removes inputs (whole ones with their digest, and parts) that were last written before
 * `before_us`, unless `is_used` says that a call waits for it. Returns how many. */
int inputs_remove_old(int inputs_fd, int64_t before_us,
                      bool (*is_used)(const char *name, void *userdata), void *userdata);
