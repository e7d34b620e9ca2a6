/* SPDX-License-Identifier: MIT */
/* A TCP connection to a host by name, by whichever of its addresses answers. */
#pragma once

#include "protocol/base/error.h"

#include <stdint.h>

/* Blocks until `timeout_ms` at most (but for the name service, which has its own limits). Every
 * address has its share of the time, so that one that swallows packets does not hide the next. The
 * socket is non-blocking. `family` is AF_UNSPEC, AF_INET or AF_INET6. Codes of ssh-session.h. */
int ssh_connect(const char *host, uint16_t port, int family, int64_t timeout_ms, int *ret_fd,
                Error *err) _must_check_;
