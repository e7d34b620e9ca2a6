/* SPDX-License-Identifier: MIT */
/* known_hosts, the format of sshd(8): which keys a host is known by. Text in, answers out; hashed
 * names, [host]:port, patterns, several keys for a host, @revoked and @cert-authority. */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define KNOWN_HOSTS_SIZE_MAX ((size_t)16 << 20)

/* The one that comes later here outweighs the one before. */
typedef enum KnownHostsAnswer {
    KNOWN_HOSTS_UNKNOWN,   /* nothing is known of the host */
    KNOWN_HOSTS_AUTHORITY, /* only authorities are there, whose signature would have to be seen */
    KNOWN_HOSTS_OTHER,     /* only keys of other types are there */
    KNOWN_HOSTS_CHANGED,   /* a key of this type is there, and it is another one */
    KNOWN_HOSTS_TRUSTED,   /* this key is there for it */
    KNOWN_HOSTS_REVOKED,   /* this key is never to be believed */
} KnownHostsAnswer;

/* What several files say of one key; start with a zeroed one. */
typedef struct KnownHostsCheck {
    const char *host; /* as known_hosts_format_host gives it; borrowed */
    const char *key_type;
    const char *key; /* the public key as it is on the wire; borrowed */
    size_t key_len;
    KnownHostsAnswer answer;
    char place[512]; /* "FILE:LINE" of what decided; cut where it is longer */
} KnownHostsCheck;

/* "host", or "[host]:port" for a port that is not 22, in lower case. The caller's. */
char *known_hosts_format_host(const char *host, uint16_t port);

/* Takes the lines of one file into account; `name` is for `place`. A line that is none is passed
 * over, as ssh does. -ENOMEM. */
int known_hosts_check(KnownHostsCheck *check, const char *name, const char *text,
                      size_t n) _must_check_;

/* The same for a file; one that is not there says nothing. */
int known_hosts_check_file(KnownHostsCheck *check, const char *path, Error *err) _must_check_;

/* Which types of keys a host is known by, as a bit set over `types`: so that the host is asked for
 * a key that we could check. */
int known_hosts_find_types(const char *host, const char *text, size_t n, const char *const *types,
                           size_t n_types, unsigned *ret) _must_check_;

/* "SHA256:…" of a public key, as ssh-keygen -l prints it. The caller's; NULL when memory is out. */
char *known_hosts_fingerprint(const char *key, size_t len);
