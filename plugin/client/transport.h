/* SPDX-License-Identifier: MIT */
/* How the bytes get to an agent: the address, the socket, the process where one is started. A
 * transport is always one stream socket, also for stdio, so that the client waits for one
 * descriptor. */
#pragma once

#include "protocol/base/error.h"

#include <sys/types.h>

typedef struct Transport {
    char *address; /* "unix:PATH", "stdio:COMMAND"; NULL for a socket that was handed over */
    int fd;        /* non-blocking; -1 while there is no connection */
    pid_t pid;     /* of the agent that was started; 0: none */
} Transport;

#define TRANSPORT_EMPTY ((Transport){.fd = -1})

/* Resolves `address` (as slipway_client_connect has it) and connects. */
int transport_open(Transport *t, const char *address, Error *err) _must_check_;

/* Connects again to where it was. -ENOTSUP for a socket that was handed over. */
int transport_reopen(Transport *t, Error *err) _must_check_;

/* Hangs up; an agent that was started gets TRANSPORT_EXIT_MS to go, then a signal. */
void transport_close(Transport *t);
#define TRANSPORT_EXIT_MS 5000

void transport_done(Transport *t);
