/* SPDX-License-Identifier: MIT */
#include "protocol/validate.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <limits.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A schema may be an operator's, so it is bounded as the value is: how deep schemas stand in each
 * other, a $ref being one step, and how many are tried in all (a line of a megabyte has half a
 * million values). */
#define VALIDATE_DEPTH_MAX 128
#define VALIDATE_STEPS_MAX (1u << 20)

/* Bytes of a pointer and of a quoted text in a mistake; names are chosen by whoever made it. */
#define VALIDATE_QUOTE_MAX 200

typedef struct Validation {
    const Json *root; /* of the schema, for $ref */
    const char *text;
    size_t text_len;
    Buffer pointer;
    Buffer mistakes;
    unsigned count;
    unsigned depth;
    unsigned steps;
    int problem; /* -ENOMEM and the like; -ENOTSUP for a schema that we do not understand */
    const char *problem_text;
    const char *keyword; /* that is being checked, for a problem */
} Validation;

typedef void (*CheckFunction)(Validation *v, const Json *schema, const Json *rule,
                              const Json *value);

static void check_value(Validation *v, const Json *schema, const Json *value);

/* The schema is at fault, not the value: it ends the check. */
static void problem(Validation *v, const char *text)
{
    if (v->problem == 0) {
        v->problem = -ENOTSUP;
        v->problem_text = text;
    }
}

static void failure(Validation *v, int code)
{
    v->problem = v->problem ? v->problem : code;
}

/* As much of a text as a mistake shows, in whole characters. */
static int quote_len(const char *text)
{
    size_t n = strlen(text);

    return (int)(n <= VALIDATE_QUOTE_MAX ? n : text_utf8_prefix(text, VALIDATE_QUOTE_MAX));
}

static const char *quote_end(const char *text)
{
    return strlen(text) > VALIDATE_QUOTE_MAX ? "…" : "";
}

static int append_place(Validation *v, const char *pointer)
{
    if (v->text) {
        unsigned line, column;
        int r;

        json_locate(v->text, v->text_len, pointer, &line, &column);
        r = buffer_append_format(&v->mistakes, "line %u: ", line);
        if (r < 0) {
            return r;
        }
    }
    return buffer_append_format(&v->mistakes, "%.*s%s: ", quote_len(pointer), pointer,
                                quote_end(pointer));
}

static void mistake(Validation *v, const char *format, ...) _printf_(2, 3);
static void mistake(Validation *v, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    const char *pointer = buffer_text(&v->pointer);
    int r = 0;
    va_list ap;

    if (v->count++ >= VALIDATE_MISTAKES_MAX) {
        return;
    }
    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0) {
        text = NULL;
        r = -ENOMEM;
    }
    va_end(ap);
    if (r == 0 && v->mistakes.len > 0) {
        r = buffer_append_text(&v->mistakes, "\n");
    }
    r = r == 0 ? append_place(v, *pointer ? pointer : "(top)") : r;
    r = r == 0 ? buffer_append_text(&v->mistakes, text) : r;
    if (r < 0) {
        failure(v, r);
    }
}

/* A mistake that shows a rule as JSON. */
static void mistake_json(Validation *v, const char *before, const Json *rule)
{
    _cleanup_buffer_ Buffer text = {0};
    int r = json_format(rule, &text);

    if (r < 0) {
        failure(v, r);
        return;
    }
    mistake(v, "%s %s", before, buffer_text(&text));
}

static void check_child(Validation *v, const Json *schema, const char *token, const Json *value)
{
    size_t len = v->pointer.len;
    int r = json_pointer_append(&v->pointer, token);

    if (r < 0) {
        failure(v, r);
        return;
    }
    check_value(v, schema, value);
    buffer_truncate(&v->pointer, len);
}

static bool type_matches(Validation *v, const Json *wanted, const Json *value)
{
    const char *name = json_as_string(wanted);
    JsonType type = json_type_of(value);

    for (JsonType known = 0; name && known < _JSON_TYPE_MAX; known++) {
        if (strcmp(name, json_type_name(known)) == 0) {
            return known == type || (known == JSON_NUMBER && type == JSON_INTEGER);
        }
    }
    problem(v, "names a type that there is not");
    return false;
}

