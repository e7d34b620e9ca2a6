/* SPDX-License-Identifier: MIT */
#include "protocol/validate.h"

#include <errno.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct Validation {
    const Json *root; /* of the schema, for $ref */
    const char *text;
    size_t text_len;
    Buffer pointer;
    Buffer mistakes;
    unsigned count;
    int problem; /* -ENOMEM, or -ENOTSUP for a schema that we do not understand */
} Validation;

typedef void (*CheckFunction)(Validation *v, const Json *schema, const Json *rule,
                              const Json *value);

static void check_value(Validation *v, const Json *schema, const Json *value);

static void mistake(Validation *v, const char *format, ...) _printf_(2, 3);
static void mistake(Validation *v, const char *format, ...)
{
    char text[512];
    const char *pointer = buffer_text(&v->pointer);
    int r = 0;
    va_list ap;

    if (v->count++ >= VALIDATE_MISTAKES_MAX) {
        return;
    }
    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (v->mistakes.len > 0) {
        r = buffer_append_text(&v->mistakes, "\n");
    }
    if (r == 0 && v->text) {
        unsigned line, column;

        json_locate(v->text, v->text_len, pointer, &line, &column);
        r = buffer_append_format(&v->mistakes, "line %u: ", line);
    }
    if (r == 0) {
        r = buffer_append_format(&v->mistakes, "%s: %s", *pointer ? pointer : "(top)", text);
    }
    if (r < 0) {
        v->problem = r;
    }
}

static void check_child(Validation *v, const Json *schema, const char *token, const Json *value)
{
    size_t len = v->pointer.len;
    int r = json_pointer_append(&v->pointer, token);

    if (r < 0) {
        v->problem = r;
        return;
    }
    check_value(v, schema, value);
    v->pointer.len = len;
    v->pointer.data[len] = '\0';
}

static bool type_matches(const char *wanted, const Json *value)
{
    JsonType type = json_type_of(value);

    return strcmp(wanted, json_type_name(type)) == 0 ||
           (strcmp(wanted, "number") == 0 && type == JSON_INTEGER);
}

static void check_type(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (json_type_of(rule) == JSON_STRING) {
        if (!type_matches(json_as_string(rule), value)) {
            mistake(v, "must be %s, not %s", json_as_string(rule),
                    json_type_name(json_type_of(value)));
        }
        return;
    }
    for (size_t i = 0; i < json_length(rule); i++) {
        if (type_matches(json_as_string(json_at(rule, i)), value)) {
            return;
        }
    }
    mistake(v, "must not be %s", json_type_name(json_type_of(value)));
}

static void check_enum(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    _cleanup_buffer_ Buffer list = {0};

    for (size_t i = 0; i < json_length(rule); i++) {
        if (json_equal(json_at(rule, i), value)) {
            return;
        }
    }
    if (json_format(rule, &list) < 0) {
        v->problem = -ENOMEM;
        return;
    }
    mistake(v, "must be one of %s", buffer_text(&list));
}

static void check_const(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    _cleanup_buffer_ Buffer wanted = {0};

    if (json_equal(rule, value)) {
        return;
    }
    if (json_format(rule, &wanted) < 0) {
        v->problem = -ENOMEM;
        return;
    }
    mistake(v, "must be %s", buffer_text(&wanted));
}

static void check_properties(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    for (JsonMember m = {0}; json_next_member(value, &m);) {
        const Json *sub = json_get(rule, m.name);

        if (sub) {
            check_child(v, sub, m.name, m.value);
        }
    }
}

static void check_required(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (json_type_of(value) != JSON_OBJECT) {
        return;
    }
    for (size_t i = 0; i < json_length(rule); i++) {
        const char *name = json_as_string(json_at(rule, i));

        if (!json_has(value, name)) {
            mistake(v, "\"%s\" is missing", name);
        }
    }
}

