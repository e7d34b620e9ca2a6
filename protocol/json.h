/* SPDX-License-Identifier: MIT */
/* JSON values (RFC 8259). The one room that includes json-c: a `Json` is its object, opaque here.
 *
 * Getters borrow: what they return lives as long as the parent does. Setters named `_take` consume
 * the value, also when they fail. A getter for a type answers "absent" for a value of another type,
 * because input is checked against its schema before anybody asks (protocol/schema.h). */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct json_object Json;

/* Deeper nesting is refused while parsing. Announced as `maxDepth` in `initialize`. */
#define JSON_DEPTH_MAX 32

typedef enum JsonType {
    JSON_NULL,
    JSON_BOOLEAN,
    JSON_INTEGER,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
    _JSON_TYPE_MAX,
} JsonType;

/* Parses exactly one JSON text: strict syntax, UTF-8, at most JSON_DEPTH_MAX deep; of members with
 * the same name the last one counts. Refused though it is JSON: a string with \u0000 or half a
 * surrogate pair, and a number that 64 bits cannot hold, because it would arrive as another one. A
 * number with a fraction or an exponent is no integer, whatever its value. The error says line and
 * column. JSON `null` gives *ret == NULL with success. */
int json_parse(const char *text, size_t n, Json **ret, Error *err) _must_check_;

/* The same for a text that is signed, where two readers must never see two things: members of the
 * same name are refused, as are names with escapes and objects of more than this many members. */
int json_parse_strict(const char *text, size_t n, Json **ret, Error *err) _must_check_;
#define JSON_STRICT_MEMBERS_MAX 128

Json *json_ref(Json *j);
Json *json_unref(Json *j);
DEFINE_CLEANUP(Json, json_unref)
#define _cleanup_json_ _cleanup_(json_unrefp)

JsonType json_type_of(const Json *j);
const char *json_type_name(JsonType type);

/* Members of an object; `j` may be NULL or no object, then the member is absent. */
Json *json_get(const Json *j, const char *name);
bool json_has(const Json *j, const char *name); /* true also for a member that is null */
const char *json_get_string(const Json *j, const char *name);
int64_t json_get_int(const Json *j, const char *name, int64_t fallback);
bool json_get_bool(const Json *j, const char *name, bool fallback);
size_t json_member_count(const Json *j);

/* The value itself. */
const char *json_as_string(const Json *j); /* NULL if it is no string */
size_t json_as_string_len(const Json *j);
int64_t json_as_int(const Json *j, int64_t fallback);
bool json_as_bool(const Json *j, bool fallback);
double json_as_number(const Json *j, double fallback);

size_t json_length(const Json *j); /* of an array; 0 for anything else */
Json *json_at(const Json *j, size_t index);

/* Follows a JSON Pointer (RFC 6901). NULL where there is nothing, or `null`. */
Json *json_pointer(const Json *j, const char *pointer);

/* Walks the members of an object in the order of the text. Start with {0}; false at the end. The
 * object must not change meanwhile. */
typedef struct JsonMember {
    const char *name;
    Json *value;
    void *position;
    bool is_started;
} JsonMember;
bool json_next_member(const Json *object, JsonMember *m);

/* Building. -ENOMEM is the only failure. Setting a name again replaces its value. Texts may come
 * from anywhere: bytes that are not UTF-8, and NUL, become U+FFFD, so that what is formatted can be
 * parsed. */
Json *json_new_object(void) _must_check_;
Json *json_new_array(void) _must_check_;
Json *json_new_string(const char *text) _must_check_;
Json *json_new_string_n(const char *text, size_t n) _must_check_;
Json *json_new_int(int64_t value) _must_check_;
Json *json_new_number(double value) _must_check_; /* NULL also for what JSON cannot say */
Json *json_new_bool(bool value) _must_check_;
int json_set_take(Json *object, const char *name, Json *value) _must_check_;
int json_set_null(Json *object, const char *name) _must_check_;
int json_set_string(Json *object, const char *name,
                    const char *text) _must_check_; /* NULL: leaves it out */
int json_set_int(Json *object, const char *name, int64_t value) _must_check_;
int json_set_bool(Json *object, const char *name, bool value) _must_check_;
int json_append_take(Json *array, Json *value) _must_check_;
int json_append_string(Json *array, const char *text) _must_check_;
int json_append_null(Json *array) _must_check_;
void json_remove(Json *object, const char *name);
int json_copy(const Json *j, Json **ret) _must_check_; /* deep */
bool json_equal(const Json *a, const Json *b);

/* Appends the value as one line without a line feed, "null" for NULL. */
int json_format(const Json *j, Buffer *out) _must_check_;
/* The same, indented for people. */
int json_format_pretty(const Json *j, Buffer *out) _must_check_;

/* Where in a text (one that json_parse took) the value at `pointer` begins; for a member, its name.
 * Lines and columns count from 1. Falls back on the nearest parent that is there. */
void json_locate(const char *text, size_t n, const char *pointer, unsigned *ret_line,
                 unsigned *ret_column);

/* Appends a reference token to a JSON Pointer, escaped as RFC 6901 section 3 says. */
int json_pointer_append(Buffer *pointer, const char *token) _must_check_;
