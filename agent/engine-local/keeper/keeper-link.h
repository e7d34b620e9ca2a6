/* SPDX-License-Identifier: MIT */
/* The engine's side of a keeper: starting one, finding it again, telling it to end. keeper.h has
 * what goes over the link. */
#pragma once

#include "agent/engine-local/keeper/keeper.h"

#define KEEPER_LINK_SOCKET "control.sock" /* in the instance's directory */

/* In the environment of every service, so that what lost its keeper is found. */
#define KEEPER_LINK_MARKER "SLIPWAY_INSTANCE"

typedef struct KeeperStart {
    const char *program;      /* slipway-keeper */
    int instance_fd, logs_fd; /* borrowed */
    KeeperOptions options;
} KeeperStart;

/* Starts a keeper and returns a connection to it (keeper_link_connect) when its program runs.
 * -errno where it cannot; that the service itself cannot be started is told by its status. */
int keeper_link_start(const KeeperStart *start, Error *err) _must_check_;

/* A non-blocking connection to the keeper of that directory: first it says the pid, then its
 * hang-up is the end. -ECONNREFUSED or -ENOENT: there is none. */
int keeper_link_connect(int instance_fd) _must_check_;

/* Tells it to end the service. */
int keeper_link_stop(int fd, int64_t grace_ms) _must_check_;

/* Ends the keeper of that directory, if there is one, and waits until it is gone. */
void keeper_link_end(int instance_fd, int64_t grace_ms);

/* Kills whatever was started as that instance. For one whose keeper was ended by force: the
 * service's own process went with it, but not what it had started. */
void keeper_link_end_leftovers(const char *instance);
