/* SPDX-License-Identifier: MIT */
/* Is the host's clock kept right? By what the kernel was told of it (adjtimex(2)): NTP daemons
 * (chrony, ntpd, systemd-timesyncd) all tell it. Approvals expire and freezes begin by this clock.
 */
#pragma once

#include "protocol/json.h"

struct timex;

/* A member `clock`: `time`, and where the kernel says, `isSynchronized` and with it
 * `offsetSeconds` and `maxErrorSeconds`. -ENOMEM. */
int host_clock_describe(Json *object) _must_check_;

/* What `state` (of adjtimex) and its answer mean, into `clock`; the kernel may keep microseconds or
 * nanoseconds. */
int host_clock_explain(int state, const struct timex *kernel, Json *clock) _must_check_;
