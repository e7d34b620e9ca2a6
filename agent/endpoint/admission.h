/* SPDX-License-Identifier: MIT */
/* Who may connect to a socket of the agent: root, the agent's own user, and the users and groups
 * that agent.json allows. The kernel says who the peer is; nothing that it sends counts. */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct Admission {
    uid_t *users;
    size_t n_users;
    gid_t *groups;
    size_t n_groups;
} Admission;

typedef struct PeerIdentity {
    uid_t uid;
    gid_t *groups; /* the first is its primary one */
    size_t n_groups;
} PeerIdentity;

/* Looks names (or numbers) up, once; the lists are NULL-terminated or NULL. One that this host does
 * not know is -ENOENT: an operator's slip must not lock people out in silence. */
int admission_init(Admission *a, char *const *users, char *const *groups, Error *err) _must_check_;
void admission_done(Admission *a);

/* Is anybody let in besides root and the agent's own user? */
bool admission_has_others(const Admission *a);

bool admission_allows(const Admission *a, const PeerIdentity *peer);

/* Asks the kernel who connected. -errno. */
int peer_identity_read(int fd, PeerIdentity *ret) _must_check_;
void peer_identity_done(PeerIdentity *peer);
