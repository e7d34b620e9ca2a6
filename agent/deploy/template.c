/* SPDX-License-Identifier: MIT */
#include "agent/deploy/template.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Filling {
    const char *text; /* of the template, for lines */
    size_t text_len;
    const TemplateNames *names;
    Json *used; /* name → true */
    Buffer pointer;
    Buffer mistakes;
    unsigned count;
} Filling;

/* One `${name}` or `${name:type}`. */
typedef struct Placeholder {
    char *name;
    char *type; /* NULL: as text */
} Placeholder;

static void placeholder_done(Placeholder *p)
{
    free(p->name);
    free(p->type);
    *p = (Placeholder){0};
}

/* ---- mistakes ---------------------------------------------------------------------------------
 */

/* Notes a mistake at the place where the filling is. -ENOMEM; a mistake as such stops nothing. */
static int mistake(Filling *f, const char *format, ...) _printf_(2, 3);
static int mistake(Filling *f, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    const char *pointer = buffer_text(&f->pointer);
    unsigned line, column;
    va_list ap;
    int n;

    if (f->count++ >= TEMPLATE_MISTAKES_MAX) {
        return 0;
    }
    va_start(ap, format);
    n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n < 0) {
        text = NULL;
        return -ENOMEM;
    }
    json_locate(f->text, f->text_len, pointer, &line, &column);
    return buffer_append_format(&f->mistakes, "%sline %u: %s: %s", f->mistakes.len > 0 ? "\n" : "",
                                line, *pointer ? pointer : "(top)", text);
}

/* ---- names ------------------------------------------------------------------------------------
 */

static bool find(const Filling *f, const char *name, const Json **ret)
{
    const Json *const scopes[] = {f->names->own, f->names->environment, f->names->call};

    for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
        if (json_has(scopes[i], name)) {
            *ret = json_get(scopes[i], name);
            return true;
        }
    }
    return false;
}

static int list_names(const TemplateNames *names, Buffer *ret)
{
    const Json *const scopes[] = {names->own, names->environment, names->call};
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
        for (JsonMember m = {0}; r == 0 && json_next_member(scopes[i], &m);) {
            r = buffer_append_format(ret, "%s%s", ret->len > 0 ? ", " : "", m.name);
        }
    }
    return r;
}

static int unknown_name(Filling *f, const char *name)
{
    _cleanup_buffer_ Buffer known = BUFFER_INIT(0);
    int r = list_names(f->names, &known);

    return r < 0 ? r
                 : mistake(f,
                           "there is no '%s'; the environment's `variables` may add to those that "
                           "there are: %s",
                           name, buffer_text(&known));
}

static int check_names(Filling *f)
{
    int r = 0;

    for (JsonMember m = {0}; r == 0 && json_next_member(f->names->environment, &m);) {
        if (json_has(f->names->own, m.name)) {
            r = mistake(f, "the environment's variable '%s' is called like one of Slipway's own",
                        m.name);
        }
    }
    for (JsonMember m = {0}; r == 0 && json_next_member(f->names->call, &m);) {
        if (json_has(f->names->own, m.name)) {
            r = mistake(f, "the call's variable '%s' is called like one of Slipway's own", m.name);
        } else if (json_has(f->names->environment, m.name)) {
            r = mistake(f, "the variable '%s' is the environment's; a call cannot change it",
                        m.name);
        }
    }
    return r;
}

static int check_unused(Filling *f)
{
    int r = 0;

    for (JsonMember m = {0}; r == 0 && json_next_member(f->names->call, &m);) {
        if (!json_has(f->used, m.name)) {
            r = mistake(f, "nothing uses the call's variable '%s'", m.name);
        }
    }
    return r;
}

/* ---- values -----------------------------------------------------------------------------------
 */

/* NULL with success: it was a mistake. */
static int read_as(Filling *f, const Placeholder *p, const Json *value, JsonType wanted, Json **ret)
{
    const char *text = json_as_string(value);
    _cleanup_json_ Json *parsed = NULL;
    JsonType type;

    if (text && json_parse(text, strlen(text), &parsed, NULL) < 0) {
        return mistake(f, "'%s' is to be %s, but it is '%s'", p->name, p->type, text);
    }
    if (!text && json_copy(value, &parsed) < 0) {
        return -ENOMEM;
    }
    type = json_type_of(parsed);
    if (wanted != _JSON_TYPE_MAX && type != wanted &&
        !(wanted == JSON_NUMBER && type == JSON_INTEGER)) {
        return mistake(f, "'%s' is to be %s, but it is %s%s%s", p->name, p->type,
                       text ? "'" : json_type_name(type), text ? text : "", text ? "'" : "");
    }
    *ret = TAKE_PTR(parsed);
    return 0;
}

