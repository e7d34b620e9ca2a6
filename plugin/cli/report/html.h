/* SPDX-License-Identifier: MIT */
/* Text into HTML. Whatever comes from a log goes through here, so that it is text and nothing else,
 * as content and inside of a quoted attribute alike. */
#pragma once

#include <stdio.h>

/* & < > " and ' as entities, control characters left out. */
void html_text(FILE *out, const char *text);

/* The same for what the format makes. */
void html_format(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
