/* SPDX-License-Identifier: MIT */
/* Whether the service is well on one host: what systemd or its status command says there, and then
 * its health check, an address that the agent asks or a command of its own. */
#pragma once

#include "agent/deploy/engines/ssh/ssh-remote.h"
#include "agent/deploy/engines/ssh/ssh-service.h"

/* Looks once at what `current` is there. 0: it is well. SSH_REMOTE_NOT_YET, SSH_REMOTE_DEAD,
 * SSH_REMOTE_AWAY or a negative errno, with why in `err`. */
int ssh_health_check(SshRemote *remote, const char *base, const SshService *service,
                     bool is_deploying, Error *err) _must_check_;
