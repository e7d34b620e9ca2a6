/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-connect.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/ssh/ssh-session.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int resolve(const char *host, uint16_t port, int family, struct addrinfo **ret, Error *err)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    char service[8];
    int r;

    (void)snprintf(service, sizeof(service), "%u", port);
    r = getaddrinfo(host, service, &hints, ret);
    if (r == 0) {
        return 0;
    }
    if (r == EAI_AGAIN) {
        return error_set(err, -EHOSTUNREACH,
                         "the address of '%s' cannot be found now: no name server answers", host);
    }
    return error_set(err, r == EAI_MEMORY ? -ENOMEM : SSH_NAME_NOT_FOUND,
                     "there is no host '%s': %s", host,
                     r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
}

/* 0, or the negative errno of connect(2). */
static int finish(int fd, int64_t deadline)
{
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int64_t left = deadline - clock_monotonic_ms();
    int problem = 0, n;
    socklen_t size = sizeof(problem);

    do {
        n = poll(&wait, 1, left > 0 ? (int)left : 0);
        left = deadline - clock_monotonic_ms();
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return n < 0 ? -errno : -ETIMEDOUT;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0 ? -errno : -problem;
}

static int connect_one(const struct addrinfo *address, int64_t deadline, int *ret_fd)
{
    _cleanup_fd_ int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, r = 0;

    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
        r = errno == EINPROGRESS ? finish(fd, deadline) : -errno;
    }
    if (r == 0) {
        /* Small requests and answers: none of them may wait for an acknowledgement. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        *ret_fd = TAKE_FD(fd);
    }
    return r;
}

int ssh_connect(const char *host, uint16_t port, int family, int64_t timeout_ms, int *ret_fd,
                Error *err)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    struct addrinfo *addresses = NULL;
    int r = resolve(host, port, family, &addresses, err);
    size_t n = 0;

    if (r < 0) {
        return r;
    }
    for (const struct addrinfo *a = addresses; a; a = a->ai_next) {
        n++;
    }
    r = -EHOSTUNREACH;
    for (const struct addrinfo *a = addresses; a; a = a->ai_next, n--) {
        int64_t now = clock_monotonic_ms();
        int64_t share = now + MAX(deadline - now, (int64_t)0) / (int64_t)n;
        char text[NI_MAXHOST] = "?";

        r = connect_one(a, share, ret_fd);
        if (r == 0) {
            break;
        }
        (void)getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
        log_debug("connecting to %s (%s) port %u: %s", host, text, port, strerror(-r));
    }
    freeaddrinfo(addresses);
    switch (r) {
    case 0:
        return 0;
    case -ETIMEDOUT:
        return error_set(err, r, "no answer from '%s' port %u within %lld s", host, port,
                         (long long)timeout_ms / 1000);
    case -ECONNREFUSED:
        return error_set(err, r, "'%s' is there, but no SSH server at its port %u", host, port);
    default:
        return error_set_errno(err, r, "connecting to '%s' port %u", host, port);
    }
}
