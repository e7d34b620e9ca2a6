/* SPDX-License-Identifier: MIT */
/* Reading the audit log (protocol/evidence/README.md), which the runners write. The agent hands its
 * bytes on as they are; whether they are a whole chain is for the reader to check. And how far it
 * is forwarded, as slipway-audit-forward has noted it. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stddef.h>
#include <stdint.h>

/* calls_read_audit on the held state directory. */
int audit_log_read(int state_fd, int64_t offset, void *data, size_t n, size_t *ret_n,
                   int64_t *ret_size, Json **ret_head, Error *err) _must_check_;

/* How many records a collector at `url` does not have. */
int64_t audit_log_count_waiting(int state_fd, const char *url);

/* `audit` of health: `records`, and `forward` where `url` is not NULL. *ret is the caller's.
 * *ret_problem (to free(); NULL: none) says that records have waited for too long. */
int audit_log_describe(int state_fd, const char *url, int64_t now_us, Json **ret,
                       char **ret_problem) _must_check_;

/* From when on waiting is a problem of the agent's. */
#define AUDIT_LOG_LATE_US ((int64_t)3600 * 1000000)
