/* SPDX-License-Identifier: MIT */
/* Deploy templates: an engine's own JSON with `${name}` placeholders (README.md, "Template").
 *
 * Filling works on values, never on the text: a value cannot close a string, add a member or become
 * anything but what its place says. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

/* What a template may name. Each is an object or NULL, borrowed. A name has one meaning: a variable
 * of the environment that is called like one of ours, or one of the call that is called like any
 * other, is a mistake; so is one of the call that the template does not use. */
typedef struct TemplateNames {
    const Json *own; /* name, version, commit, … */
    const Json *environment;
    const Json *call;
} TemplateNames;

/* More mistakes than a person mends in one go; the rest is counted. */
#define TEMPLATE_MISTAKES_MAX 20

/* Fills the template `text` into a new value, the caller's. -EINVAL with every mistake, one on a
 * line: "line N: POINTER: what is wrong". */
int template_fill(const char *text, size_t n, const TemplateNames *names, Json **ret,
                  Error *err) _must_check_;
