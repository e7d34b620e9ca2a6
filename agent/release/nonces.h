/* SPDX-License-Identifier: MIT */
/* The nonces of approvals that this host has taken: each once, ever, over restarts. A file of one
 * hexadecimal nonce a line, appended and synced before whatever it allows is done. */
#pragma once

#include "protocol/base/error.h"

#define NONCES_FILE "nonces"
#define NONCES_SEEN 1

/* Takes `nonce` in the held directory: 0 and it is on disk, or NONCES_SEEN and nothing changed. */
int nonces_take(int dir_fd, const char *nonce, Error *err) _must_check_;
