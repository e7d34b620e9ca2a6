/* SPDX-License-Identifier: MIT */
/* Is the agent ready for more work, told before it would have to refuse any?
 *
 * One judgement of an answer to `health` for all who ask: `slipway health --nagios`, and /readyz,
 * /metrics and the page of slipway-health. It is cautious: whatever the agent itself calls a
 * problem counts, and its limits do somewhat before they are reached. */
#pragma once

#include "plugin/include/slipway.h"

#include <stdio.h>

/* Of the queue's limit; of a wait for a slot; of the disk, where the agent's own mark is less; of
 * inodes, twice what the agent complains of. */
#define READINESS_QUEUE_PERCENT 80
#define READINESS_WAIT_SECONDS 900
#define READINESS_DISK_BYTES ((int64_t)512 << 20)
#define READINESS_INODES 20000
/* Clocks that are further apart make an approval expire, or begin, at another moment than said. */
#define READINESS_CLOCK_SECONDS 30

typedef enum ReadinessState {
    READINESS_READY,
    READINESS_UNREADY, /* it works, but not for long, or not for all */
    READINESS_BROKEN,  /* no call can be started */
    _READINESS_STATE_MAX,
} ReadinessState;

typedef struct Readiness {
    ReadinessState state;
    SlipwayJson *reasons; /* an array of sentences */
} Readiness;

/* Of an answer to `health`. `clock_offset` is how far the agent's clock is ahead of ours, in
 * seconds; NAN: not known. -ENOMEM. */
int readiness_judge(const SlipwayJson *health, double clock_offset, Readiness *ret);
void readiness_done(Readiness *readiness);

/* With fewer bytes free than this it is not ready. */
int64_t readiness_disk_mark(const SlipwayJson *health);

/* The one line that Nagios and its likes read: "SLIPWAY OK - … | …". Returns the plugin's exit
 * code: 0 OK, 1 WARNING, 2 CRITICAL. */
int readiness_print_nagios(FILE *out, const SlipwayJson *health, const Readiness *readiness);

/* The same where there is no answer, for that reason. */
int readiness_print_nagios_away(FILE *out, const char *reason);
