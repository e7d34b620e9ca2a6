/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/html.h"

#include <stdarg.h>
#include <stdlib.h>

static const char *entity_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void html_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        const char *entity = entity_of(*text);

        if (entity) {
            (void)fputs(entity, out);
        } else if ((unsigned char)*text >= 0x20 && *text != 0x7f) {
            (void)fputc(*text, out);
        }
    }
}

void html_format(FILE *out, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    if (text) {
        html_text(out, text);
    }
    free(text);
}
