/* SPDX-License-Identifier: MIT */
/* An error that a person will read: a negative errno for the program, a sentence for the person.
 * Functions that fail for reasons worth explaining take `Error *err` last. It is untouched on
 * success; on failure it holds the sentence, and callers put their own context before it. */
#pragma once

#include "protocol/base/macro.h"

typedef struct Error {
    int code; /* negative errno; 0 while nothing is wrong */
    char *text;
} Error;

/* Frees the text and makes the error empty again. */
void error_done(Error *err);

/* Replaces whatever is in `err` (which may be NULL) and returns `code`, for `return error_set(…)`.
 * `code` is a negative errno. */
int error_set(Error *err, int code, const char *format, ...) _printf_(3, 4);

/* As error_set, with ": " and the text of the errno appended. */
int error_set_errno(Error *err, int code, const char *format, ...) _printf_(3, 4);

/* Puts "context: " before the text. Returns the code, so that it can be returned; -EIO where `err`
 * is NULL, since nobody can tell which it was. */
int error_wrap(Error *err, const char *format, ...) _printf_(2, 3);

/* For an interface that has no Error: where `r` is negative, *ret_text (may be NULL) gets a copy of
 * the sentence, to free(). Returns `r`. */
int error_tell(const Error *err, int r, char **ret_text);

/* The sentence, never NULL: falls back on the name of the errno. Borrowed. */
const char *error_text(const Error *err);

#define _cleanup_error_ _cleanup_(error_done)