static void check_type(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    const char *found = json_type_name(json_type_of(value));

    if (json_type_of(rule) != JSON_ARRAY) {
        if (!type_matches(v, rule, value) && v->problem == 0) {
            mistake(v, "must be %s, not %s", json_as_string(rule), found);
        }
        return;
    }
    for (size_t i = 0; i < json_length(rule); i++) {
        if (type_matches(v, json_at(rule, i), value)) {
            return;
        }
    }
    mistake(v, "must not be %s", found);
}

static void check_enum(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (json_type_of(rule) != JSON_ARRAY) {
        problem(v, "must be an array");
        return;
    }
    for (size_t i = 0; i < json_length(rule); i++) {
        if (json_equal(json_at(rule, i), value)) {
            return;
        }
    }
    mistake_json(v, "must be one of", rule);
}

static void check_const(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (!json_equal(rule, value)) {
        mistake_json(v, "must be", rule);
    }
}

static void check_properties(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (json_type_of(rule) != JSON_OBJECT) {
        problem(v, "must be an object");
        return;
    }
    for (JsonMember m = {0}; json_next_member(value, &m) && v->problem == 0;) {
        if (json_has(rule, m.name)) {
            check_child(v, json_get(rule, m.name), m.name, m.value);
        }
    }
}

static void check_required(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (json_type_of(rule) != JSON_ARRAY) {
        problem(v, "must be an array");
        return;
    }
    for (size_t i = 0; i < json_length(rule) && json_type_of(value) == JSON_OBJECT; i++) {
        const char *name = json_as_string(json_at(rule, i));

        if (!name) {
            problem(v, "must hold strings only");
            return;
        }
        if (!json_has(value, name)) {
            mistake(v, "\"%s\" is missing", name);
        }
    }
}

/* How many letters have to be changed, left out, put in or swapped with their neighbour to make one
 * name of the other, case aside (optimal string alignment). */
#define SIMILAR_NAME_MAX 64
static unsigned name_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned char rows[3][SIMILAR_NAME_MAX + 1];

    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = (unsigned char)j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        unsigned char *row = rows[i % 3], *above = rows[(i + 2) % 3],
                      *two_above = rows[(i + 1) % 3];

        row[0] = (unsigned char)i;
        for (size_t j = 1; j <= b_len; j++) {
            bool is_same = strncasecmp(a + i - 1, b + j - 1, 1) == 0;
            unsigned best = above[j - 1] + !is_same;

            best = MIN(best, above[j] + 1u);
            best = MIN(best, row[j - 1] + 1u);
            if (i > 1 && j > 1 && strncasecmp(a + i - 1, b + j - 2, 1) == 0 &&
                strncasecmp(a + i - 2, b + j - 1, 1) == 0) {
                best = MIN(best, two_above[j - 2] + 1u);
            }
            row[j] = (unsigned char)best;
        }
    }
    return rows[a_len % 3][b_len];
}

/* The nearest known name, so that a slip of the finger is told as one; NULL if none is near. */
static const char *similar_name(const Json *properties, const char *name)
{
    size_t len = strlen(name);
    const char *nearest = NULL;
    unsigned least = UINT_MAX;

    for (JsonMember m = {0}; len <= SIMILAR_NAME_MAX && json_next_member(properties, &m);) {
        size_t known_len = strlen(m.name), shorter = MIN(len, known_len);
        bool is_beginning = shorter >= 3 && strncasecmp(name, m.name, shorter) == 0;
        unsigned distance;

        if (known_len > SIMILAR_NAME_MAX) {
            continue;
        }
        distance = name_distance(name, len, m.name, known_len);
        if (distance < least && (is_beginning || distance <= (shorter + 2) / 4)) {
            nearest = m.name;
            least = distance;
        }
    }
    return nearest;
}

