/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/admission.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux allows a process 65536 groups. */
#define PEER_GROUPS_MAX 65536

static size_t count_names(char *const *names)
{
    size_t n = 0;

    while (names && names[n]) {
        n++;
    }
    return n;
}

/* A number stands for itself, also where the user database does not know it. */
static bool is_number(const char *name, int64_t *ret)
{
    return text_parse_int(name, 0, UINT32_MAX - 1, ret) == 0;
}

static int look_up_user(const char *name, uid_t *ret, Error *err)
{
    struct passwd *found;
    int64_t number;

    if (is_number(name, &number)) {
        *ret = (uid_t)number;
        return 0;
    }
    errno = 0;
    found = getpwnam(name);
    if (!found) {
        return error_set(err, -ENOENT, "there is no user '%s' on this host%s%s", name,
                         errno ? ": " : "", errno ? strerror(errno) : "");
    }
    *ret = found->pw_uid;
    return 0;
}

static int look_up_group(const char *name, gid_t *ret, Error *err)
{
    struct group *found;
    int64_t number;

    if (is_number(name, &number)) {
        *ret = (gid_t)number;
        return 0;
    }
    errno = 0;
    found = getgrnam(name);
    if (!found) {
        return error_set(err, -ENOENT, "there is no group '%s' on this host%s%s", name,
                         errno ? ": " : "", errno ? strerror(errno) : "");
    }
    *ret = found->gr_gid;
    return 0;
}

int admission_init(Admission *a, char *const *users, char *const *groups, Error *err)
{
    int r = 0;

    *a = (Admission){.n_users = count_names(users), .n_groups = count_names(groups)};
    a->users = calloc(a->n_users + 1, sizeof(*a->users));
    a->groups = calloc(a->n_groups + 1, sizeof(*a->groups));
    if (!a->users || !a->groups) {
        r = error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; r == 0 && i < a->n_users; i++) {
        r = look_up_user(users[i], &a->users[i], err);
    }
    for (size_t i = 0; r == 0 && i < a->n_groups; i++) {
        r = look_up_group(groups[i], &a->groups[i], err);
    }
    if (r < 0) {
        admission_done(a);
    }
    return r;
}

void admission_done(Admission *a)
{
    free(a->users);
    free(a->groups);
    *a = (Admission){0};
}

bool admission_has_others(const Admission *a)
{
    return a->n_users > 0 || a->n_groups > 0;
}

static bool has_group(const PeerIdentity *peer, gid_t group)
{
    for (size_t i = 0; i < peer->n_groups; i++) {
        if (peer->groups[i] == group) {
            return true;
        }
    }
    return false;
}

bool admission_allows(const Admission *a, const PeerIdentity *peer)
{
    if (peer->uid == 0 || peer->uid == geteuid()) {
        return true;
    }
    for (size_t i = 0; i < a->n_users; i++) {
        if (a->users[i] == peer->uid) {
            return true;
        }
    }
    for (size_t i = 0; i < a->n_groups; i++) {
        if (has_group(peer, a->groups[i])) {
            return true;
        }
    }
    return false;
}

/* The supplementary groups as they were when the peer connected (Linux 4.13): what the process has,
 * not what the user database says meanwhile. */
static int read_groups(int fd, gid_t primary, PeerIdentity *peer)
{
    socklen_t size = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE) {
        return -errno;
    }
    if (size > PEER_GROUPS_MAX * sizeof(gid_t)) {
        return -E2BIG;
    }
    peer->groups = calloc(size / sizeof(gid_t) + 1, sizeof(gid_t));
    if (!peer->groups) {
        return -ENOMEM;
    }
    peer->groups[0] = primary;
    if (size > 0 && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups + 1, &size) < 0) {
        return -errno;
    }
    peer->n_groups = size / sizeof(gid_t) + 1;
    return 0;
}

int peer_identity_read(int fd, PeerIdentity *ret)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    PeerIdentity peer = {0};
    int r;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) {
        return -errno;
    }
    peer.uid = credentials.uid;
    r = read_groups(fd, credentials.gid, &peer);
    if (r < 0) {
        peer_identity_done(&peer);
        return r;
    }
    *ret = peer;
    return 0;
}

void peer_identity_done(PeerIdentity *peer)
{
    free(peer->groups);
    *peer = (PeerIdentity){0};
}
