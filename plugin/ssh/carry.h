/* SPDX-License-Identifier: MIT */
/* Carries bytes between two descriptors and a command on a host, until the command has ended or
 * nobody reads any more. It understands nothing of what it carries. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/ssh/ssh-session.h"

#include <stdint.h>

typedef struct Carry {
    SshSession *session;
    SshChannel *channel;
    int in_fd;
    int out_fd;
    int err_fd; /* what the command says on stderr, once it has said a word on stdout */
    int64_t first_byte_by_ms; /* monotonic; 0: no limit */
    Buffer early_errors;      /* the end of what it said on stderr before that */
    bool has_spoken;          /* on stdout */
} Carry;

/* What of stderr is kept for a reason. */
#define CARRY_EARLY_MAX ((size_t)4096)

/* 1 and *ret: the command ended. 0: nobody reads what it says any more. Codes of ssh-session.h. */
int carry_run(Carry *carry, SshStatus *ret, Error *err) _must_check_;

void carry_done(Carry *carry);
