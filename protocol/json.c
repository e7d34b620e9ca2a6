/* SPDX-License-Identifier: MIT */
#include "protocol/json.h"

#include "protocol/base/text.h"
#include "protocol/json-scan.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>
#include <json-c/json_object_iterator.h>

/* ---- parsing ----------------------------------------------------------------------------------
 */

static int parse(const char *text, size_t n, bool is_strict, Json **ret, Error *err)
{
    struct json_tokener *tokener;
    struct json_object *value;
    enum json_tokener_error problem;
    int r;

    if (n > INT32_MAX) { /* what json-c takes at once */
        return error_set(err, -EINVAL, "line 1, column 1: the text is too long");
    }
    r = json_scan(text, n, is_strict, err);
    if (r < 0) {
        return r;
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
        const char *rest = json_scan_pointer_step(token - 1, m.name, strlen(m.name));

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

Json *json_new_number(double value)
{
    char text[40];

    /* As short as it can be without becoming another number: 0.1, not 0.10000000000000001. */
    (void)snprintf(text, sizeof(text), "%.15g", value);
    if (strtod(text, NULL) != value) {
        (void)snprintf(text, sizeof(text), "%.17g", value);
    }
    return isfinite(value) ? json_object_new_double_s(value, text) : NULL;
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