static int fill_typed(Filling *f, const Placeholder *p, const Json *value, Json **ret)
{
    static const struct {
        const char *name;
        JsonType type; /* _JSON_TYPE_MAX: any */
    } types[] = {
        {"integer", JSON_INTEGER},
        {"number", JSON_NUMBER},
        {"boolean", JSON_BOOLEAN},
        {"json", _JSON_TYPE_MAX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (strcmp(types[i].name, p->type) == 0) {
            return read_as(f, p, value, types[i].type, ret);
        }
    }
    return mistake(f, "'%s' has the type '%s'; there are: integer, number, boolean, json", p->name,
                   p->type);
}

static int fill_text(Filling *f, const Placeholder *p, const Json *value, Buffer *out)
{
    JsonType type = json_type_of(value);

    if (type == JSON_STRING) {
        return buffer_append(out, json_as_string(value), json_as_string_len(value));
    }
    if (type == JSON_OBJECT || type == JSON_ARRAY || type == JSON_NULL) {
        return mistake(f,
                       "'%s' is %s, which has no text; as the whole string \"${%s:json}\" it is "
                       "put in as it is",
                       p->name, json_type_name(type), p->name);
    }
    return json_format(value, out);
}

/* ---- strings ----------------------------------------------------------------------------------
 */

static bool is_name(const char *text, size_t n)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

    if (n == 0 || !strchr(first, text[0])) {
        return false;
    }
    for (size_t i = 1; i < n; i++) {
        if (!strchr(first, text[i]) && !strchr("0123456789.-", text[i])) {
            return false;
        }
    }
    return true;
}

/* Reads "${…}" at `at`; *ret_end is behind it. 1: there is one; 0: it was a mistake. */
static int read_placeholder(Filling *f, const char *at, Placeholder *ret, const char **ret_end)
{
    const char *start = at + 2, *end = strchr(start, '}');
    const char *colon = end ? memchr(start, ':', (size_t)(end - start)) : NULL;
    size_t name_len = end ? (size_t)((colon ? colon : end) - start) : 0;

    if (!end) {
        *ret_end = at + strlen(at);
        return mistake(f, "'%.20s' is not closed; write $${ where ${ itself is meant", at);
    }
    *ret_end = end + 1;
    if (!is_name(start, name_len)) {
        return mistake(f,
                       "'%.*s' is no placeholder: ${NAME} or ${NAME:TYPE}; write $${ where ${ "
                       "itself is meant",
                       (int)MIN(end + 1 - at, 60), at);
    }
    ret->name = strndup(start, name_len);
    ret->type = colon ? strndup(colon + 1, (size_t)(end - colon - 1)) : NULL;
    return ret->name && (ret->type || !colon) ? 1 : -ENOMEM;
}

/* A whole string that is one placeholder with a type. 1: it was, and is filled (NULL: a mistake).
 */
static int fill_whole(Filling *f, const char *text, Json **ret)
{
    __attribute__((cleanup(placeholder_done))) Placeholder p = {0};
    const Json *value = NULL;
    const char *end;
    int r;

    end = text_has_prefix(text, "${") ? strchr(text, '}') : NULL;
    if (!end || end[1] != '\0' || !strchr(text, ':')) {
        return 0;
    }
    r = read_placeholder(f, text, &p, &end);
    if (r <= 0) {
        return r < 0 ? r : 1;
    }
    if (!find(f, p.name, &value)) {
        r = unknown_name(f, p.name);
        return r < 0 ? r : 1;
    }
    r = json_set_bool(f->used, p.name, true);
    r = r < 0 ? r : fill_typed(f, &p, value, ret);
    return r < 0 ? r : 1;
}

static int fill_piece(Filling *f, const char *at, const char **ret_end, Buffer *out)
{
    __attribute__((cleanup(placeholder_done))) Placeholder p = {0};
    const Json *value = NULL;
    int r = read_placeholder(f, at, &p, ret_end);

    if (r <= 0) {
        return r;
    }
    if (!find(f, p.name, &value)) {
        return unknown_name(f, p.name);
    }
    r = json_set_bool(f->used, p.name, true);
    if (r < 0) {
        return r;
    }
    if (p.type) {
        return mistake(f,
                       "'${%s:%s}' stands beside other text; a placeholder with a type is the "
                       "whole string",
                       p.name, p.type);
    }
    return fill_text(f, &p, value, out);
}

static int fill_string(Filling *f, const char *text, Buffer *out)
{
    int r = 0;

    while (r == 0 && *text) {
        size_t plain = strcspn(text, "$");

        r = buffer_append(out, text, plain);
        text += plain;
        if (r < 0 || !*text) {
            break;
        }
        if (text_has_prefix(text, "$${")) {
            r = buffer_append_text(out, "${");
            text += 3;
        } else if (text_has_prefix(text, "${")) {
            r = fill_piece(f, text, &text, out);
        } else {
            r = buffer_append(out, text++, 1);
        }
    }
    return r;
}

