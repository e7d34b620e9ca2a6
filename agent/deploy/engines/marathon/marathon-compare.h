/* SPDX-License-Identifier: MIT */
/* What was sent against what Marathon made of it. Marathon adds defaults, assigns ports, writes
 * 1.0 for 1, leaves out what is empty, and keeps sets in an order of its own: none of that is a
 * change. Every change restarts the app, so a difference that is none costs a restart. */
#pragma once

#include "protocol/json.h"

#include <stdbool.h>

/* Each member of `sent` is in `running` with that value; maps that people fill (env, labels) have
 * nothing more in them either, but for labels of ours. */
bool marathon_compare_covers(const Json *sent, const Json *running);

/* A copy of `running` in the terms of `sent`: without labels of ours, defaults and what Marathon
 * assigned, unless `sent` says them. For people to see a difference. -ENOMEM. */
int marathon_compare_reduce(const Json *running, const Json *sent, Json **ret) _must_check_;
