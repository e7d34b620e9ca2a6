/* SPDX-License-Identifier: MIT */
/* Reading the audit log (protocol/evidence/README.md), which the runners write. The agent hands its
 * bytes on as they are; whether they are a whole chain is for the reader to check. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stddef.h>
#include <stdint.h>

/* calls_read_audit on the held state directory. */
int audit_log_read(int state_fd, int64_t offset, void *data, size_t n, size_t *ret_n,
                   int64_t *ret_size, Json **ret_head, Error *err) _must_check_;
