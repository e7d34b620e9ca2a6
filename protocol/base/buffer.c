/* SPDX-License-Identifier: MIT */
#include "protocol/base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_FIRST_SIZE ((size_t)256)

void buffer_done(Buffer *b)
{
    free(b->data);
    *b = BUFFER_INIT(b->limit);
}

int buffer_reserve(Buffer *b, size_t n)
{
    size_t limit = b->limit ? b->limit : BUFFER_LIMIT_DEFAULT;
    size_t want, size;
    char *data;

    assert(limit < SIZE_MAX / 2);

    if (n > limit || b->len > limit - n) {
        return -ENOBUFS;
    }
    want = b->len + n + 1;
    if (want <= b->allocated) {
        return 0;
    }
    size = MAX(b->allocated, BUFFER_FIRST_SIZE);
    while (size < want) {
        size *= 2;
    }
    size = MIN(size, limit + 1); /* the NUL is not counted */
    data = realloc(b->data, size);
    if (!data) {
        return -ENOMEM;
    }
    b->data = data;
    b->allocated = size;
    b->data[b->len] = '\0';
    return 0;
}

int buffer_append(Buffer *b, const void *data, size_t n)
{
    int r = buffer_reserve(b, n);

    if (r < 0) {
        return r;
    }
    if (n > 0) {
        memcpy(b->data + b->len, data, n);
    }
    b->len += n;
    b->data[b->len] = '\0';
    return 0;
}

int buffer_append_text(Buffer *b, const char *text)
{
    return buffer_append(b, text, strlen(text));
}

int buffer_append_format(Buffer *b, const char *format, ...)
{
    va_list ap;
    int n, r;

    va_start(ap, format);
    n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0) {
        return -EINVAL;
    }
    r = buffer_reserve(b, (size_t)n);
    if (r < 0) {
        return r;
    }
    va_start(ap, format);
    (void)vsnprintf(b->data + b->len, (size_t)n + 1, format, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

void buffer_consume(Buffer *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0) {
        return;
    }
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
    b->data[b->len] = '\0';
}

void buffer_truncate(Buffer *b, size_t len)
{
    assert(len <= b->len);
    b->len = len;
    if (b->data) {
        b->data[len] = '\0';
    }
}

void buffer_clear(Buffer *b)
{
    buffer_truncate(b, 0);
}

const char *buffer_text(const Buffer *b)
{
    return b->data ? b->data : "";
}

char *buffer_take_text(Buffer *b)
{
    if (buffer_reserve(b, 0) < 0) {
        return NULL;
    }
    b->len = 0;
    b->allocated = 0;
    return TAKE_PTR(b->data);
}