/* The nearest known name, so that a slip of the finger is told as one. */
static const char *similar_name(const Json *properties, const char *name)
{
    for (JsonMember m = {0}; json_next_member(properties, &m);) {
        size_t n = MIN(strlen(m.name), strlen(name)), same = 0;

        while (same < n && m.name[same] == name[same]) {
            same++;
        }
        if (same >= 3 || (same > 0 && same + 1 >= n) || strcasecmp(m.name, name) == 0) {
            return m.name;
        }
    }
    return NULL;
}

static void check_additional(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    const Json *properties = json_get(schema, "properties");

    for (JsonMember m = {0}; json_next_member(value, &m);) {
        if (json_has(properties, m.name)) {
            continue;
        }
        if (json_type_of(rule) == JSON_OBJECT) {
            check_child(v, rule, m.name, m.value);
        } else if (!json_as_bool(rule, true)) {
            const char *meant = similar_name(properties, m.name);
            size_t len = v->pointer.len;

            if (json_pointer_append(&v->pointer, m.name) < 0) {
                v->problem = -ENOMEM;
                return;
            }
            mistake(v, "unknown member%s%s%s", meant ? "; did you mean \"" : "", meant ? meant : "",
                    meant ? "\"?" : "");
            v->pointer.len = len;
            v->pointer.data[len] = '\0';
        }
    }
}

static void check_property_names(Validation *v, const Json *schema, const Json *rule,
                                 const Json *value)
{
    for (JsonMember m = {0}; json_next_member(value, &m);) {
        _cleanup_json_ Json *name = json_new_string(m.name);

        if (!name) {
            v->problem = -ENOMEM;
            return;
        }
        check_child(v, rule, m.name, name);
    }
}

static void check_items(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    for (size_t i = 0; i < json_length(value); i++) {
        char token[24];

        (void)snprintf(token, sizeof(token), "%zu", i);
        check_child(v, rule, token, json_at(value, i));
    }
}

static void check_count(Validation *v, const Json *schema, const Json *rule, const Json *value,
                        JsonType type, size_t count, bool is_max, const char *what)
{
    int64_t limit = json_as_int(rule, 0);

    if (json_type_of(value) == type && (is_max ? (int64_t)count > limit : (int64_t)count < limit)) {
        mistake(v, "must have at %s %lld %s", is_max ? "most" : "least", (long long)limit, what);
    }
}

static void check_min_properties(Validation *v, const Json *s, const Json *rule, const Json *value)
{
    check_count(v, s, rule, value, JSON_OBJECT, json_member_count(value), false, "members");
}

static void check_max_properties(Validation *v, const Json *s, const Json *rule, const Json *value)
{
    check_count(v, s, rule, value, JSON_OBJECT, json_member_count(value), true, "members");
}

static void check_min_items(Validation *v, const Json *s, const Json *rule, const Json *value)
{
    check_count(v, s, rule, value, JSON_ARRAY, json_length(value), false, "items");
}

static void check_max_items(Validation *v, const Json *s, const Json *rule, const Json *value)
{
    check_count(v, s, rule, value, JSON_ARRAY, json_length(value), true, "items");
}

static void check_min_length(Validation *v, const Json *s, const Json *rule, const Json *value)
{
    check_count(v, s, rule, value, JSON_STRING, json_as_string_len(value), false, "characters");
}

static void check_max_length(Validation *v, const Json *s, const Json *rule, const Json *value)
{
    check_count(v, s, rule, value, JSON_STRING, json_as_string_len(value), true, "characters");
}

static bool is_number(const Json *value)
{
    return json_type_of(value) == JSON_INTEGER || json_type_of(value) == JSON_NUMBER;
}

static void check_minimum(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (is_number(value) && json_as_number(value, 0) < json_as_number(rule, 0)) {
        mistake(v, "must be at least %.15g", json_as_number(rule, 0));
    }
}

static void check_maximum(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (is_number(value) && json_as_number(value, 0) > json_as_number(rule, 0)) {
        mistake(v, "must be at most %.15g", json_as_number(rule, 0));
    }
}

