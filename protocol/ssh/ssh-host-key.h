/* SPDX-License-Identifier: MIT */
/* Is the host the one that it was? Every connection asks; there is no way around it. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/ssh/ssh-config.h"

#include <stdbool.h>

/* What to ask a host for, so that it does not answer with a key that nobody wrote down: the
 * algorithms that its known keys fit come first. */
typedef struct SshHostKeyPreference {
    char *algorithms;     /* comma separated, as libssh2 takes them */
    bool is_known;        /* some key that is known fits one of them */
    bool is_out_of_reach; /* the host is known, but only by what fits none of them */
} SshHostKeyPreference;

/* `algorithms` is what the library can do, ended by `n`. */
int ssh_host_key_prefer(const SshConfig *config, const char *const *algorithms, size_t n,
                        SshHostKeyPreference *ret, Error *err) _must_check_;

/* 0: the key (as it is on the wire) is in known_hosts. 1: only an authority's or other types' keys
 * are, so this connection cannot tell. SSH_HOST_UNKNOWN, SSH_HOST_CHANGED: the sentence says what
 * to do. */
int ssh_host_key_check(const SshConfig *config, const char *key, size_t len,
                       Error *err) _must_check_;
