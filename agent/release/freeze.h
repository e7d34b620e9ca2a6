/* SPDX-License-Identifier: MIT */
/* Windows in which an environment is left alone. In agent.json, for each environment:
 *
 *     "freeze": [{"from": "Fri 16:00", "to": "Mon 08:00", "timeZone": "Europe/Berlin",
 *                 "reason": "weekend"},
 *                {"from": "2026-12-23T18:00", "to": "2027-01-02T08:00"}]
 *
 * Every week, or once; times are what a clock on the wall of that time zone (IANA name; UTC if none
 * is given) shows, so a window keeps its hours over the change to summer time. `from` belongs to
 * the window, `to` does not. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#define FREEZE_ACTIVE 1

/* FREEZE_ACTIVE and which (borrowed from `windows`, an array or NULL), or 0. -EINVAL: a window that
 * cannot be understood, or a time zone that this host does not know; nobody may guess then. Changes
 * the process's time zone for its time: for programs without threads. */
int freeze_find(const Json *windows, int64_t now_us, const Json **ret, Error *err) _must_check_;
