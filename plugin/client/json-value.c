/* SPDX-License-Identifier: MIT */
/* SlipwayJson: the public face of a JSON value. It is a Json under another name, so that nothing is
 * copied between the wire and the program, and the program needs no JSON library. */
#include "plugin/client/json-value.h"

#include "protocol/base/macro.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const Json *inner(const SlipwayJson *json)
{
    return (const Json *)json;
}

_public_ int slipway_json_parse(const char *text, size_t len, SlipwayJson **ret)
{
    return json_parse(text, len, (Json **)ret, NULL);
}

_public_ SlipwayJson *slipway_json_new_object(void)
{
    return json_value_expose(json_new_object());
}

_public_ SlipwayJson *slipway_json_new_array(void)
{
    return json_value_expose(json_new_array());
}

_public_ SlipwayJson *slipway_json_ref(const SlipwayJson *json)
{
    return json_value_expose(json_ref((Json *)json));
}

_public_ SlipwayJson *slipway_json_unref(SlipwayJson *json)
{
    return json_value_expose(json_unref((Json *)json));
}

_public_ const SlipwayJson *slipway_json_get(const SlipwayJson *json, const char *pointer)
{
    if (!json) {
        return NULL;
    }
    return *pointer ? json_value_expose(json_pointer(inner(json), pointer)) : json;
}

_public_ const char *slipway_json_get_string(const SlipwayJson *json, const char *pointer,
                                             const char *fallback)
{
    const char *text = json_as_string(inner(slipway_json_get(json, pointer)));

    return text ? text : fallback;
}

_public_ int64_t slipway_json_get_int(const SlipwayJson *json, const char *pointer,
                                      int64_t fallback)
{
    return json_as_int(inner(slipway_json_get(json, pointer)), fallback);
}

_public_ double slipway_json_get_number(const SlipwayJson *json, const char *pointer,
                                        double fallback)
{
    return json_as_number(inner(slipway_json_get(json, pointer)), fallback);
}

_public_ bool slipway_json_get_bool(const SlipwayJson *json, const char *pointer, bool fallback)
{
    return json_as_bool(inner(slipway_json_get(json, pointer)), fallback);
}

_public_ SlipwayJsonType slipway_json_get_type(const SlipwayJson *json, const char *pointer)
{
    static const SlipwayJsonType types[_JSON_TYPE_MAX] = {
        [JSON_NULL] = SLIPWAY_JSON_NULL,       [JSON_BOOLEAN] = SLIPWAY_JSON_BOOLEAN,
        [JSON_INTEGER] = SLIPWAY_JSON_INTEGER, [JSON_NUMBER] = SLIPWAY_JSON_NUMBER,
        [JSON_STRING] = SLIPWAY_JSON_STRING,   [JSON_ARRAY] = SLIPWAY_JSON_ARRAY,
        [JSON_OBJECT] = SLIPWAY_JSON_OBJECT,
    };
    const SlipwayJson *value = slipway_json_get(json, pointer);

    return value ? types[json_type_of(inner(value))] : SLIPWAY_JSON_NULL;
}

_public_ size_t slipway_json_get_count(const SlipwayJson *json, const char *pointer)
{
    const Json *value = inner(slipway_json_get(json, pointer));

    if (!value) {
        return 0;
    }
    return json_type_of(value) == JSON_OBJECT ? json_member_count(value) : json_length(value);
}

_public_ const SlipwayJson *slipway_json_get_element(const SlipwayJson *json, size_t index)
{
    return index < json_length(inner(json)) ? json_value_expose(json_at(inner(json), index)) : NULL;
}

_public_ bool slipway_json_next_member(const SlipwayJson *object, SlipwayJsonMember *member)
{
    JsonMember m = {.position = member->position, .is_started = member->is_started};

    if (!object || json_type_of(inner(object)) != JSON_OBJECT ||
        !json_next_member(inner(object), &m)) {
        return false;
    }
    *member = (SlipwayJsonMember){
        .name = m.name,
        .value = json_value_expose(m.value),
        .position = m.position,
        .is_started = m.is_started,
    };
    return true;
}

