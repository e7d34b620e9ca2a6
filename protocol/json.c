/* SPDX-License-Identifier: MIT */
#include "protocol/json.h"

#include "protocol/base/text.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>
#include <json-c/json_object_iterator.h>

/* ---- parsing ----------------------------------------------------------------------------------
 */

/* A longer number has more digits than a double can mean anything by. */
#define JSON_NUMBER_MAX 400

/* A walk over the bytes of a JSON text. json-c tells neither lines nor duplicate names, and it lets
 * through what RFC 8259 forbids; one small scanner does the three, and finds a pointer's place. */
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
static const char *pointer_step(const char *target, const char *name, size_t n)
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
        rest = pointer_step(target, s->text + name_pos + 1, s->pos - name_pos - 2);
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

            rest = pointer_step(target, number, (size_t)n);
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

static int parse(const char *text, size_t n, bool is_strict, Json **ret, Error *err)
{
    Scanner s = {.text = text, .len = n, .is_strict = is_strict};
    struct json_tokener *tokener;
    struct json_object *value;
    enum json_tokener_error problem;
    size_t valid = text_utf8_prefix(text, n);

    if (n > INT32_MAX) { /* what json-c takes at once */
        return error_set(err, -EINVAL, "line 1, column 1: the text is too long");
    }
    if (valid < n) {
        return fail_at(text, valid, "not UTF-8", err);
    }
    if (!scan_value(&s, 0, NULL)) {
        return fail_at(text, MIN(s.pos, n), s.problem, err);
    }
    scan_space(&s);
    if (s.pos < n) {
        return fail_at(text, s.pos, "more text after the value", err);
    }
    tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
    if (!tokener) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    value = json_tokener_parse_ex(tokener, text, (int)n);
    problem = json_tokener_get_error(tokener);
    if (problem == json_tokener_continue &&
        !value) { /* a bare number needs to be told of the end */
        value = json_tokener_parse_ex(tokener, "", -1);
        problem = json_tokener_get_error(tokener);
    }
    json_tokener_free(tokener);
    if (problem != json_tokener_success) {
        return error_set(err, -EINVAL, "%s", json_tokener_error_desc(problem));
    }
    *ret = value;
    return 0;
}

int json_parse(const char *text, size_t n, Json **ret, Error *err)
{
    return parse(text, n, /* is_strict= */ false, ret, err);
}

int json_parse_strict(const char *text, size_t n, Json **ret, Error *err)
{
    return parse(text, n, /* is_strict= */ true, ret, err);
}

void json_locate(const char *text, size_t n, const char *pointer, unsigned *ret_line,
                 unsigned *ret_column)
{
    Scanner s = {.text = text, .len = n};

    (void)scan_value(&s, 0, pointer);
    position_of(text, s.found_pos, ret_line, ret_column);
}

