/* SPDX-License-Identifier: MIT */
/* Where controllers come in: the listening sockets, who is let in, and the sessions that there are.
 */
#pragma once

#include "agent/calls/calls.h"
#include "protocol/base/error.h"

#include <uv.h>

/* `maxConnections` of the protocol. */
#define SERVER_CONNECTIONS_MAX 256

typedef struct Server Server;

/* `loop`, `config` and `calls` are borrowed for its life. -ENOENT: agent.json allows a user or a
 * group that this host does not know. */
int server_new(uv_loop_t *loop, const AgentConfig *config, Calls *calls, Server **ret,
               Error *err) _must_check_;

/* Listens on a path; -EADDRINUSE and -EEXIST as unix_socket_listen. */
int server_listen(Server *server, const char *path, Error *err) _must_check_;

/* Takes a listening socket that systemd passed, also on failure. */
int server_listen_fd_take(Server *server, int fd, Error *err) _must_check_;

/* A session over two descriptors, which are taken, also on failure. Whoever can start the program
 * may use it. `ended` is called from the loop when the session is over. */
int server_serve_take(Server *server, int in_fd, int out_fd, void (*ended)(void *userdata),
                      void *userdata, Error *err) _must_check_;

/* Listens no more and asks every session to end; `stopped` is called from the loop when all handles
 * are closed, and server_free may follow. Once. */
void server_stop(Server *server, void (*stopped)(void *userdata), void *userdata);

/* Only after `stopped` was called, or where nothing was ever opened. */
Server *server_free(Server *server);