/* Cuts the token at *cursor off into *ret, unescaped (RFC 6901 section 4). The caller frees it. */
static int next_token(const char **cursor, char **ret)
{
    const char *from = *cursor + 1;
    size_t n = strcspn(from, "/"), len = 0;
    _cleanup_free_ char *token = malloc(n + 1);

    if (!token) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        char c = from[i];

        if (c == '~') {
            c = from[++i];
            if (c != '0' && c != '1') {
                return -EINVAL;
            }
            c = c == '0' ? '~' : '/';
        }
        token[len++] = c;
    }
    token[len] = '\0';
    *cursor = from + n;
    *ret = TAKE_PTR(token);
    return 0;
}

/* The child that the pointer goes on through, made where it is missing. */
static int step_into(Json *parent, const char *token, Json **ret)
{
    _cleanup_json_ Json *child = NULL;
    char place[32];
    Json *found;
    int r;

    if (json_type_of(parent) == JSON_ARRAY && strcmp(token, "-") != 0) {
        (void)snprintf(place, sizeof(place), "/%s", token);
        *ret = json_pointer(parent, place);
        return *ret ? 0 : -EINVAL;
    }
    if (json_type_of(parent) == JSON_OBJECT) {
        found = json_get(parent, token);
        if (found) {
            *ret = found;
            return 0;
        }
    } else if (json_type_of(parent) != JSON_ARRAY) {
        return -EINVAL;
    }
    child = json_new_object();
    if (!child) {
        return -ENOMEM;
    }
    found = child;
    r = json_type_of(parent) == JSON_ARRAY ? json_append_take(parent, TAKE_PTR(child))
                                           : json_set_take(parent, token, TAKE_PTR(child));
    if (r < 0) {
        return r;
    }
    *ret = found;
    return 0;
}

/* Consumes `value`; NULL is JSON null here. */
static int set_take(SlipwayJson *json, const char *pointer, Json *value)
{
    _cleanup_json_ Json *owned = value;
    Json *parent = (Json *)json;

    if (!json || *pointer != '/') {
        return -EINVAL;
    }
    for (;;) {
        _cleanup_free_ char *token = NULL;
        int r = next_token(&pointer, &token);

        if (r < 0) {
            return r;
        }
        if (*pointer == '/') {
            r = step_into(parent, token, &parent);
            if (r < 0) {
                return r;
            }
            continue;
        }
        if (json_type_of(parent) == JSON_ARRAY) {
            if (strcmp(token, "-") != 0) {
                return -EINVAL;
            }
            return owned ? json_append_take(parent, TAKE_PTR(owned)) : json_append_null(parent);
        }
        if (json_type_of(parent) != JSON_OBJECT) {
            return -EINVAL;
        }
        return owned ? json_set_take(parent, token, TAKE_PTR(owned)) : json_set_null(parent, token);
    }
}

_public_ int slipway_json_set(SlipwayJson *json, const char *pointer, const SlipwayJson *value)
{
    return set_take(json, pointer, json_ref((Json *)value));
}

_public_ int slipway_json_set_string(SlipwayJson *json, const char *pointer, const char *text)
{
    Json *value = json_new_string(text);

    return value ? set_take(json, pointer, value) : -ENOMEM;
}

_public_ int slipway_json_set_int(SlipwayJson *json, const char *pointer, int64_t number)
{
    Json *value = json_new_int(number);

    return value ? set_take(json, pointer, value) : -ENOMEM;
}

_public_ int slipway_json_set_number(SlipwayJson *json, const char *pointer, double number)
{
    Json *value;
    char text[40];
    int n, r;

    if (!isfinite(number)) {
        return -EINVAL; /* JSON has no such number */
    }
    n = snprintf(text, sizeof(text), "%.17g", number);
    r = json_parse(text, (size_t)n, &value, NULL);
    return r < 0 ? r : set_take(json, pointer, value);
}

_public_ int slipway_json_set_bool(SlipwayJson *json, const char *pointer, bool is_true)
{
    Json *value = json_new_bool(is_true);

    return value ? set_take(json, pointer, value) : -ENOMEM;
}

_public_ char *slipway_json_format(const SlipwayJson *json)
{
    _cleanup_buffer_ Buffer b = {0};

    return json_format(inner(json), &b) < 0 ? NULL : buffer_take_text(&b);
}
