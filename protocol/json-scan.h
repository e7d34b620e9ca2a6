/* SPDX-License-Identifier: MIT */
/* A walk over the bytes of a JSON text (RFC 8259), for json.c alone. json-c tells neither lines nor
 * duplicate names, and it lets through what the RFC forbids; one small scanner does the three, and
 * finds a pointer's place (json_locate). */
#pragma once

#include "protocol/json.h"

/* Is this exactly one JSON text, at most JSON_DEPTH_MAX deep? -EINVAL with line and column.
 * `is_strict` as in json_parse_strict. */
int json_scan(const char *text, size_t n, bool is_strict, Error *err) _must_check_;

/* Does the next token of the pointer `target` (NULL: none) name this member? The rest of the
 * pointer, or NULL. */
const char *json_scan_pointer_step(const char *target, const char *name, size_t n);
