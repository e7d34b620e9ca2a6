/* SPDX-License-Identifier: MIT */
/* What the service manager passes and wants to hear: sd_listen_fds(3), sd_notify(3) and
 * sd_watchdog_enabled(3), without its library. Everywhere else these do nothing. */
#pragma once

#include "protocol/base/error.h"

#include <stdint.h>

#define SYSTEMD_FIRST_FD 3
/* More sockets than anybody configures. */
#define SYSTEMD_FDS_MAX 64

/* How many listening sockets were passed, from SYSTEMD_FIRST_FD on; 0 where they are not for this
 * process. The variables are removed, so that no child takes them for its own. -EINVAL. */
int systemd_take_listen_fds(Error *err) _must_check_;

/* Sends `state` ("READY=1") where $NOTIFY_SOCKET says so. */
void systemd_notify(const char *state);

/* How often "WATCHDOG=1" is wanted, in milliseconds; 0: never. */
int64_t systemd_watchdog_ms(void);
