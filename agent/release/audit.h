/* SPDX-License-Identifier: MIT */
/* The audit log of this host (protocol/evidence/README.md, "Audit log"): what was asked for, what
 * was decided on it, how it ended. A record is on disk before this returns. */
#pragma once

#include "protocol/evidence/chain.h"

#define AUDIT_FILE "log"

/* Appends `event` with these members (borrowed; NULL: none) in `directory`, which is made if it is
 * missing. *ret_head (may be NULL) is the log's last record then. */
int audit_append(const char *directory, const char *event, const Json *members, ChainHead *ret_head,
                 Error *err) _must_check_;
