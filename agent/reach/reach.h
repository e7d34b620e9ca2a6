/* SPDX-License-Identifier: MIT */
/* Does anybody answer where an engine is? One connection to each address, hung up on at once:
 * nothing is sent, no credential is needed.
 *
 * Looking up a name and connecting may each take as long as a network likes, and the C library does
 * the first only by waiting. So each address has a process of its own, and what has not come back
 * within the time limit is ended. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#define REACH_TARGETS_MAX 256

typedef struct ReachTarget {
    const char *name;
    const char *address;
} ReachTarget;

typedef struct ReachPlace {
    char *path; /* of a unix socket; or NULL */
    char *host;
    char *port;
} ReachPlace;

/* unix:PATH, or http, https, ssh and tcp ://[USER@]HOST[:PORT][/…]. -EINVAL: neither, or a port is
 * missing. */
int reach_parse(const char *address, ReachPlace *ret, Error *err) _must_check_;
void reach_place_done(ReachPlace *place);

/* Connects to it and hangs up; waits for as long as that takes. */
int reach_connect(const ReachPlace *place, Error *err) _must_check_;

/* Connects to all at once and appends one line of JSON: {"NAME":{"isReachable":true,"seconds":…},
 * …}. One that is not reachable has a `reason`; one whose address cannot be connected to has that
 * alone. */
int reach_all(const ReachTarget *targets, size_t n, int timeout_ms, Buffer *out) _must_check_;
