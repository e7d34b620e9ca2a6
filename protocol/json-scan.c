/* SPDX-License-Identifier: MIT */
#include "protocol/json-scan.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A longer number has more digits than a double can mean anything by. */
#define JSON_NUMBER_MAX 400

typedef struct Scanner {
    const char *text;
    size_t len;
    size_t pos;
    const char *problem;
    size_t found_pos; /* json_locate: of what matched the pointer best so far */
    bool is_strict;
} Scanner;

static void scan_space(Scanner *s)
{
    for (; s->pos < s->len; s->pos++) {
        char c = s->text[s->pos];

        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            return;
        }
    }
}

static bool scan_fail(Scanner *s, const char *problem)
{
    if (!s->problem) {
        s->problem = problem;
    }
    return false;
}

static int scan_peek(const Scanner *s)
{
    return s->pos < s->len ? (unsigned char)s->text[s->pos] : -1;
}

static bool scan_hex4(Scanner *s, unsigned *ret)
{
    *ret = 0;
    for (int i = 0; i < 4; i++, s->pos++) {
        int c = scan_peek(s);
        const char *digits = "0123456789abcdef", *at = c > 0 ? strchr(digits, c | 0x20) : NULL;

        if (!at || (c < '0')) {
            return scan_fail(s, "a \\u escape needs four hexadecimal digits");
        }
        *ret = *ret * 16 + (unsigned)(at - digits);
    }
    return true;
}

static bool scan_escape(Scanner *s)
{
    unsigned high, low;
    int c = scan_peek(s);

    s->pos++;
    if (c != 'u') {
        return (c > 0 && strchr("\"\\/bfnrt", c)) || scan_fail(s, "unknown escape in a string");
    }
    if (!scan_hex4(s, &high)) {
        return false;
    }
    if (high == 0) {
        return scan_fail(s, "\\u0000 is not accepted in a string");
    }
    if (high < 0xd800 || high > 0xdfff) {
        return true;
    }
    if (high > 0xdbff || s->len - s->pos < 6 || memcmp(s->text + s->pos, "\\u", 2) != 0) {
        return scan_fail(s, "a surrogate stands alone");
    }
    s->pos += 2;
    if (!scan_hex4(s, &low)) {
        return false;
    }
    return (low >= 0xdc00 && low <= 0xdfff) || scan_fail(s, "a surrogate stands alone");
}

static bool scan_string(Scanner *s)
{
    s->pos++; /* the quote that brought us here */
    for (;;) {
        const char *from = s->text + s->pos;
        size_t left = s->len - s->pos, run = 0;

        while (run < left && (unsigned char)from[run] >= 0x20 && from[run] != '"' &&
               from[run] != '\\') {
            run++;
        }
        s->pos += run;
        if (s->pos == s->len) {
            return scan_fail(s, "a string is not closed");
        }
        if (s->text[s->pos] == '"') {
            s->pos++;
            return true;
        }
        if (s->text[s->pos] != '\\') {
            return scan_fail(s, "a control character stands in a string; escape it");
        }
        s->pos++;
        if (!scan_escape(s)) {
            return false;
        }
    }
}

static bool scan_digits(Scanner *s)
{
    size_t start = s->pos;

    while (scan_peek(s) >= '0' && scan_peek(s) <= '9') {
        s->pos++;
    }
    return s->pos > start || scan_fail(s, "a number is not complete");
}

/* json-c would quietly make the nearest number that it can hold of one that it cannot. */
static bool check_whole(Scanner *s, size_t start)
{
    const char *digits = s->text + start;
    bool is_negative = *digits == '-';
    const char *last = is_negative ? "9223372036854775808" : "9223372036854775807";
    size_t n = s->pos - start - is_negative;

    digits += is_negative;
    if (n < strlen(last) || (n == strlen(last) && memcmp(digits, last, n) <= 0)) {
        return true;
    }
    s->pos = start;
    return scan_fail(s, "a whole number does not fit 64 bits; write it as a string");
}

