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

int text_append_utf8(Buffer *b, const char *data, size_t n)
{
    size_t start = b->len;
    int r = buffer_reserve(b, n);

    while (r == 0 && n > 0) {
        size_t good = text_utf8_prefix(data, strnlen(data, n));

        r = buffer_append(b, data, good);
        if (r == 0 && good < n) {
            r = buffer_append(b, "\xef\xbf\xbd", 3);
            good++;
        }
        data += good;
        n -= good;
    }
    if (r < 0) {
        buffer_truncate(b, start);
    }
    return r;
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

/* ASCII that stands for itself in a JSON string. Found eight at a time: a byte below 0x20, a
 * quote, a backslash or one with the high bit stops the run. */
static size_t json_plain_ascii(const char *data, size_t n)
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

/* The same, with whole UTF-8 characters: a run that can be copied as it stands. */
static size_t json_plain_prefix(const char *data, size_t n)
{
    size_t i = json_plain_ascii(data, n);

    while (i < n && (unsigned char)data[i] >= 0x80) {
        int len = utf8_char_len((const unsigned char *)data + i, n - i);

        if (len <= 0) {
            break;
        }
        i += (size_t)len;
        if (i < n && (unsigned char)data[i] < 0x80) {
            i += json_plain_ascii(data + i, n - i);
        }
    }
    return i;
}

/* buffer_append for a few bytes at a time, which there are many of in a colourful log. */
static inline int append_few(Buffer *b, const char *data, size_t n)
{
    size_t limit = b->limit ? b->limit : BUFFER_LIMIT_DEFAULT;

    if (b->len + n >= b->allocated || b->len + n > limit) {
        return buffer_append(b, data, n);
    }
    memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = '\0';
    return 0;
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
        return append_few(b, text, 6);
    }
    return append_few(b, text, 2);
}

int text_append_json(Buffer *b, const char *data, size_t n)
{
    size_t start = b->len, i = 0;
    int r = buffer_append(b, "\"", 1);

    while (r == 0 && i < n) {
        size_t plain = json_plain_prefix(data + i, n - i);

        if (plain > 0) {
            r = append_few(b, data + i, plain);
            i += plain;
        } else if (data[i] != '\0' && (unsigned char)data[i] < 0x80) {
            r = append_json_escape(b, (unsigned char)data[i++]);
        } else {
            r = append_few(b, "\xef\xbf\xbd", 3);
            i++;
        }
    }
    if (r == 0) {
        r = buffer_append(b, "\"", 1);
    }
    if (r < 0) {
        buffer_truncate(b, start);
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

/* The value of each digit with a mark that it is one. */
#define BASE64_DIGIT 0x40
#define D(c, value) [c] = BASE64_DIGIT | (value)
static const uint8_t base64_values[256] = {
    D('A', 0),  D('B', 1),  D('C', 2),  D('D', 3),  D('E', 4),  D('F', 5),  D('G', 6),  D('H', 7),
    D('I', 8),  D('J', 9),  D('K', 10), D('L', 11), D('M', 12), D('N', 13), D('O', 14), D('P', 15),
    D('Q', 16), D('R', 17), D('S', 18), D('T', 19), D('U', 20), D('V', 21), D('W', 22), D('X', 23),
    D('Y', 24), D('Z', 25), D('a', 26), D('b', 27), D('c', 28), D('d', 29), D('e', 30), D('f', 31),
    D('g', 32), D('h', 33), D('i', 34), D('j', 35), D('k', 36), D('l', 37), D('m', 38), D('n', 39),
    D('o', 40), D('p', 41), D('q', 42), D('r', 43), D('s', 44), D('t', 45), D('u', 46), D('v', 47),
    D('w', 48), D('x', 49), D('y', 50), D('z', 51), D('0', 52), D('1', 53), D('2', 54), D('3', 55),
    D('4', 56), D('5', 57), D('6', 58), D('7', 59), D('8', 60), D('9', 61), D('+', 62), D('/', 63),
};
#undef D

/* Four digits without padding into three bytes. */
static bool decode_quantum(const unsigned char *s, char *out)
{
    unsigned v0 = base64_values[s[0]], v1 = base64_values[s[1]];
    unsigned v2 = base64_values[s[2]], v3 = base64_values[s[3]];
    unsigned bits = (v0 & 63) << 18 | (v1 & 63) << 12 | (v2 & 63) << 6 | (v3 & 63);

    out[0] = (char)(bits >> 16);
    out[1] = (char)(bits >> 8);
    out[2] = (char)bits;
    return v0 & v1 & v2 & v3 & BASE64_DIGIT;
}

/* The last four digits, of which one or two are padding. The bits that no byte takes must be zero
 * (RFC 4648 section 3.5), so that one content has one encoding. */
static bool decode_padded(const unsigned char *s, size_t padding, char *out)
{
    unsigned char digits[4] = {s[0], s[1], padding == 2 ? 'A' : s[2], 'A'};
    char bytes[3];

    if (!decode_quantum(digits, bytes) || bytes[3 - padding] != 0) {
        return false;
    }
    memcpy(out, bytes, 3 - padding);
    return true;
}

int text_decode_base64(Buffer *b, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t padding = 0, whole, len;
    bool is_good = true;
    char *out;
    int r;

    if (n % 4 != 0) {
        return -EINVAL;
    }
    if (n > 0) {
        padding = s[n - 1] != '=' ? 0 : s[n - 2] != '=' ? 1 : 2;
    }
    whole = n / 4 - (padding > 0);
    len = n / 4 * 3 - padding;
    r = buffer_reserve(b, len);
    if (r < 0) {
        return r;
    }
    out = b->data + b->len;
    for (size_t i = 0; i < whole && is_good; i++, s += 4, out += 3) {
        is_good = decode_quantum(s, out);
    }
    if (!is_good || (padding > 0 && !decode_padded(s, padding, out))) {
        b->data[b->len] = '\0';
        return -EINVAL;
    }
    b->len += len;
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
