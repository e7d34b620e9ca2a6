/* SPDX-License-Identifier: MIT */
#include "agent/junit/junit-text.h"

#include "protocol/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

/* Nothing that we look for is longer; so much is held back until more comes. */
#define LOOK_AHEAD ((size_t)64)

/* The XML declaration with its encoding stands at the very beginning. */
#define DECLARATION_MAX ((size_t)256)

#define REPLACEMENT "\xef\xbf\xbd"

#define CDATA_BEGIN "<![CDATA["
#define CDATA_END "]]>"

void junit_text_done(JunitText *text)
{
    buffer_done(&text->pending);
}

/* ---- encoding ---------------------------------------------------------------------------------
 */

static bool is_latin1_name(const char *name, size_t n)
{
    static const char *const names[] = {"iso-8859-1", "iso-8859-15", "latin1", "windows-1252",
                                        "us-ascii"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strlen(names[i]) == n && strncasecmp(names[i], name, n) == 0) {
            return true;
        }
    }
    return false;
}

/* <?xml version="1.0" encoding="ISO-8859-1"?> */
static bool declares_latin1(const char *data)
{
    const char *end, *name;
    char quote;
    size_t len = 0;

    if (!text_has_prefix(data, "<?xml")) {
        return false;
    }
    end = strstr(data, "?>");
    name = end ? strstr(data, "encoding") : NULL;
    if (!name || name > end) {
        return false;
    }
    name += 8;
    while (name < end && (isspace((unsigned char)*name) || *name == '=')) {
        name++;
    }
    quote = *name;
    if (name >= end || (quote != '"' && quote != '\'')) {
        return false;
    }
    name++;
    while (name + len < end && name[len] != quote) {
        len++;
    }
    return is_latin1_name(name, len);
}

static int begin(JunitText *text)
{
    const unsigned char *data = (const unsigned char *)buffer_text(&text->pending);
    size_t n = text->pending.len;

    if (n >= 2 && ((data[0] == 0xff && data[1] == 0xfe) || (data[0] == 0xfe && data[1] == 0xff) ||
                   data[0] == 0 || data[1] == 0)) {
        return -EINVAL;
    }
    if (n >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        buffer_consume(&text->pending, 3);
    }
    text->is_latin1 = declares_latin1(buffer_text(&text->pending));
    text->is_begun = true;
    return 0;
}

/* ---- repairs ----------------------------------------------------------------------------------
 */

static bool is_xml_character(unsigned long c)
{
    return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c <= 0xd7ff) ||
           (c >= 0xe000 && c <= 0xfffd) || (c >= 0x10000 && c <= 0x10ffff);
}

/* The reference at `data`, up to its semicolon: its length, 0 if it is none. */
static size_t reference_length(const char *data, size_t n, bool *ret_is_good)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
    const char *end = memchr(data, ';', MIN(n, LOOK_AHEAD));
    bool is_hex;
    unsigned long value = 0;

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (n >= strlen(known[i]) && memcmp(data, known[i], strlen(known[i])) == 0) {
            *ret_is_good = true;
            return strlen(known[i]);
        }
    }
    if (!end || n < 4 || data[1] != '#') {
        return 0;
    }
    is_hex = data[2] == 'x';
    for (const char *p = data + 2 + is_hex; p < end; p++) {
        if (!(is_hex ? isxdigit((unsigned char)*p) : isdigit((unsigned char)*p))) {
            return 0;
        }
        value = value * (is_hex ? 16 : 10) +
                (unsigned long)(isdigit((unsigned char)*p) ? *p - '0' : (*p | 0x20) - 'a' + 10);
        value = MIN(value, 0x110000UL);
    }
    *ret_is_good = is_xml_character(value);
    return end > data + 2 + is_hex ? (size_t)(end - data) + 1 : 0;
}

static int take_ampersand(const char *data, size_t n, size_t *ret_used, Buffer *out)
{
    bool is_good = false;

    *ret_used = reference_length(data, n, &is_good);
    if (*ret_used == 0) {
        *ret_used = 1;
        return buffer_append_text(out, "&amp;");
    }
    return is_good ? buffer_append(out, data, *ret_used) : buffer_append_text(out, REPLACEMENT);
}

static int take_high_byte(const JunitText *text, const char *data, size_t n, size_t *ret_used,
                          Buffer *out)
{
    unsigned char c = (unsigned char)*data;
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

    *ret_used = 1;
    if (text->is_latin1) {
        const char two[] = {(char)(0xc0 | (c >> 6)), (char)(0x80 | (c & 0x3f))};

        return buffer_append(out, two, sizeof(two));
    }
    if (len > n || !text_is_utf8(data, len)) {
        return buffer_append_text(out, REPLACEMENT);
    }
    *ret_used = len;
    /* U+FFFE and U+FFFF are UTF-8, but no characters of XML. */
    if (len == 3 && memcmp(data, "\xef\xbf", 2) == 0 && (unsigned char)data[2] >= 0xbe) {
        return buffer_append_text(out, REPLACEMENT);
    }
    return buffer_append(out, data, len);
}

static bool is_plain(unsigned char c)
{
    return (c >= 0x20 && c < 0x80 && c != '&' && c != '<' && c != ']') || c == '\n' || c == '\t' ||
           c == '\r';
}

/* One piece: a run of plain bytes, a mark of CDATA, a reference, a byte that needs care. */
static int take_piece(JunitText *text, const char *data, size_t n, size_t *ret_used, Buffer *out)
{
    unsigned char c = (unsigned char)*data;
    size_t run = 0;

    while (run < n && is_plain((unsigned char)data[run])) {
        run++;
    }
    if (run > 0) {
        *ret_used = run;
        return buffer_append(out, data, run);
    }
    if (c == '&' && !text->is_in_cdata) {
        return take_ampersand(data, n, ret_used, out);
    }
    if (c >= 0x80) {
        return take_high_byte(text, data, n, ret_used, out);
    }
    *ret_used = 1;
    if (c < 0x20) {
        return buffer_append_text(out, REPLACEMENT);
    }
    if (!text->is_in_cdata && n >= strlen(CDATA_BEGIN) &&
        memcmp(data, CDATA_BEGIN, strlen(CDATA_BEGIN)) == 0) {
        text->is_in_cdata = true;
    } else if (text->is_in_cdata && n >= strlen(CDATA_END) &&
               memcmp(data, CDATA_END, strlen(CDATA_END)) == 0) {
        text->is_in_cdata = false;
    }
    return buffer_append(out, data, 1);
}

int junit_text_feed(JunitText *text, const char *data, size_t n, bool is_last, Buffer *out)
{
    size_t keep = is_last ? 0 : LOOK_AHEAD, used = 0, step;
    int r = buffer_append(&text->pending, data, n);

    if (r < 0) {
        return r;
    }
    if (!text->is_begun) {
        if (text->pending.len < DECLARATION_MAX && !is_last) {
            return 0;
        }
        r = begin(text);
    }
    while (r == 0 && text->pending.len - used > keep) {
        r = take_piece(text, text->pending.data + used, text->pending.len - used, &step, out);
        used += r == 0 ? step : 0;
    }
    if (r == 0) {
        buffer_consume(&text->pending, used);
    }
    return r;
}