/* ---- trees ------------------------------------------------------------------------------------
 */

static int fill_value(Filling *f, const Json *from, Json **ret);

/* Fills `from` at the place `token` further down. */
static int fill_child(Filling *f, const Json *from, const char *token, Json **ret)
{
    size_t len = f->pointer.len;
    int r = json_pointer_append(&f->pointer, token);

    r = r < 0 ? r : fill_value(f, from, ret);
    buffer_truncate(&f->pointer, len);
    return r;
}

static int set_member(Filling *f, Json *object, const char *name, Json *value)
{
    if (json_has(object, name)) {
        (void)json_unref(value);
        return mistake(f, "two members are called '%s' once they are filled", name);
    }
    return value ? json_set_take(object, name, value) : json_set_null(object, name);
}

static int fill_object(Filling *f, const Json *from, Json **ret)
{
    _cleanup_json_ Json *object = json_new_object();
    int r = object ? 0 : -ENOMEM;

    for (JsonMember m = {0}; r == 0 && json_next_member(from, &m);) {
        _cleanup_buffer_ Buffer name = BUFFER_INIT(0);
        Json *value = NULL;

        r = fill_child(f, m.value, m.name, &value);
        r = r < 0 ? r : fill_string(f, m.name, &name);
        r = r < 0 ? r : set_member(f, object, buffer_text(&name), TAKE_PTR(value));
        (void)json_unref(value);
    }
    *ret = r < 0 ? NULL : TAKE_PTR(object);
    return r;
}

static int fill_array(Filling *f, const Json *from, Json **ret)
{
    _cleanup_json_ Json *array = json_new_array();
    int r = array ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < json_length(from); i++) {
        char index[24];
        Json *value = NULL;

        (void)snprintf(index, sizeof(index), "%zu", i);
        r = fill_child(f, json_at(from, i), index, &value);
        r = r < 0 ? r : value ? json_append_take(array, value) : json_append_null(array);
    }
    *ret = r < 0 ? NULL : TAKE_PTR(array);
    return r;
}

static int fill_value(Filling *f, const Json *from, Json **ret)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r;

    switch (json_type_of(from)) {
    case JSON_OBJECT:
        return fill_object(f, from, ret);
    case JSON_ARRAY:
        return fill_array(f, from, ret);
    case JSON_STRING:
        r = fill_whole(f, json_as_string(from), ret);
        if (r != 0) {
            return MIN(r, 0);
        }
        r = fill_string(f, json_as_string(from), &text);
        *ret = r < 0 ? NULL : json_new_string_n(buffer_text(&text), text.len);
        return r < 0 ? r : (*ret ? 0 : -ENOMEM);
    default:
        return json_copy(from, ret);
    }
}

/* What was put in may be deeper than the template: what comes out has to be JSON that anybody
 * takes.
 */
static int check_depth(Filling *f, const Json *filled)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_error_ Error problem = {0};
    _cleanup_json_ Json *again = NULL;
    int r = json_format(filled, &text);

    r = r < 0 ? r : json_parse(buffer_text(&text), text.len, &again, &problem);
    return r == -EINVAL ? mistake(f, "once filled, it is no JSON: %s", error_text(&problem)) : r;
}

static int fill(Filling *f, const Json *template, Json **ret)
{
    _cleanup_json_ Json *filled = NULL;
    int r = f->used ? check_names(f) : -ENOMEM;

    r = r < 0 ? r : fill_value(f, template, &filled);
    r = r < 0 ? r : check_unused(f);
    r = r < 0 || f->count > 0 ? r : check_depth(f, filled);
    if (r == 0 && f->count == 0) {
        *ret = TAKE_PTR(filled);
    }
    return r;
}

int template_fill(const char *text, size_t n, const TemplateNames *names, Json **ret, Error *err)
{
    Filling f = {.text = text, .text_len = n, .names = names};
    _cleanup_json_ Json *template = NULL;
    int r = json_parse(text, n, &template, err);

    if (r < 0) {
        return r;
    }
    f.used = json_new_object();
    r = fill(&f, template, ret);
    if (r < 0) {
        (void)error_set_errno(err, r, "cannot fill the template");
    } else if (f.count > TEMPLATE_MISTAKES_MAX) {
        r = error_set(err, -EINVAL, "%s\n… and %u more", buffer_text(&f.mistakes),
                      f.count - TEMPLATE_MISTAKES_MAX);
    } else if (f.count > 0) {
        r = error_set(err, -EINVAL, "%s", buffer_text(&f.mistakes));
    }
    (void)json_unref(f.used);
    buffer_done(&f.pointer);
    buffer_done(&f.mistakes);
    return r;
}