int json_pointer_append(Buffer *pointer, const char *token)
{
    int r = buffer_append(pointer, "/", 1);

    for (; r == 0 && *token; token++) {
        if (*token == '~') {
            r = buffer_append(pointer, "~0", 2);
        } else if (*token == '/') {
            r = buffer_append(pointer, "~1", 2);
        } else {
            r = buffer_append(pointer, token, 1);
        }
    }
    return r;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

Json *json_ref(Json *j)
{
    return j ? json_object_get(j) : NULL;
}

Json *json_unref(Json *j)
{
    if (j) {
        (void)json_object_put(j);
    }
    return NULL;
}

JsonType json_type_of(const Json *j)
{
    switch (json_object_get_type(j)) {
    case json_type_boolean:
        return JSON_BOOLEAN;
    case json_type_int:
        return JSON_INTEGER;
    case json_type_double:
        return JSON_NUMBER;
    case json_type_string:
        return JSON_STRING;
    case json_type_array:
        return JSON_ARRAY;
    case json_type_object:
        return JSON_OBJECT;
    case json_type_null:
        break;
    }
    return JSON_NULL;
}

const char *json_type_name(JsonType type)
{
    static const char *const names[_JSON_TYPE_MAX] = {
        [JSON_NULL] = "null",     [JSON_BOOLEAN] = "boolean", [JSON_INTEGER] = "integer",
        [JSON_NUMBER] = "number", [JSON_STRING] = "string",   [JSON_ARRAY] = "array",
        [JSON_OBJECT] = "object",
    };

    return names[type];
}

bool json_has(const Json *j, const char *name)
{
    return json_type_of(j) == JSON_OBJECT && json_object_object_get_ex(j, name, NULL);
}

Json *json_get(const Json *j, const char *name)
{
    Json *value = NULL;

    if (json_type_of(j) != JSON_OBJECT || !json_object_object_get_ex(j, name, &value)) {
        return NULL;
    }
    return value;
}

const char *json_as_string(const Json *j)
{
    return json_type_of(j) == JSON_STRING ? json_object_get_string((Json *)j) : NULL;
}

size_t json_as_string_len(const Json *j)
{
    return json_type_of(j) == JSON_STRING ? (size_t)json_object_get_string_len(j) : 0;
}

int64_t json_as_int(const Json *j, int64_t fallback)
{
    return json_type_of(j) == JSON_INTEGER ? json_object_get_int64(j) : fallback;
}

bool json_as_bool(const Json *j, bool fallback)
{
    return json_type_of(j) == JSON_BOOLEAN ? json_object_get_boolean(j) : fallback;
}

double json_as_number(const Json *j, double fallback)
{
    JsonType type = json_type_of(j);

    return type == JSON_NUMBER || type == JSON_INTEGER ? json_object_get_double(j) : fallback;
}

const char *json_get_string(const Json *j, const char *name)
{
    return json_as_string(json_get(j, name));
}

int64_t json_get_int(const Json *j, const char *name, int64_t fallback)
{
    return json_as_int(json_get(j, name), fallback);
}

bool json_get_bool(const Json *j, const char *name, bool fallback)
{
    return json_as_bool(json_get(j, name), fallback);
}

size_t json_member_count(const Json *j)
{
    return json_type_of(j) == JSON_OBJECT ? (size_t)json_object_object_length(j) : 0;
}

size_t json_length(const Json *j)
{
    return json_type_of(j) == JSON_ARRAY ? json_object_array_length(j) : 0;
}

Json *json_at(const Json *j, size_t index)
{
    return index < json_length(j) ? json_object_array_get_idx(j, index) : NULL;
}

bool json_next_member(const Json *object, JsonMember *m)
{
    struct lh_entry *entry;

    if (json_type_of(object) != JSON_OBJECT) {
        return false;
    }
    if (!m->is_started) {
        entry = json_object_get_object(object)->head;
        m->is_started = true;
    } else {
        entry = lh_entry_next((struct lh_entry *)m->position);
    }
    if (!entry) {
        return false;
    }
    m->position = entry;
    m->name = lh_entry_k(entry);
    m->value = (Json *)lh_entry_v(entry);
    return true;
}

/* One step of a pointer into an object or an array. */
static Json *pointer_child(const Json *j, const char *token, size_t n)
{
    if (json_type_of(j) == JSON_ARRAY) {
        size_t index = 0;

        if (token[0] == '0' && n > 1) {
            return NULL;
        }
        for (size_t i = 0; i < n; i++) {
            if (token[i] < '0' || token[i] > '9' || index > json_length(j)) {
                return NULL;
            }
            index = index * 10 + (size_t)(token[i] - '0');
        }
        return n > 0 ? json_at(j, index) : NULL;
    }
    for (JsonMember m = {0}; json_next_member(j, &m);) {
        const char *rest = pointer_step(token - 1, m.name, strlen(m.name));

        if (rest == token + n) {
            return m.value;
        }
    }
    return NULL;
}

Json *json_pointer(const Json *j, const char *pointer)
{
    const Json *at = j;

    while (at && *pointer == '/') {
        size_t n = strcspn(pointer + 1, "/");

        at = pointer_child(at, pointer + 1, n);
        pointer += n + 1;
    }
    return *pointer == '\0' ? (Json *)at : NULL;
}

/* ---- building ---------------------------------------------------------------------------------
 */

Json *json_new_object(void)
{
    return json_object_new_object();
}

Json *json_new_array(void)
{
    return json_object_new_array();
}

Json *json_new_string(const char *text)
{
    return json_new_string_n(text, strlen(text));
}

Json *json_new_string_n(const char *text, size_t n)
{
    _cleanup_buffer_ Buffer mended = {0};

    if (memchr(text, '\0', n) || !text_is_utf8(text, n)) {
        if (text_append_utf8(&mended, text, n) < 0) {
            return NULL;
        }
        text = mended.data;
        n = mended.len;
    }
    return n > INT32_MAX ? NULL : json_object_new_string_len(text, (int)n);
}

Json *json_new_int(int64_t value)
{
    return json_object_new_int64(value);
}

Json *json_new_bool(bool value)
{
    return json_object_new_boolean(value);
}

int json_set_take(Json *object, const char *name, Json *value)
{
    if (!object || !value || json_object_object_add(object, name, value) < 0) {
        (void)json_unref(value);
        return -ENOMEM;
    }
    return 0;
}

int json_set_null(Json *object, const char *name)
{
    return json_object_object_add(object, name, NULL) < 0 ? -ENOMEM : 0;
}

int json_set_string(Json *object, const char *name, const char *text)
{
    return text ? json_set_take(object, name, json_new_string(text)) : 0;
}

int json_set_int(Json *object, const char *name, int64_t value)
{
    return json_set_take(object, name, json_new_int(value));
}

int json_set_bool(Json *object, const char *name, bool value)
{
    return json_set_take(object, name, json_new_bool(value));
}

int json_append_take(Json *array, Json *value)
{
    if (!array || !value || json_object_array_add(array, value) < 0) {
        (void)json_unref(value);
        return -ENOMEM;
    }
    return 0;
}

int json_append_string(Json *array, const char *text)
{
    return json_append_take(array, json_new_string(text));
}

int json_append_null(Json *array)
{
    return json_object_array_add(array, NULL) < 0 ? -ENOMEM : 0;
}

void json_remove(Json *object, const char *name)
{
    json_object_object_del(object, name);
}

int json_copy(const Json *j, Json **ret)
{
    *ret = NULL;
    return j && json_object_deep_copy((Json *)j, ret, NULL) < 0 ? -ENOMEM : 0;
}

bool json_equal(const Json *a, const Json *b)
{
    return json_object_equal((Json *)a, (Json *)b);
}

static int format_with(const Json *j, int flags, Buffer *out)
{
    size_t n;
    const char *text = json_object_to_json_string_length((Json *)j, flags, &n);

    return text ? buffer_append(out, text, n) : -ENOMEM;
}

int json_format(const Json *j, Buffer *out)
{
    return j ? format_with(j, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, out)
             : buffer_append_text(out, "null");
}

int json_format_pretty(const Json *j, Buffer *out)
{
    return j ? format_with(j,
                           JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                               JSON_C_TO_STRING_NOSLASHESCAPE,
                           out)
             : buffer_append_text(out, "null");
}