static void mistake_unknown(Validation *v, const Json *properties, const char *name)
{
    const char *meant = similar_name(properties, name);
    size_t len = v->pointer.len;
    int r = json_pointer_append(&v->pointer, name);

    if (r < 0) {
        failure(v, r);
        return;
    }
    mistake(v, "unknown member%s%s%s", meant ? "; did you mean \"" : "", meant ? meant : "",
            meant ? "\"?" : "");
    buffer_truncate(&v->pointer, len);
}

static void check_additional(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    const Json *properties = json_get(schema, "properties");

    for (JsonMember m = {0}; json_next_member(value, &m) && v->problem == 0;) {
        if (json_has(properties, m.name)) {
            continue;
        }
        if (json_type_of(rule) == JSON_BOOLEAN && !json_as_bool(rule, true)) {
            mistake_unknown(v, properties, m.name);
        } else {
            check_child(v, rule, m.name, m.value);
        }
    }
}

static void check_property_names(Validation *v, const Json *schema, const Json *rule,
                                 const Json *value)
{
    for (JsonMember m = {0}; json_next_member(value, &m) && v->problem == 0;) {
        _cleanup_json_ Json *name = json_new_string(m.name);

        if (!name) {
            failure(v, -ENOMEM);
            return;
        }
        check_child(v, rule, m.name, name);
    }
}

static void check_items(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    for (size_t i = 0; i < json_length(value) && v->problem == 0; i++) {
        char token[24];

        (void)snprintf(token, sizeof(token), "%zu", i);
        check_child(v, rule, token, json_at(value, i));
    }
}

