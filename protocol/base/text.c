/* SPDX-License-Identifier: MIT */
#include "protocol/base/text.h"

#include <endian.h>
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

/* Half of all bytes of an artifact's way are base64, so both directions look up as much at once as
 * fits the first-level cache: 12 bits become two digits, and a digit's bits stand already where
 * they belong in the 24 of its four. */
/* clang-format off */
#define BASE64_EACH(X, a) \
    X(a, 'A', 0)  X(a, 'B', 1)  X(a, 'C', 2)  X(a, 'D', 3)  X(a, 'E', 4)  X(a, 'F', 5)  \
    X(a, 'G', 6)  X(a, 'H', 7)  X(a, 'I', 8)  X(a, 'J', 9)  X(a, 'K', 10) X(a, 'L', 11) \
    X(a, 'M', 12) X(a, 'N', 13) X(a, 'O', 14) X(a, 'P', 15) X(a, 'Q', 16) X(a, 'R', 17) \
    X(a, 'S', 18) X(a, 'T', 19) X(a, 'U', 20) X(a, 'V', 21) X(a, 'W', 22) X(a, 'X', 23) \
    X(a, 'Y', 24) X(a, 'Z', 25) X(a, 'a', 26) X(a, 'b', 27) X(a, 'c', 28) X(a, 'd', 29) \
    X(a, 'e', 30) X(a, 'f', 31) X(a, 'g', 32) X(a, 'h', 33) X(a, 'i', 34) X(a, 'j', 35) \
    X(a, 'k', 36) X(a, 'l', 37) X(a, 'm', 38) X(a, 'n', 39) X(a, 'o', 40) X(a, 'p', 41) \
    X(a, 'q', 42) X(a, 'r', 43) X(a, 's', 44) X(a, 't', 45) X(a, 'u', 46) X(a, 'v', 47) \
    X(a, 'w', 48) X(a, 'x', 49) X(a, 'y', 50) X(a, 'z', 51) X(a, '0', 52) X(a, '1', 53) \
    X(a, '2', 54) X(a, '3', 55) X(a, '4', 56) X(a, '5', 57) X(a, '6', 58) X(a, '7', 59) \
    X(a, '8', 60) X(a, '9', 61) X(a, '+', 62) X(a, '/', 63)

#define PAIR(first, second, value) {first, second},
#define ROW(first) BASE64_EACH(PAIR, first)
static const char base64_pairs[4096][2] = {
    ROW('A') ROW('B') ROW('C') ROW('D') ROW('E') ROW('F') ROW('G') ROW('H')
    ROW('I') ROW('J') ROW('K') ROW('L') ROW('M') ROW('N') ROW('O') ROW('P')
    ROW('Q') ROW('R') ROW('S') ROW('T') ROW('U') ROW('V') ROW('W') ROW('X')
    ROW('Y') ROW('Z') ROW('a') ROW('b') ROW('c') ROW('d') ROW('e') ROW('f')
    ROW('g') ROW('h') ROW('i') ROW('j') ROW('k') ROW('l') ROW('m') ROW('n')
    ROW('o') ROW('p') ROW('q') ROW('r') ROW('s') ROW('t') ROW('u') ROW('v')
    ROW('w') ROW('x') ROW('y') ROW('z') ROW('0') ROW('1') ROW('2') ROW('3')
    ROW('4') ROW('5') ROW('6') ROW('7') ROW('8') ROW('9') ROW('+') ROW('/')
};
#undef ROW
#undef PAIR

/* Of each of the four places: the bits of the digit, with a mark above them that it is one. */
#define BASE64_GOOD (0xfu << 24)
#define DIGIT(place, digit, value) \
    [digit] = 1u << (24 + (place)) | (uint32_t)(value) << (18 - 6 * (place)),
static const uint32_t base64_values[4][256] = {
    {BASE64_EACH(DIGIT, 0)}, {BASE64_EACH(DIGIT, 1)},
    {BASE64_EACH(DIGIT, 2)}, {BASE64_EACH(DIGIT, 3)},
};
#undef DIGIT
#undef BASE64_EACH
/* clang-format on */

/* Six bytes become eight digits. Eight have to be readable. */
static void encode_six(const unsigned char *s, char *out)
{
    uint64_t bits;

    memcpy(&bits, s, sizeof(bits));
    bits = be64toh(bits);
    memcpy(out, base64_pairs[bits >> 52], 2);
    memcpy(out + 2, base64_pairs[bits >> 40 & 0xfff], 2);
    memcpy(out + 4, base64_pairs[bits >> 28 & 0xfff], 2);
    memcpy(out + 6, base64_pairs[bits >> 16 & 0xfff], 2);
}

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
    for (; n >= 8; n -= 6, s += 6, out += 8) {
        encode_six(s, out);
    }
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

/* Four digits without padding into three bytes, and a fourth one that means nothing. Returns
 * BASE64_GOOD and more, unless one of them is no digit. */
static uint32_t decode_quantum(const unsigned char *s, char *out)
{
    uint32_t bits = base64_values[0][s[0]] | base64_values[1][s[1]] | base64_values[2][s[2]] |
                    base64_values[3][s[3]];
    uint32_t bytes = htobe32(bits << 8);

    memcpy(out, &bytes, sizeof(bytes));
    return bits;
}

/* The last four digits, of which one or two are padding. The bits that no byte takes must be zero
 * (RFC 4648 section 3.5), so that one content has one encoding. */
static bool decode_padded(const unsigned char *s, size_t padding, char *out)
{
    unsigned char digits[4] = {s[0], s[1], padding == 2 ? 'A' : s[2], 'A'};
    char bytes[4];

    if ((decode_quantum(digits, bytes) & BASE64_GOOD) != BASE64_GOOD || bytes[3 - padding] != 0) {
        return false;
    }
    memcpy(out, bytes, 3 - padding);
    return true;
}

int text_decode_base64(Buffer *b, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t padding = 0, whole, len;
    uint32_t all = BASE64_GOOD;
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
    /* The byte too many of the last quantum falls on the NUL, for which a buffer has room. */
    out = b->data + b->len;
    for (size_t i = 0; i < whole; i++, s += 4, out += 3) {
        all &= decode_quantum(s, out);
    }
    if (all < BASE64_GOOD || (padding > 0 && !decode_padded(s, padding, out))) {
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
