/* SPDX-License-Identifier: MIT */
/* WWW-Authenticate (RFC 9110 section 11.6.1): what a registry wants to see, and who gives it. */
#pragma once

#include "protocol/base/macro.h"

typedef struct Challenge {
    char *scheme; /* "Bearer", "Basic", …; as the header has it */
    char *realm;  /* NULL: none, like all below */
    char *service;
    char *scope;
    char *error;
} Challenge;

void challenge_done(Challenge *challenge);
#define _cleanup_challenge_ _cleanup_(challenge_done)

/* Takes the next challenge of a header's value from *position, which moves. 1: got one. 0: no more.
 * -EINVAL: it cannot be read from here on. -ENOMEM. */
int challenge_next(const char **position, Challenge *ret) _must_check_;
