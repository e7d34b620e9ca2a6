/* SPDX-License-Identifier: MIT */
/* Carries bytes between this process's stdin and stdout and another agent's socket, blocking, until
 * either side has enough. It understands nothing of what it carries. */
#pragma once

#include "protocol/base/error.h"

/* Takes `socket`. When the input ends, the other side is told so and its last bytes are still
 * carried. SIGPIPE has to be ignored. 0: it ended as conversations end. */
int bridge_run_take(int in_fd, int out_fd, int socket, Error *err) _must_check_;