static void check_count(Validation *v, const Json *schema, const Json *rule, const Json *value,
                        JsonType type, size_t count, bool is_max, const char *what)
{
    int64_t limit = json_as_int(rule, -1);

    if (limit < 0) {
        problem(v, "must be a whole number");
    } else if (json_type_of(value) == type &&
               (is_max ? (int64_t)count > limit : (int64_t)count < limit)) {
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

/* JSON Schema counts characters, not bytes. */
static size_t count_characters(const Json *value)
{
    const char *text = json_as_string(value);
    size_t n = 0;

    for (; text && *text; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

static void check_min_length(Validation *v, const Json *s, const Json *rule, const Json *value)
{
    check_count(v, s, rule, value, JSON_STRING, count_characters(value), false, "characters");
}

static void check_max_length(Validation *v, const Json *s, const Json *rule, const Json *value)
{
    check_count(v, s, rule, value, JSON_STRING, count_characters(value), true, "characters");
}

static bool is_number(const Json *value)
{
    return json_type_of(value) == JSON_INTEGER || json_type_of(value) == JSON_NUMBER;
}

/* Beyond 2^53 a double is not exact, so whole numbers are compared as such. */
static int compare_numbers(const Json *a, const Json *b)
{
    if (json_type_of(a) == JSON_INTEGER && json_type_of(b) == JSON_INTEGER) {
        int64_t x = json_as_int(a, 0), y = json_as_int(b, 0);

        return (x > y) - (x < y);
    }
    {
        double x = json_as_number(a, 0), y = json_as_number(b, 0);

        return (x > y) - (x < y);
    }
}

static void check_minimum(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (!is_number(rule)) {
        problem(v, "must be a number");
    } else if (is_number(value) && compare_numbers(value, rule) < 0) {
        mistake_json(v, "must be at least", rule);
    }
}

static void check_maximum(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    if (!is_number(rule)) {
        problem(v, "must be a number");
    } else if (is_number(value) && compare_numbers(value, rule) > 0) {
        mistake_json(v, "must be at most", rule);
    }
}

static void check_pattern(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    const char *pattern = json_as_string(rule);
    regex_t regex;

    if (!pattern || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        problem(v, "is no POSIX extended regular expression");
        return;
    }
    if (json_type_of(value) == JSON_STRING &&
        regexec(&regex, json_as_string(value), 0, NULL, 0) != 0) {
        const char *why = json_get_string(schema, "description");

        mistake(v, "does not match %s%s%s", pattern, why ? ": " : "", why ? why : "");
    }
    regfree(&regex);
}

static void check_one_of(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    size_t matches = 0;

    if (json_length(rule) == 0) {
        problem(v, "must be an array of schemas");
    }
    for (size_t i = 0; i < json_length(rule) && v->problem == 0; i++) {
        Validation trial = {.root = v->root, .depth = v->depth, .steps = v->steps};

        check_value(&trial, json_at(rule, i), value);
        matches += trial.count == 0;
        v->steps = trial.steps;
        v->problem = trial.problem;
        v->problem_text = trial.problem_text;
        v->keyword = trial.problem ? trial.keyword : v->keyword;
        buffer_done(&trial.pointer);
        buffer_done(&trial.mistakes);
    }
    if (matches != 1 && v->problem == 0) {
        const char *why = json_get_string(schema, "description");

        mistake(v, "must have exactly one of its forms%s%s", why ? ": " : "", why ? why : "");
    }
}

static void check_ref(Validation *v, const Json *schema, const Json *rule, const Json *value)
{
    const char *ref = json_as_string(rule);
    const Json *target = ref && ref[0] == '#' ? json_pointer(v->root, ref + 1) : NULL;

    if (!target) {
        problem(v, "points nowhere");
        return;
    }
    check_value(v, target, value);
}

static const struct {
    const char *name;
    CheckFunction check; /* NULL: an annotation */
} keywords[] = {
    {"type", NULL}, /* looked at before any other */
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

static void check_keyword(Validation *v, const Json *schema, const JsonMember *rule,
                          const Json *value)
{
    v->keyword = rule->name;
    for (size_t i = 0; i < ARRAY_SIZE(keywords); i++) {
        if (strcmp(keywords[i].name, rule->name) == 0) {
            if (keywords[i].check) {
                keywords[i].check(v, schema, rule->value, value);
            }
            return;
        }
    }
    problem(v, "is not a keyword that is known here");
}

/* `type` first: of a value of the wrong type nothing else would help to know. */
static bool has_right_type(Validation *v, const Json *schema, const Json *value)
{
    unsigned before = v->count;

    if (json_has(schema, "type")) {
        v->keyword = "type";
        check_type(v, schema, json_get(schema, "type"), value);
    }
    return v->count == before && v->problem == 0;
}

static void check_value(Validation *v, const Json *schema, const Json *value)
{
    JsonType form = json_type_of(schema);

    if (form == JSON_BOOLEAN) { /* true and false are schemas, too: anything, nothing */
        if (!json_as_bool(schema, true)) {
            mistake(v, "must not be there");
        }
        return;
    }
    if (form != JSON_OBJECT) {
        problem(v, "holds something that is no schema");
        return;
    }
    if (v->depth >= VALIDATE_DEPTH_MAX || v->steps >= VALIDATE_STEPS_MAX) {
        problem(v, v->depth >= VALIDATE_DEPTH_MAX ? "goes round in circles" : "takes too long");
        return;
    }
    v->depth++;
    v->steps++;
    if (has_right_type(v, schema, value)) {
        for (JsonMember m = {0}; v->problem == 0 && json_next_member(schema, &m);) {
            if (strcmp(m.name, "type") != 0) {
                check_keyword(v, schema, &m, value);
            }
        }
    }
    v->depth--;
}

static int problem_error(const Validation *v, Error *err)
{
    if (!v->problem_text) {
        return error_set_errno(err, v->problem, "cannot check against the schema");
    }
    return error_set(err, v->problem, "cannot check against the schema: \"%.*s\" %s",
                     v->keyword ? quote_len(v->keyword) : 0, v->keyword ? v->keyword : "",
                     v->problem_text);
}

int validate_value(const Json *schema, const Json *value, const char *text, size_t text_len,
                   Error *err)
{
    Validation v = {.root = schema, .text = text, .text_len = text_len};
    int r;

    check_value(&v, schema, value);
    if (v.problem) {
        r = problem_error(&v, err);
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
