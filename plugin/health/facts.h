/* SPDX-License-Identifier: MIT */
/* What is known of an agent at a moment: what all pages are made of. */
#pragma once

#include "plugin/health/ledger.h"
#include "plugin/include/slipway.h"
#include "plugin/readiness/readiness.h"

/* All borrowed from whoever gathers them. */
typedef struct Facts {
    bool is_up;
    const char *address;
    const char *why;           /* it is not up */
    const SlipwayJson *health; /* the answer to `health`; NULL while it is not up */
    const SlipwayJson *live;   /* of calls/list: what runs and what waits */
    const SlipwayJson *ended;  /* the newest that ended */
    const Readiness *readiness;
    const Ledger *ledger;      /* NULL: the audit log was not read, or is no log */
    const char *audit_problem; /* NULL: there is none */
    double clock_offset;       /* how far the agent's clock is ahead of ours, seconds; NAN */
    double seconds;            /* that asking took */
    int64_t now_us;            /* when that was */
} Facts;