static void check_pattern(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    regex_t regex;

    if (json_type_of(value) != JSON_STRING) {
        return;
    }
    if (regcomp(&regex, json_as_string(rule), REG_EXTENDED | REG_NOSUB) != 0) {
        v->problem = -ENOTSUP;
        return;
    }
    if (regexec(&regex, json_as_string(value), 0, NULL, 0) != 0) {
        const char *why = json_get_string(schema, "description");

        mistake(v, "does not match %s%s%s", json_as_string(rule), why ? ": " : "", why ? why : "");
    }
    regfree(&regex);
}

static void check_one_of(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    size_t matches = 0;

    for (size_t i = 0; i < json_length(rule); i++) {
        Validation trial = {.root = v->root};

        check_value(&trial, json_at(rule, i), value);
        matches += trial.count == 0 && trial.problem == 0;
        if (trial.problem) {
            v->problem = trial.problem;
        }
        buffer_done(&trial.pointer);
        buffer_done(&trial.mistakes);
    }
    if (matches != 1) {
        const char *why = json_get_string(schema, "description");

        mistake(v, "must have exactly one of its forms%s%s", why ? ": " : "", why ? why : "");
    }
}

static void check_ref(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    const char *ref = json_as_string(rule);
    const Json *target = ref && ref[0] == '#' ? json_pointer(v->root, ref + 1) : NULL;

    if (!target) {
        v->problem = -ENOTSUP;
        return;
    }
    check_value(v, target, value);
}

static const struct {
    const char *name;
    CheckFunction check; /* NULL: an annotation */
} keywords[] = {
    {"type", check_type},
    {"$ref", check_ref},
    {"enum", check_enum},
    {"const", check_const},
    {"properties", check_properties},
    {"required", check_required},
    {"additionalProperties", check_additional},
    {"propertyNames", check_property_names},
    {"minProperties", check_min_properties},
    {"maxProperties", check_max_properties},
    {"items", check_items},
    {"minItems", check_min_items},
    {"maxItems", check_max_items},
    {"minLength", check_min_length},
    {"maxLength", check_max_length},
    {"minimum", check_minimum},
    {"maximum", check_maximum},
    {"pattern", check_pattern},
    {"oneOf", check_one_of},
    {"$schema", NULL},
    {"$id", NULL},
    {"$comment", NULL},
    {"$defs", NULL},
    {"title", NULL},
    {"description", NULL},
    {"default", NULL},
    {"examples", NULL},
};

static void check_value(Validation *v, const Json *schema, const Json *value)
{
    unsigned before = v->count;

    for (JsonMember m = {0}; json_next_member(schema, &m) && v->problem == 0;) {
        size_t i = 0;

        while (i < ARRAY_SIZE(keywords) && strcmp(keywords[i].name, m.name) != 0) {
            i++;
        }
        if (i == ARRAY_SIZE(keywords)) {
            v->problem = -ENOTSUP;
        } else if (keywords[i].check) {
            keywords[i].check(v, schema, m.value, value);
        }
        if (v->count > before && keywords[i < ARRAY_SIZE(keywords) ? i : 0].check == check_type) {
            return; /* of the wrong type: nothing else about it would help */
        }
    }
}

int validate_value(const Json *schema, const Json *value, const char *text, size_t text_len,
                   Error *err)
{
    Validation v = {.root = schema, .text = text, .text_len = text_len};
    int r;

    check_value(&v, schema, value);
    if (v.problem) {
        r = error_set_errno(err, v.problem, "cannot check against the schema");
    } else if (v.count > VALIDATE_MISTAKES_MAX) {
        r = error_set(err, -EINVAL, "%s\n… and %u more", buffer_text(&v.mistakes),
                      v.count - VALIDATE_MISTAKES_MAX);
    } else if (v.count > 0) {
        r = error_set(err, -EINVAL, "%s", buffer_text(&v.mistakes));
    } else {
        r = 0;
    }
    buffer_done(&v.pointer);
    buffer_done(&v.mistakes);
    return r;
}
