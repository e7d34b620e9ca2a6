/* SPDX-License-Identifier: MIT */
/* How the bytes get to an agent: the address, the socket, the process where one is started. A
 * transport is always one stream socket, also for stdio, so that the client waits for one
 * descriptor. */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct Transport {
    char *address; /* "unix:PATH", "ssh://HOST"; NULL for a socket that was handed over */
    int fd;        /* non-blocking; -1 while there is no connection */
    int status_fd; /* where slipway-ssh says why it ended; -1: no slipway-ssh */
    pid_t pid;     /* of what was started: an agent, slipway-ssh; 0: nothing */
} Transport;

#define TRANSPORT_EMPTY ((Transport){.fd = -1, .status_fd = -1})

/* Resolves `address` (as slipway_client_connect has it) and connects. */
int transport_open(Transport *t, const char *address, Error *err) _must_check_;

/* Connects again to where it was. -ENOTSUP for a socket that was handed over. */
int transport_reopen(Transport *t, Error *err) _must_check_;

/* After the other side hung up: the reason, where there is somebody who knows it. The caller's;
 * NULL where not. *ret_is_final: another attempt would end the same. */
char *transport_take_reason(Transport *t, bool *ret_is_final);

/* How long the first answer may take: over SSH others watch that, and may wait for a person. */
int transport_get_patience_ms(const Transport *t, int usual_ms);
#define TRANSPORT_SSH_PATIENCE_MS 240000

/* Hangs up; an agent that was started gets TRANSPORT_EXIT_MS to go, then a signal. */
void transport_close(Transport *t);
#define TRANSPORT_EXIT_MS 5000

void transport_done(Transport *t);
