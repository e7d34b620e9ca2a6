/* SPDX-License-Identifier: MIT */
/* HTTP by libmicrohttpd, in the caller's loop: the one file that includes it. GET and HEAD, no
 * body, small heads, few connections. */
#pragma once

#include <stddef.h>

#define SERVER_CONNECTIONS_MAX 64
/* Of one connection: the head of a request has to fit in it, twice. */
#define SERVER_MEMORY_BYTES ((size_t)16 << 10)
#define SERVER_IDLE_SECONDS 15

typedef struct Server Server;

typedef struct ServerReply {
    unsigned status;
    const char *type; /* Content-Type; static */
    char *body;       /* malloc()ed; the server's from then on */
    size_t len;
} ServerReply;

/* Fills the reply and returns 0, or SERVER_LATER: then it is asked again after server_wake(). */
#define SERVER_LATER 1
typedef int (*ServerHandler)(void *userdata, const char *path, ServerReply *ret);

/* Serves on a listening socket, which is the server's from now on, also on failure. NULL: it
 * cannot. */
Server *server_new_take(int fd, ServerHandler handler, void *userdata);
Server *server_free(Server *server);

/* To be polled for input; then, or after so many milliseconds (-1: never), server_process(). */
int server_get_fd(const Server *server);
int server_get_timeout_ms(const Server *server);
void server_process(Server *server);

/* Those that were told SERVER_LATER are asked for again. */
void server_wake(Server *server);
