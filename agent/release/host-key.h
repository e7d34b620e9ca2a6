/* SPDX-License-Identifier: MIT */
/* The key with which this host signs: made once, in a directory of its own (mode 0700), and never
 * sent anywhere. Steps of a repository cannot read it (agent/source/confine.h). */
#pragma once

#include "protocol/evidence/trust.h"

#define HOST_KEY_FILE "agent.key"
#define HOST_KEY_PUBLIC_FILE "agent.pub"

/* What a host believes its own key: what is done here is done by it. */
#define HOST_KEY_ROLES (KEY_ROLE_BUILDER | KEY_ROLE_TESTER | KEY_ROLE_STAGER)

/* Opens the key in `directory`; makes both where they are missing. Two that come at once get the
 * same key. */
int host_key_open(const char *directory, Key **ret, Error *err) _must_check_;

/* Whom this host believes: `keys` of agent.json (may be NULL), and its own key (`directory` NULL:
 * it has none). */
int host_key_trust(const char *directory, const char *agent, const Json *keys, Trust *ret,
                   Error *err) _must_check_;
