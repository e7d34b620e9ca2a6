/* SPDX-License-Identifier: MIT */
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

/* Length of the character at `s` (RFC 3629, table in section 4): 0 if it is not one, -1 if the `n`
 * bytes are only the beginning of one. */
static int utf8_char_len(const unsigned char *s, size_t n)
{
    unsigned char low = 0x80, high = 0xbf;
    int len;

    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        len = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        len = 3;
        low = s[0] == 0xe0 ? 0xa0 : low;
        high = s[0] == 0xed ? 0x9f : high;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        len = 4;
        low = s[0] == 0xf0 ? 0x90 : low;
        high = s[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    for (int i = 1; i < len; i++) {
        if ((size_t)i >= n) {
            return -1;
        }
        if (s[i] < low || s[i] > high) {
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return len;
}

/* Eight bytes at once while they are ASCII. */
static size_t ascii_prefix(const char *data, size_t n)
{
    size_t i = 0;

    while (n - i >= 8) {
        uint64_t word;

        memcpy(&word, data + i, 8);
        if (word & 0x8080808080808080u) {
            break;
        }
        i += 8;
    }
    return i;
}

size_t text_utf8_prefix(const char *data, size_t n)
{
    size_t i = 0;

    while (i < n) {
        int len;

        i += ascii_prefix(data + i, n - i);
        if (i == n) {
            break;
        }
        len = utf8_char_len((const unsigned char *)data + i, n - i);
        if (len <= 0) {
            break;
        }
        i += (size_t)len;
    }
    return i;
}

bool text_is_utf8(const char *data, size_t n)
{
    return text_utf8_prefix(data, n) == n;
}

size_t text_utf8_incomplete_tail(const char *data, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)data[n - back];

        if (c < 0x80) {
            return 0;
        }
        if (c >= 0xc0) {
            return utf8_char_len((const unsigned char *)data + n - back, back) < 0 ? back : 0;
        }
    }
    return 0;
}

/* Bytes that stand for themselves in a JSON string. Found eight at a time: a byte below 0x20, a
 * quote, a backslash or one with the high bit stops the run. */
static size_t json_plain_prefix(const char *data, size_t n)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    size_t i = 0;

    while (n - i >= 8) {
        uint64_t w, quote, slash;

        memcpy(&w, data + i, 8);
        quote = w ^ (ones * '"');
        slash = w ^ (ones * '\\');
        if ((((w - ones * 0x20) | (quote - ones) | (slash - ones)) & ~w & high) || (w & high)) {
            break;
        }
        i += 8;
    }
    while (i < n) {
        unsigned char c = (unsigned char)data[i];

        if (c < 0x20 || c == '"' || c == '\\' || c >= 0x80) {
            break;
        }
        i++;
    }
    return i;
}

static int append_json_escape(Buffer *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 0};

    switch (c) {
    case '"':
    case '\\':
        text[1] = (char)c;
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    default:
        memcpy(text, "\\u00", 4);
        text[4] = hex[c >> 4];
        text[5] = hex[c & 15];
        return buffer_append(b, text, 6);
    }
    return buffer_append(b, text, 2);
}

int text_append_json(Buffer *b, const char *data, size_t n)
{
    size_t start = b->len, i = 0;
    int r = buffer_append(b, "\"", 1);

    while (r == 0 && i < n) {
        size_t plain = json_plain_prefix(data + i, n - i);
        int len;

        if (plain > 0) {
            r = buffer_append(b, data + i, plain);
            i += plain;
            continue;
        }
        len = utf8_char_len((const unsigned char *)data + i, n - i);
        if (len == 1) {
            r = append_json_escape(b, (unsigned char)data[i]);
        } else if (len > 1) {
            r = buffer_append(b, data + i, (size_t)len);
        } else {
            r = buffer_append(b, "\xef\xbf\xbd", 3);
            len = 1;
        }
        i += (size_t)len;
    }
    if (r == 0) {
        r = buffer_append(b, "\"", 1);
    }
    if (r < 0 && b->data) {
        b->len = start;
        b->data[start] = '\0';
    }
    return r;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int text_append_base64(Buffer *b, const void *data, size_t n)
{
    const unsigned char *s = data;
    char *out;
    int r;

    r = buffer_reserve(b, (n + 2) / 3 * 4);
    if (r < 0) {
        return r;
    }
    out = b->data + b->len;
    for (; n >= 3; n -= 3, s += 3) {
        *out++ = base64_digits[s[0] >> 2];
        *out++ = base64_digits[(s[0] & 3) << 4 | s[1] >> 4];
        *out++ = base64_digits[(s[1] & 15) << 2 | s[2] >> 6];
        *out++ = base64_digits[s[2] & 63];
    }
    if (n > 0) {
        unsigned char second = n == 2 ? s[1] : 0;

        *out++ = base64_digits[s[0] >> 2];
        *out++ = base64_digits[(s[0] & 3) << 4 | second >> 4];
        *out++ = n == 2 ? base64_digits[(second & 15) << 2] : '=';
        *out++ = '=';
    }
    *out = '\0';
    b->len = (size_t)(out - b->data);
    return 0;
}

static int base64_value(unsigned char c)
{
    static signed char table[256];
    static bool is_ready;

    if (!is_ready) {
        memset(table, -1, sizeof(table));
        for (int i = 0; i < 64; i++) {
            table[(unsigned char)base64_digits[i]] = (signed char)i;
        }
        is_ready = true;
    }
    return table[c];
}

int text_decode_base64(Buffer *b, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t start = b->len, padding = 0;
    char *out;
    int r;

    if (n % 4 != 0) {
        return -EINVAL;
    }
    if (n > 0) {
        padding = s[n - 1] != '=' ? 0 : s[n - 2] != '=' ? 1 : 2;
    }
    r = buffer_reserve(b, n / 4 * 3);
    if (r < 0) {
        return r;
    }
    out = b->data + start;
    for (size_t i = 0; i < n; i += 4) {
        bool is_last = i + 4 == n;
        int v0 = base64_value(s[i]), v1 = base64_value(s[i + 1]);
        int v2 = is_last && padding == 2 ? 0 : base64_value(s[i + 2]);
        int v3 = is_last && padding >= 1 ? 0 : base64_value(s[i + 3]);

        if ((v0 | v1 | v2 | v3) < 0) {
            b->data[start] = '\0';
            return -EINVAL;
        }
        *out++ = (char)(v0 << 2 | v1 >> 4);
        *out++ = (char)(v1 << 4 | v2 >> 2);
        *out++ = (char)(v2 << 6 | v3);
    }
    b->len = (size_t)(out - b->data) - padding;
    b->data[b->len] = '\0';
    return 0;
}

int text_parse_int(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    char *end;
    long long value;

    if (!text || (*text != '-' && (*text < '0' || *text > '9'))) {
        return -EINVAL;
    }
    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || *end != '\0') {
        return -EINVAL;
    }
    if (errno == ERANGE || value < min || value > max) {
        return -ERANGE;
    }
    *ret = value;
    return 0;
}

bool text_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_is_identifier(const char *text)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strlen(text);

    return n > 0 && n <= TEXT_IDENTIFIER_MAX && text[0] != '.' && text[0] != '-' &&
           strspn(text, allowed) == n;
}
