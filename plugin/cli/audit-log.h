/* SPDX-License-Identifier: MIT */
/* Audit logs to look at: the agent's, or files that were exported. */
#pragma once

#include "plugin/cli/session.h"

typedef struct AuditLog {
    char *name; /* what it is called: the agent's name, or the file */
    char *path;
    char *directory; /* of a copy that goes with it; NULL: the file is somebody's */
} AuditLog;

void audit_log_done(AuditLog *log);

/* The log in `file`, or (NULL) the agent's, which is connected to and fetched. 0 or an exit code,
 * said. */
int audit_log_open(Session *s, const char *file, AuditLog *ret);

/* Fetches the agent's log into `path`, going on with what is there; slipway_audit_download says
 * what is checked. 0 or an exit code, said: EXIT_ACTION_FAILED for a log that is not as it was
 * written. */
int audit_log_download(Session *s, const char *path);

/* Checks the log and shows each record to `callback` (may be NULL). `heads` (may be NULL) are those
 * of slipway_audit_check, *ret_head (may be NULL) what it gives. 0, or EXIT_ACTION_FAILED with the
 * record that is wrong said, or what the callback ended it with (negative: nobody said why). */
int audit_log_walk(Session *s, const AuditLog *log, const SlipwayJson *heads,
                   SlipwayAuditCallback callback, void *userdata, SlipwayJson **ret_head);
