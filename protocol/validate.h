/* SPDX-License-Identifier: MIT */
/* Checks a value against a JSON Schema (draft 2020-12, the part that our schemas use) and tells
 * every mistake at once, each with its JSON Pointer and, where the text is at hand, its line.
 *
 * Keywords: $ref to "#/$defs/…", type, enum, const, properties, required, additionalProperties,
 * propertyNames, minProperties, maxProperties, items, minItems, maxItems, minimum, maximum,
 * minLength, maxLength, pattern (POSIX extended), oneOf; and true and false as schemas. Annotations
 * are skipped. Any other keyword, and one with a value that it cannot have, fails the check, so
 * that no schema promises what is not kept. */
#pragma once

#include "protocol/json.h"

/* More mistakes than a person mends in one go; the rest is counted. */
#define VALIDATE_MISTAKES_MAX 50

/* 0 when the value is right. Otherwise -EINVAL, with every mistake in `err`: one on a line, as
 * "POINTER: what is wrong" or, with `text`, "line N: POINTER: what is wrong". `text` (may be NULL)
 * is what `value` was parsed from. -ENOTSUP: the schema is not understood, or its references go
 * round in circles. */
int validate_value(const Json *schema, const Json *value, const char *text, size_t text_len,
                   Error *err) _must_check_;