static bool check_fraction(Scanner *s, size_t start)
{
    char copy[JSON_NUMBER_MAX + 1];
    size_t n = s->pos - start;
    bool is_short = n <= JSON_NUMBER_MAX;

    if (is_short) {
        memcpy(copy, s->text + start, n);
        copy[n] = '\0';
        if (isfinite(strtod(copy, NULL))) {
            return true;
        }
    }
    s->pos = start;
    return scan_fail(s, is_short ? "a number is too large" : "a number has too many digits");
}

static bool scan_number(Scanner *s)
{
    size_t start = s->pos;
    bool is_whole = true;

    if (scan_peek(s) == '-') {
        s->pos++;
    }
    if (scan_peek(s) == '0') {
        s->pos++;
    } else if (!scan_digits(s)) {
        return false;
    }
    if (scan_peek(s) == '.') {
        is_whole = false;
        s->pos++;
        if (!scan_digits(s)) {
            return false;
        }
    }
    if (scan_peek(s) == 'e' || scan_peek(s) == 'E') {
        is_whole = false;
        s->pos++;
        if (scan_peek(s) == '+' || scan_peek(s) == '-') {
            s->pos++;
        }
        if (!scan_digits(s)) {
            return false;
        }
    }
    return is_whole ? check_whole(s, start) : check_fraction(s, start);
}

static bool scan_word(Scanner *s, const char *word)
{
    size_t n = strlen(word);

    if (s->len - s->pos < n || memcmp(s->text + s->pos, word, n) != 0) {
        return scan_fail(s, "a value is expected here");
    }
    s->pos += n;
    return true;
}

static bool scan_value(Scanner *s, unsigned depth, const char *target);

/* Does the next token of the pointer name this member (or index)? Returns the rest, or NULL. */
const char *json_scan_pointer_step(const char *target, const char *name, size_t n)
{
    size_t i = 0;

    if (!target || *target != '/') {
        return NULL;
    }
    for (target++; *target && *target != '/'; target++) {
        char c = *target;

        if (c == '~') {
            if (target[1] != '0' && target[1] != '1') {
                return NULL; /* RFC 6901 section 3: an error */
            }
            c = *++target == '0' ? '~' : '/';
        }
        if (i >= n || name[i++] != c) {
            return NULL;
        }
    }
    return i == n ? target : NULL;
}

typedef struct MemberNames {
    size_t starts[JSON_STRICT_MEMBERS_MAX];
    size_t lens[JSON_STRICT_MEMBERS_MAX];
    size_t count;
} MemberNames;

/* A name is compared as it is written, so in a strict text it has to be written plainly. */
static bool check_name(Scanner *s, MemberNames *names, size_t start, size_t len)
{
    if (memchr(s->text + start, '\\', len)) {
        return scan_fail(s, "a member name must be written without escapes here");
    }
    for (size_t i = 0; i < names->count; i++) {
        if (names->lens[i] == len &&
            memcmp(s->text + names->starts[i], s->text + start, len) == 0) {
            s->pos = start;
            return scan_fail(s, "a second member of the same name");
        }
    }
    if (names->count == JSON_STRICT_MEMBERS_MAX) {
        return scan_fail(s, "an object with too many members");
    }
    names->starts[names->count] = start;
    names->lens[names->count++] = len;
    return true;
}

