/* SPDX-License-Identifier: MIT */
/* The agent on the other side: how it is called there, and what its end means. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/ssh/ssh-session.h"

/* The command line for `ssh://…[/STATE][?agent=PROGRAM][&config=PATH]`: `slipway-agent --stdio`,
 * its own defaults where nothing is said. -EINVAL: a member that there is not. */
int far_agent_command(const SshAddress *address, Buffer *ret, Error *err) _must_check_;

/* Why it ended, as an error: always negative. `errors` is what it said on stderr, and `has_spoken`
 * whether it ever worked. -ENOENT: it is not there. */
int far_agent_explain(const SshAddress *address, const char *name, const SshStatus *status,
                      const char *errors, bool has_spoken, Error *err);
