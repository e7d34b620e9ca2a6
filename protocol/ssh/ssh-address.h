/* SPDX-License-Identifier: MIT */
/* `ssh://[user@]host[:port][/path][?name=value&…]`, percent-encoded as in RFC 3986. */
#pragma once

#include "protocol/base/error.h"

#include <stdint.h>

#define SSH_ADDRESS_MAX ((size_t)4096)
#define SSH_ADDRESS_MEMBERS_MAX 8

typedef struct SshAddressMember {
    char *name;
    char *value;
} SshAddressMember;

typedef struct SshAddress {
    char *user;    /* NULL: none */
    char *host;    /* a name or an address, an IPv6 address without its brackets; or an alias of
                      ssh_config */
    uint16_t port; /* 0: none */
    char *path;    /* absolute; NULL: none */
    SshAddressMember members[SSH_ADDRESS_MEMBERS_MAX];
    size_t n_members;
} SshAddress;

/* -EINVAL: the sentence says what is wrong with it. A user or a host that a command line could take
 * for an option is refused, as is a control character anywhere. */
int ssh_address_parse(const char *text, SshAddress *ret, Error *err) _must_check_;

void ssh_address_done(SshAddress *address);
#define _cleanup_ssh_address_ _cleanup_(ssh_address_done)

/* The value of a member of the query; NULL: there is none. Borrowed. */
const char *ssh_address_get(const SshAddress *address, const char *name);
