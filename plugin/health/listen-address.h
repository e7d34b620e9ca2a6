/* SPDX-License-Identifier: MIT */
/* Where to listen: ADDRESS:PORT, [ADDRESS]:PORT, or PORT alone, on loopback. Addresses are numbers:
 * a name may be somebody else's tomorrow. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

/* Not one of 9100 to 9999, which other exporters have taken to the last: the letters S, L, I, P on
 * a telephone's keys, after a 1, and nobody's at IANA. */
#define LISTEN_PORT_DEFAULT 17547

typedef union ListenAddress {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} ListenAddress;

/* -EINVAL: it is none of these. Port 0 is any that is free. */
int listen_address_parse(const char *text, ListenAddress *ret);

/* A listening socket, which is the caller's; -errno. */
int listen_address_open(const ListenAddress *address);

/* "127.0.0.1:17547" of a socket; `text` has LISTEN_TEXT_SIZE bytes and is returned. */
#define LISTEN_TEXT_SIZE (INET6_ADDRSTRLEN + sizeof("[]:65535"))
const char *listen_address_tell(int fd, char *text);
