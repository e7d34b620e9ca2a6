/* SPDX-License-Identifier: MIT */
/* Sends the records of the audit log that a collector does not have (README.md). */
#pragma once

#include "protocol/base/error.h"

#define FORWARD_STATE "forwarded.json" /* beside the log */

/* What is sent at once, at most: lines are never cut. */
#define FORWARD_BATCH_MAX ((size_t)512 << 10)

typedef struct ForwardTarget {
    const char *url;
    const char *agent;            /* this host's name; NULL */
    const char *token_file;       /* NULL: no token is asked for */
    const char *ca_file;          /* NULL: the system's authorities */
    const char *certificate_file; /* NULL: none */
    const char *key_file;         /* NULL: in the same file */
} ForwardTarget;

/* Sends what is there, and remembers it. Another process at it already is no failure: it does the
 * same. A failure is remembered beside the log, too, for health. -EINVAL: the target cannot do. */
int forward_run(const char *audit_directory, const ForwardTarget *target, Error *err) _must_check_;
