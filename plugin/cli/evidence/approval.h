/* SPDX-License-Identifier: MIT */
/* A person's approval of a release: who, of what, to where, having seen which change. */
#pragma once

#include "plugin/cli/evidence/release-subject.h"

#define APPROVAL_MINUTES_DEFAULT 240
#define APPROVAL_MINUTES_MAX (7 * 24 * 60)

/* Where the click was, as far as the controller says so in the environment of the program. Borrowed
 * from there; NULL: it does not. */
typedef struct ApprovalOrigin {
    const char *via;  /* "jenkins", … */
    const char *name; /* of the person; most controllers keep it to themselves */
    const char *url;  /* of the build */
} ApprovalOrigin;

ApprovalOrigin approval_find_origin(void);

typedef struct ApprovalRequest {
    const char *key_path;
    const ReleaseSubject *subject;
    const char *environment;
    const char *approver;
    const char *via;           /* NULL */
    const char *url;           /* NULL */
    const char *reason;        /* NULL */
    long long minutes;         /* how long it holds */
    const SlipwayJson *change; /* that was shown, as `slipway changes --json` prints it */
} ApprovalRequest;

/* Is this the change of that release, and one that a deploy would make? -EINVAL: it is no change,
 * -ESTALE: of something else, or older than what runs. *ret_error as in slipway.h. */
int approval_check_change(const SlipwayJson *change, const ReleaseSubject *subject,
                          const char *environment, char **ret_error);

/* Signs it: *ret_line is an envelope without its line feed, to free(). -EINVAL, -EPERM, … */
int approval_sign(const ApprovalRequest *request, int64_t now_us, char **ret_line,
                  char **ret_error);
