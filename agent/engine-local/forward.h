/* SPDX-License-Identifier: MIT */
/* Carries TCP connections from an app's port to its instances. A connection stays with the instance
 * that it came to until both sides have closed; half-closing is passed on; a reset is passed on as
 * a reset. What one side does not read is held in one bounded buffer, then the other side waits. */
#pragma once

#include "agent/engine-local/loop.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Forward Forward;         /* all connections of one engine */
typedef struct ForwardPort ForwardPort; /* where one app listens */

/* An instance as the forwarder sees it. Embedded in its owner. */
typedef struct ForwardTarget {
    uint16_t port; /* of 127.0.0.1 */
    bool may_take; /* new connections; set by the owner */
    size_t connections;
    uint64_t last_pick;              /* for the owner's choice */
    void (*on_idle)(void *userdata); /* its last connection has ended */
    void *userdata;
} ForwardTarget;

/* Beyond `connections_max`, of all ports together, connections wait in the kernel's backlog. */
int forward_new(Loop *loop, size_t connections_max, Forward **ret) _must_check_;
Forward *forward_free(Forward *forward); /* after its ports */
DEFINE_CLEANUP(Forward, forward_free)

size_t forward_connections(const Forward *forward);

/* Forgets the target: its connections go on without it. To be called before it is freed. */
void forward_forget(Forward *forward, const ForwardTarget *target);

/* The target of a new connection, NULL for none. `avoid` (may be NULL) has just refused it and is
 * not to be the answer while there is another. */
typedef ForwardTarget *(*ForwardPick)(void *userdata, const ForwardTarget *avoid);

/* Takes the address without listening on it: connections are refused until forward_port_listen. A
 * port that somebody listens on is an error with a sentence. */
int forward_port_open(Forward *forward, const char *address, uint16_t port, ForwardPick pick,
                      void *userdata, ForwardPort **ret, Error *err) _must_check_;
ForwardPort *forward_port_close(ForwardPort *port); /* connections go on */
DEFINE_CLEANUP(ForwardPort, forward_port_close)

/* Accepts connections from now on, or refuses them again. Both may be repeated. */
int forward_port_listen(ForwardPort *port, Error *err) _must_check_;
void forward_port_pause(ForwardPort *port);

/* A port of 127.0.0.1 that nobody has now, for an instance. Outside the range from which the kernel
 * takes ports for outgoing connections, ours among them, and not one that was given lately. */
int forward_choose_port(Forward *forward, uint16_t *ret) _must_check_;

bool forward_port_is_at(const ForwardPort *port, const char *address, uint16_t number);