static bool scan_object(Scanner *s, unsigned depth, const char *target)
{
    MemberNames names;

    names.count = 0; /* and not two kilobytes of zeros for each object of every message */
    s->pos++;
    scan_space(s);
    if (scan_peek(s) == '}') {
        s->pos++;
        return true;
    }
    for (;;) {
        size_t name_pos = s->pos;
        const char *rest;

        if (scan_peek(s) != '"') {
            return scan_fail(s, "a member name in double quotes is expected here");
        }
        if (!scan_string(s) ||
            (s->is_strict && !check_name(s, &names, name_pos + 1, s->pos - name_pos - 2))) {
            return false;
        }
        rest = json_scan_pointer_step(target, s->text + name_pos + 1, s->pos - name_pos - 2);
        if (rest) { /* also the second time: of members with the same name the last one counts */
            s->found_pos = name_pos;
        }
        scan_space(s);
        if (scan_peek(s) != ':') {
            return scan_fail(s, "':' is expected after a member name");
        }
        s->pos++;
        if (!scan_value(s, depth + 1, rest)) {
            return false;
        }
        scan_space(s);
        if (scan_peek(s) == '}') {
            s->pos++;
            return true;
        }
        if (scan_peek(s) != ',') {
            return scan_fail(s, "',' or '}' is expected here");
        }
        s->pos++;
        scan_space(s);
    }
}

static bool scan_array(Scanner *s, unsigned depth, const char *target)
{
    s->pos++;
    scan_space(s);
    if (scan_peek(s) == ']') {
        s->pos++;
        return true;
    }
    for (unsigned index = 0;; index++) {
        const char *rest = NULL;

        scan_space(s);
        if (target && *target) {
            char number[16];
            int n = snprintf(number, sizeof(number), "%u", index);

            rest = json_scan_pointer_step(target, number, (size_t)n);
        }
        if (rest) {
            s->found_pos = s->pos;
        }
        if (!scan_value(s, depth + 1, rest)) {
            return false;
        }
        scan_space(s);
        if (scan_peek(s) == ']') {
            s->pos++;
            return true;
        }
        if (scan_peek(s) != ',') {
            return scan_fail(s, "',' or ']' is expected here");
        }
        s->pos++;
    }
}

static bool scan_value(Scanner *s, unsigned depth, const char *target)
{
    scan_space(s);
    switch (scan_peek(s)) {
    case '{':
    case '[':
        if (depth >= JSON_DEPTH_MAX) {
            return scan_fail(s, "nested too deep");
        }
        return scan_peek(s) == '{' ? scan_object(s, depth, target) : scan_array(s, depth, target);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    case -1:
        return scan_fail(s, "the text ends where a value is expected");
    default:
        if (scan_peek(s) == '-' || (scan_peek(s) >= '0' && scan_peek(s) <= '9')) {
            return scan_number(s);
        }
        return scan_fail(s, "a value is expected here");
    }
}

static void position_of(const char *text, size_t pos, unsigned *ret_line, unsigned *ret_column)
{
    *ret_line = 1;
    *ret_column = 1;
    for (size_t i = 0; i < pos; i++) {
        if (text[i] == '\n') {
            (*ret_line)++;
            *ret_column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            (*ret_column)++;
        }
    }
}

static int fail_at(const char *text, size_t pos, const char *problem, Error *err)
{
    unsigned line, column;

    position_of(text, pos, &line, &column);
    return error_set(err, -EINVAL, "line %u, column %u: %s", line, column, problem);
}

int json_scan(const char *text, size_t n, bool is_strict, Error *err)
{
    Scanner s = {.text = text, .len = n, .is_strict = is_strict};
    size_t valid = text_utf8_prefix(text, n);

    if (valid < n) {
        return fail_at(text, valid, "not UTF-8", err);
    }
    if (!scan_value(&s, 0, NULL)) {
        return fail_at(text, MIN(s.pos, n), s.problem, err);
    }
    scan_space(&s);
    return s.pos < n ? fail_at(text, s.pos, "more text after the value", err) : 0;
}

void json_locate(const char *text, size_t n, const char *pointer, unsigned *ret_line,
                 unsigned *ret_column)
{
    Scanner s = {.text = text, .len = n};

    (void)scan_value(&s, 0, pointer);
    position_of(text, s.found_pos, ret_line, ret_column);
}
