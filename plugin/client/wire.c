/* SPDX-License-Identifier: MIT */
#include "plugin/client/wire.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

typedef struct Cursor {
    const char *at;
    const char *end;
} Cursor;

static bool take(Cursor *c, const char *literal, size_t n)
{
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, literal, n) != 0) {
        return false;
    }
    c->at += n;
    return true;
}
#define TAKE(c, literal) take(c, literal, sizeof(literal) - 1)

/* A number as the agent writes it: no sign, no leading zero, fits 63 bits. */
static bool take_number(Cursor *c, int64_t *ret)
{
    const char *start = c->at;
    int64_t value = 0;

    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        if (c->at - start == 18) {
            return false;
        }
        value = value * 10 + (*c->at++ - '0');
    }
    if (c->at == start || (*start == '0' && c->at - start > 1)) {
        return false;
    }
    *ret = value;
    return true;
}

/* A short string without escapes, up to and with its closing quote. */
static bool take_word(Cursor *c, const char **ret, size_t *ret_len)
{
    const char *start = c->at;

    while (c->at<c->end && * c->at> 0x20 && *c->at < 0x7f && *c->at != '"' && *c->at != '\\') {
        c->at++;
    }
    if (c->at == c->end || *c->at != '"' || c->at == start) {
        return false;
    }
    *ret = start;
    *ret_len = (size_t)(c->at++ - start);
    return true;
}

/* How far nothing special comes: no control character, quote or backslash. Eight bytes at once. */
static const char *skip_plain(const char *at, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;

    while (end - at >= 8) {
        uint64_t w, quote, slash, hit;

        memcpy(&w, at, 8);
        quote = w ^ (ones * '"');
        slash = w ^ (ones * '\\');
        hit = (((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) &
              high;
        if (hit) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            /* Borrows only spoil bits above the first hit. */
            return at + __builtin_ctzll(hit) / 8;
#else
            break;
#endif
        }
        at += 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\') {
        at++;
    }
    return at;
}

/* The character of an escape, into `out`. False for one that only the full parser should judge. */
static bool take_escape(Cursor *c, char **out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    static const char digits[] = "0123456789abcdef";
    const char *at, *high, *low;

    if (c->at == c->end) {
        return false;
    }
    if (*c->at != 'u') {
        at = memchr(names, *c->at++, sizeof(names) - 1);
        if (at) {
            *(*out)++ = values[at - names];
        }
        return at;
    }
    c->at++;
    if (!TAKE(c, "00") || c->end - c->at < 2) {
        return false;
    }
    high = memchr(digits, c->at[0], 8);
    low = memchr(digits, c->at[1], 16);
    if (!high || !low || (high == digits && low == digits)) {
        return false;
    }
    *(*out)++ = (char)((high - digits) << 4 | (low - digits));
    c->at += 2;
    return true;
}

/* The text of a JSON string up to and with its closing quote. 1, 0 or a negative errno. */
static int take_text(Cursor *c, Buffer *data)
{
    char *out;
    int r;

    buffer_clear(data);
    r = buffer_reserve(data, (size_t)(c->end - c->at));
    if (r < 0) {
        return r;
    }
    out = data->data;
    for (;;) {
        const char *plain = skip_plain(c->at, c->end);

        memcpy(out, c->at, (size_t)(plain - c->at));
        out += plain - c->at;
        c->at = plain;
        if (c->at == c->end || (unsigned char)*c->at < 0x20) {
            return 0;
        }
        if (*c->at++ == '"') {
            break;
        }
        if (!take_escape(c, &out)) {
            return 0;
        }
    }
    data->len = (size_t)(out - data->data);
    *out = '\0';
    return text_is_utf8(data->data, data->len);
}

static int take_base64(Cursor *c, Buffer *data)
{
    const char *start = c->at, *end = memchr(c->at, '"', (size_t)(c->end - c->at));
    int r;

    if (!end) {
        return 0;
    }
    buffer_clear(data);
    c->at = end + 1;
    r = text_decode_base64(data, start, (size_t)(end - start));
    return r == -EINVAL ? 0 : r < 0 ? r : 1;
}

int wire_scan_log(const char *line, size_t n, WireLog *ret, Buffer *data)
{
    Cursor c = {.at = line, .end = line + n};
    WireLog log = {0};
    int64_t seq;
    int r;

    if (!TAKE(&c, "{\"jsonrpc\":\"2.0\",\"method\":\"call/log\",\"params\":")) {
        return 0;
    }
    log.params = c.at;
    if (!TAKE(&c, "{\"call\":\"") || !take_word(&c, &log.call, &log.call_len) ||
        !TAKE(&c, ",\"seq\":") || !take_number(&c, &seq) || !TAKE(&c, ",\"time\":\"") ||
        !take_word(&c, &log.time, &log.time_len) || !TAKE(&c, ",\"stream\":\"std")) {
        return 0;
    }
    log.is_stderr = TAKE(&c, "err\"");
    if ((!log.is_stderr && !TAKE(&c, "out\"")) || !TAKE(&c, ",\"offset\":") ||
        !take_number(&c, &log.offset)) {
        return 0;
    }
    if (TAKE(&c, ",\"text\":\"")) {
        r = take_text(&c, data);
    } else if (TAKE(&c, ",\"base64\":\"")) {
        r = take_base64(&c, data);
    } else {
        return 0;
    }
    if (r <= 0) {
        return r;
    }
    if (!TAKE(&c, "}")) {
        return 0;
    }
    log.params_len = (size_t)(c.at - log.params);
    if (!TAKE(&c, "}") || c.at != c.end) {
        return 0;
    }
    log.seq = (uint64_t)seq;
    *ret = log;
    return 1;
}

int wire_scan_chunk(const char *line, size_t n, WireChunk *ret, Buffer *data)
{
    Cursor c = {.at = line, .end = line + n};
    WireChunk chunk = {0};
    int r;

    if (!TAKE(&c, "{\"jsonrpc\":\"2.0\",\"id\":") || !take_number(&c, &chunk.id) ||
        !TAKE(&c, ",\"result\":{\"offset\":") || !take_number(&c, &chunk.offset) ||
        !TAKE(&c, ",\"base64\":\"")) {
        return 0;
    }
    r = take_base64(&c, data);
    if (r <= 0) {
        return r;
    }
    chunk.is_last = TAKE(&c, ",\"isLast\":true}}");
    if ((!chunk.is_last && !TAKE(&c, ",\"isLast\":false}}")) || c.at != c.end) {
        return 0;
    }
    *ret = chunk;
    return 1;
}
