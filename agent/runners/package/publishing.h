/* SPDX-License-Identifier: MIT */
/* What all kinds of `publish` in agent.json share: the repository's address, access to it, its
 * lock, and the key that signs. */
#pragma once

#include "agent/package/repository/gpg.h"
#include "agent/package/repository/publish-target.h"
#include "agent/runners/action.h"

typedef struct Publishing {
    PublishTarget *target; /* locked for this call */
    char *address;         /* of it, with the service's name filled in */
    GpgKey key;            /* borrowed; `key` is NULL where none signs */
} Publishing;

/* `publish` is a member of agent.json's `publish`, with a `target`. */
int publishing_open(Action *action, const Json *publish, Publishing *ret, Error *err) _must_check_;
void publishing_done(Publishing *publishing); /* lets go of the lock */
#define _cleanup_publishing_ _cleanup_(publishing_done)

/* Of `publish`, without a repository: what signs packages that go nowhere. */
GpgKey publishing_key(const Action *action, const Json *publish);
