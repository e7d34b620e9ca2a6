/* SPDX-License-Identifier: MIT */
/* The control socket: agents come and go, say `cancel`, and are told how far the journal is. None
 * of them is ever waited for: who does not read is told the newest number when it does. */
#pragma once

#include "protocol/base/macro.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define CONTROL_CONNECTIONS_MAX 4
#define CONTROL_POLL_FDS (CONTROL_CONNECTIONS_MAX + 1)
#define CONTROL_LINE_MAX 64

typedef struct ControlConnection {
    int fd;
    uint64_t told; /* the last number that was put into a line */
    char in[CONTROL_LINE_MAX];
    size_t in_len;
    char out[32]; /* what is left of the line that is being sent */
    size_t out_len;
} ControlConnection;

typedef struct Control {
    int listen_fd;
    ControlConnection connections[CONTROL_CONNECTIONS_MAX];
} Control;

/* Takes the listening socket. */
void control_init(Control *control, int listen_fd);

/* What to wait for, in CONTROL_POLL_FDS entries. */
void control_prepare(Control *control, struct pollfd *fds);

/* Does what the entries ask for. True if an agent wants the call cancelled. */
bool control_handle(Control *control, const struct pollfd *fds) _must_check_;

/* Tells everyone who does not know yet. */
void control_tell(Control *control, uint64_t seq);

/* Hangs up. */
void control_done(Control *control);
