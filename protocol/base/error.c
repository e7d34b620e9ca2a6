/* SPDX-License-Identifier: MIT */
#include "protocol/base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_done(Error *err)
{
    free(err->text);
    *err = (Error){0};
}

static void error_take_text(Error *err, int code, char *text)
{
    free(err->text);
    err->text = text; /* NULL after a failed allocation: error_text() falls back on the errno */
    err->code = code;
}

int error_set(Error *err, int code, const char *format, ...)
{
    char *text = NULL;
    va_list ap;

    assert(code < 0);
    if (!err) {
        return code;
    }
    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0) {
        text = NULL;
    }
    va_end(ap);
    error_take_text(err, code, text);
    return code;
}

int error_set_errno(Error *err, int code, const char *format, ...)
{
    _cleanup_free_ char *head = NULL;
    char *text = NULL;
    va_list ap;

    assert(code < 0);
    if (!err) {
        return code;
    }
    va_start(ap, format);
    if (vasprintf(&head, format, ap) < 0) {
        head = NULL;
    }
    va_end(ap);
    if (head && asprintf(&text, "%s: %s", head, strerror(-code)) < 0) {
        text = NULL;
    }
    error_take_text(err, code, text);
    return code;
}

int error_wrap(Error *err, const char *format, ...)
{
    _cleanup_free_ char *head = NULL;
    char *text = NULL;
    va_list ap;

    if (!err) {
        return -EIO;
    }
    assert(err->code < 0);
    va_start(ap, format);
    if (vasprintf(&head, format, ap) < 0) {
        head = NULL;
    }
    va_end(ap);
    if (head && asprintf(&text, "%s: %s", head, error_text(err)) >= 0) {
        error_take_text(err, err->code, text);
    }
    return err->code;
}

const char *error_text(const Error *err)
{
    return err->text ? err->text : strerror(-err->code);
}

int error_tell(const Error *err, int r, char **ret_text)
{
    if (r < 0 && ret_text) {
        *ret_text = strdup(error_text(err));
    }
    return r;
}
