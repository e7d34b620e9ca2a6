/* SPDX-License-Identifier: MIT */
/* One event of a call as a line of the protocol (protocol/README.md, "Events").
 *
 * Log lines are where the bytes are: they are written straight into the output, with their members
 * in one fixed order, which a client may scan for instead of parsing JSON. */
#pragma once

#include "agent/calls/calls.h"
#include "protocol/base/buffer.h"

/* Appends the event of `call` with its line feed. On failure (-ENOMEM, -ENOBUFS) nothing is added.
 */
int event_line_append(Buffer *out, const char *call, const CallEvent *event) _must_check_;

/* The name of an event on the wire, "call/log". */
const char *event_line_method(CallEventType type);
