/* SPDX-License-Identifier: MIT */
#include "plugin/health/listen-address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 64

static int parse_port(const char *text, in_port_t *ret)
{
    char *end;
    long port;

    if (!isdigit((unsigned char)*text)) {
        return -EINVAL;
    }
    errno = 0;
    port = strtol(text, &end, 10);
    if (*end || errno || port > 65535) {
        return -EINVAL;
    }
    *ret = htons((in_port_t)port);
    return 0;
}

/* "[ADDRESS]" or "ADDRESS", of `n` bytes. */
static int parse_host(const char *text, size_t n, ListenAddress *ret)
{
    char host[INET6_ADDRSTRLEN] = "";
    int is_v6 = n >= 2 && text[0] == '[' && text[n - 1] == ']';

    text += is_v6;
    n -= is_v6 ? 2 : 0;
    if (n == 0 || n >= sizeof(host)) {
        return -EINVAL;
    }
    memcpy(host, text, n);
    *ret = (ListenAddress){.any.sa_family = is_v6 ? AF_INET6 : AF_INET};
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, host,
                     is_v6 ? (void *)&ret->v6.sin6_addr : (void *)&ret->v4.sin_addr) == 1
               ? 0
               : -EINVAL;
}

int listen_address_parse(const char *text, ListenAddress *ret)
{
    const char *colon = strrchr(text, ':');
    in_port_t port;
    int r;

    if (!colon) {
        *ret = (ListenAddress){
            .v4 = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}}};
        return parse_port(text, &ret->v4.sin_port);
    }
    r = parse_port(colon + 1, &port);
    r = r < 0 ? r : parse_host(text, (size_t)(colon - text), ret);
    if (r == 0) {
        *(ret->any.sa_family == AF_INET6 ? &ret->v6.sin6_port : &ret->v4.sin_port) = port;
    }
    return r;
}

int listen_address_open(const ListenAddress *address)
{
    int family = address->any.sa_family, on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t n = family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);

    if (fd < 0) {
        return -errno;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, &address->any, n) < 0 || listen(fd, BACKLOG) < 0) {
        int r = -errno;

        (void)close(fd);
        return r;
    }
    return fd;
}

const char *listen_address_tell(int fd, char *text)
{
    ListenAddress address = {0};
    socklen_t n = sizeof(address);
    char host[INET6_ADDRSTRLEN] = "?";
    int is_v6;

    (void)getsockname(fd, &address.any, &n);
    is_v6 = address.any.sa_family == AF_INET6;
    (void)inet_ntop(address.any.sa_family,
                    is_v6 ? (const void *)&address.v6.sin6_addr
                          : (const void *)&address.v4.sin_addr,
                    host, sizeof(host));
    (void)snprintf(text, LISTEN_TEXT_SIZE, is_v6 ? "[%s]:%u" : "%s:%u", host,
                   ntohs(is_v6 ? address.v6.sin6_port : address.v4.sin_port));
    return text;
}
