/* SPDX-License-Identifier: MIT */
/* Makes the workspace a repository at one commit. It borrows its objects from the mirror, so there
 * is nothing to copy but the files, and it is a real one: `git describe`, `git log` and submodules
 * work in it. HEAD is detached. */
#pragma once

#include "agent/source/mirror.h"
#include "agent/source/workspace.h"

typedef struct CheckoutRequest {
    const char *directory; /* of the workspace */
    const char *commit;    /* which the mirror has */
    const char *ref;       /* NULL: none */
    bool is_clean;         /* nothing but the commit's files */
} CheckoutRequest;

/* A repository of the same mirror is moved to the commit, and files that git does not know stay
 * unless `is_clean`; anything else makes room. Submodules are brought too. */
int checkout_run(const Mirror *mirror, const Workspace *workspace, const CheckoutRequest *request,
                 Error *err) _must_check_;
