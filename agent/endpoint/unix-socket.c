/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/unix-socket.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* As many as the kernel allows; a burst of clients waits here while the loop is busy. */
#define LISTEN_BACKLOG SOMAXCONN

/* How long a socket that nobody serves any more may take to be gone, and how often that is believed
 * of one that hangs up. */
#define ORPHAN_MS 500
#define ORPHAN_TRIES 4

/* An address, and the directory that has to stay open while it is used. */
typedef struct Place {
    struct sockaddr_un address;
    int directory;
} Place;

static void place_done(Place *place)
{
    place->directory = fd_close(place->directory);
}
#define _cleanup_place_ _cleanup_(place_done)

static int place_find(const char *path, Place *ret, Error *err)
{
    _cleanup_free_ char *for_directory = strdup(path), *for_name = strdup(path);
    int n;

    *ret = (Place){.address.sun_family = AF_UNIX, .directory = -1};
    if (!for_directory || !for_name) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!*path) {
        return error_set(err, -EINVAL, "a unix socket needs a path");
    }
    if (strlen(path) < sizeof(ret->address.sun_path)) {
        memcpy(ret->address.sun_path, path, strlen(path) + 1);
        return 0;
    }
    ret->directory = open(dirname(for_directory), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ret->directory < 0) {
        return error_set_errno(err, -errno, "the directory of '%s'", path);
    }
    n = snprintf(ret->address.sun_path, sizeof(ret->address.sun_path), "/proc/self/fd/%d/%s",
                 ret->directory, basename(for_name));
    if (n >= (int)sizeof(ret->address.sun_path)) {
        place_done(ret);
        return error_set(err, -ENAMETOOLONG, "'%s' is too long for a unix socket", path);
    }
    return 0;
}

static int connect_place(const Place *place)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)&place->address, sizeof(place->address)) < 0) {
        int r = -errno;

        (void)fd_close(fd);
        return r;
    }
    return fd;
}

int unix_socket_connect(const char *path, int *ret_fd, Error *err)
{
    _cleanup_place_ Place place = {.directory = -1};
    int r = place_find(path, &place, err);

    if (r < 0) {
        return r;
    }
    r = connect_place(&place);
    if (r < 0) {
        return error_set_errno(err, r, "connecting to '%s'", path);
    }
    *ret_fd = r;
    return 0;
}

/* Whoever answers, even with "try again", is alive; -ECONNREFUSED: it is left over. But a process
 * that an agent was starting when it was killed has the agent's sockets for a moment, until it is
 * executed: it answers nothing, and then it hangs up. */
static int probe(const Place *place)
{
    for (int i = 0; i < ORPHAN_TRIES; i++) {
        _cleanup_fd_ int fd = connect_place(place);
        struct pollfd hang_up = {.fd = fd, .events = POLLIN};

        if (fd < 0) {
            return fd;
        }
        if (poll(&hang_up, 1, ORPHAN_MS) <= 0) {
            break;
        }
    }
    return 0;
}

static int remove_stale(const Place *place, const char *path, Error *err)
{
    struct stat st;

    if (lstat(place->address.sun_path, &st) < 0) {
        return errno == ENOENT ? 0 : error_set_errno(err, -errno, "'%s'", path);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return error_set(err, -EEXIST, "'%s' is there already and is no socket", path);
    }
    if (probe(place) != -ECONNREFUSED) {
        return error_set(err, -EADDRINUSE, "another process listens on '%s' already", path);
    }
    if (unlink(place->address.sun_path) < 0 && errno != ENOENT) {
        return error_set_errno(err, -errno, "removing the left over '%s'", path);
    }
    return 0;
}

static int bind_with_mode(int fd, const Place *place, mode_t mode)
{
    /* The mode has to be right from the start, and only the umask can see to that. */
    mode_t before = umask(~mode & 0777);
    int r =
        bind(fd, (const struct sockaddr *)&place->address, sizeof(place->address)) < 0 ? -errno : 0;

    (void)umask(before);
    return r;
}

int unix_socket_listen(const char *path, mode_t mode, UnixSocket *ret, Error *err)
{
    _cleanup_place_ Place place = {.directory = -1};
    _cleanup_free_ char *copy = strdup(path);
    _cleanup_fd_ int fd = -1;
    struct stat st;
    int r = copy ? place_find(path, &place, err) : error_set(err, -ENOMEM, "out of memory");

    r = r == 0 ? remove_stale(&place, path, err) : r;
    if (r < 0) {
        return r;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return error_set_errno(err, -errno, "making a socket");
    }
    r = bind_with_mode(fd, &place, mode);
    if (r < 0) {
        return error_set_errno(err, r, "binding '%s'", path);
    }
    if (listen(fd, LISTEN_BACKLOG) < 0 || lstat(place.address.sun_path, &st) < 0) {
        r = error_set_errno(err, -errno, "listening on '%s'", path);
        (void)unlink(place.address.sun_path);
        return r;
    }
    *ret = (UnixSocket){
        .fd = TAKE_FD(fd),
        .path = TAKE_PTR(copy),
        .device = st.st_dev,
        .inode = st.st_ino,
    };
    return 0;
}

int unix_socket_adopt_take(int fd, UnixSocket *ret, Error *err)
{
    _cleanup_fd_ int owned = fd;
    int family = 0, type = 0, is_listening = 0, r;
    socklen_t n = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &n) < 0) {
        return error_set_errno(err, -errno, "the socket that systemd passed as descriptor %d", fd);
    }
    if (family != AF_UNIX || type != SOCK_STREAM || !is_listening) {
        return error_set(err, -EPROTOTYPE,
                         "descriptor %d that systemd passed is no listening unix stream socket "
                         "(ListenStream=/PATH)",
                         fd);
    }
    r = fd_set_nonblock(fd, true);
    if (r < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return error_set_errno(err, r < 0 ? r : -errno, "descriptor %d", fd);
    }
    *ret = (UnixSocket){.fd = TAKE_FD(owned)};
    return 0;
}

void unix_socket_done(UnixSocket *s)
{
    struct stat st;

    s->fd = fd_close(s->fd);
    if (s->path && lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode) {
        (void)unlink(s->path);
    }
    free(s->path);
    *s = UNIX_SOCKET_EMPTY;
}
