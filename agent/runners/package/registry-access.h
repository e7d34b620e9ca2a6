/* SPDX-License-Identifier: MIT */
/* How this host gets at registries: what agent.json says under `publish.image`, on top of what
 * docker's configuration of the agent's user says. */
#pragma once

#include "agent/package/registry/registry.h"
#include "agent/runners/action.h"

typedef struct RegistryAccess {
    RegistryClient *client;
    RegistryOptions options; /* the client's; the next three are its */
    const char *plain_hosts[2];
    const char **token_hosts;
    char *host; /* of `publish.image.registry` */
    Report *report;
    int64_t told_ms;
} RegistryAccess;

/* In place: the client borrows from `access`, which may not move. */
int registry_access_init(RegistryAccess *access, Action *action, Error *err) _must_check_;
void registry_access_done(RegistryAccess *access);
#define _cleanup_registry_access_ _cleanup_(registry_access_done)

/* A NULL-terminated array of an array's texts, which are borrowed; the caller frees it. NULL: no
 * memory. */
const char **registry_access_texts(const Json *array) _must_check_;
