/* SPDX-License-Identifier: MIT */
/* Text that comes from outside or goes out: UTF-8, base64, JSON strings, numbers. No allocation
 * other than a Buffer's, so that the shim can use it too. */
#pragma once

#include "protocol/base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* Length of the longest prefix that is whole, valid UTF-8 (RFC 3629: no surrogates, no overlong
 * forms). Equal to `n` when all of it is. */
size_t text_utf8_prefix(const char *data, size_t n);

bool text_is_utf8(const char *data, size_t n);

/* Appends the bytes with whatever is not UTF-8 as U+FFFD, one for each byte, and NUL, too: a JSON
 * string of ours holds none. */
int text_append_utf8(Buffer *b, const char *data, size_t n) _must_check_;

/* How many bytes at the end are the beginning of a character that is not there yet (0 to 3). */
size_t text_utf8_incomplete_tail(const char *data, size_t n);

/* Appends the bytes as a JSON string with its quotes (RFC 8259 section 7). What is not UTF-8
 * becomes U+FFFD, one for each byte; NUL, too, because a reader of ours takes no \u0000. */
int text_append_json(Buffer *b, const char *data, size_t n) _must_check_;

/* Base64 with padding, RFC 4648 section 4. */
int text_append_base64(Buffer *b, const void *data, size_t n) _must_check_;

/* Decodes strictly: padding required, no white space, no bits left over. -EINVAL leaves `b` as it
 * was. */
int text_decode_base64(Buffer *b, const char *text, size_t n) _must_check_;

/* A whole decimal number within the bounds. -EINVAL, -ERANGE. */
int text_parse_int(const char *text, int64_t min, int64_t max, int64_t *ret) _must_check_;

bool text_has_prefix(const char *text, const char *prefix);

/* An identifier of ours or of the caller's: 1 to 128 of [A-Za-z0-9._-], not starting with a dot or
 * a dash, so that it is also a safe file name. */
bool text_is_identifier(const char *text);
#define TEXT_IDENTIFIER_MAX 128
