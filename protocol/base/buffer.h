/* SPDX-License-Identifier: MIT */
/* A growing byte buffer with a limit that its owner names. Appends fail with -ENOBUFS at the limit
 * and leave the content as it was, so outside data can never grow memory without bound. */
#pragma once

#include "protocol/base/macro.h"

#include <stdarg.h>
#include <stdint.h>

typedef struct Buffer {
    char *data; /* always followed by a NUL that is not counted, once anything was appended */
    size_t len;
    size_t allocated;
    size_t limit; /* bytes; 0 means BUFFER_LIMIT_DEFAULT */
} Buffer;

#define BUFFER_LIMIT_DEFAULT ((size_t)64 << 20)

#define BUFFER_INIT(max) ((Buffer){.limit = (max)})

void buffer_done(Buffer *b);
#define _cleanup_buffer_ _cleanup_(buffer_done)

/* Room for `n` more bytes at data + len. -ENOMEM, -ENOBUFS. */
int buffer_reserve(Buffer *b, size_t n) _must_check_;

int buffer_append(Buffer *b, const void *data, size_t n) _must_check_;
int buffer_append_text(Buffer *b, const char *text) _must_check_;
int buffer_append_format(Buffer *b, const char *format, ...) _must_check_ _printf_(2, 3);

/* Drops `n` bytes from the front. */
void buffer_consume(Buffer *b, size_t n);

/* Keeps the first `len` bytes only, which must be there: undoes appends. */
void buffer_truncate(Buffer *b, size_t len);

/* Empties, keeps the memory. */
void buffer_clear(Buffer *b);

/* The text, "" when empty; borrowed until the next change. */
const char *buffer_text(const Buffer *b);

/* Hands over the NUL-terminated memory (never NULL but for -ENOMEM); the buffer is empty after. */
char *buffer_take_text(Buffer *b) _must_check_;
