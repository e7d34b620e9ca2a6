/* SPDX-License-Identifier: MIT */
/* The JSON Schemas of protocol/schema/, compiled in: "NAME.schema.json" is found as "NAME". */
#pragma once

#include "protocol/json.h"

typedef struct SchemaText {
    const char *name;
    size_t len;
    const char *text;
} SchemaText;

/* All of them, in the order of their names, ended by an empty one. */
extern const SchemaText schema_texts[];

/* NULL if there is none of that name. */
const SchemaText *schema_find(const char *name);

/* The parsed schema, the caller's. -ENOENT: no such schema. -ENOMEM. A method's schema is an object
 * with
 * `$defs` `params` and `result`. */
int schema_load(const char *name, Json **ret, Error *err) _must_check_;
