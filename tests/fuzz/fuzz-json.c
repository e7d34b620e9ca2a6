/* SPDX-License-Identifier: MIT */
/* Any bytes: json_parse takes them or says where they are wrong. What it takes survives being
 * formatted and parsed again, both ways, and every value in it can be found by its pointer. */
#include "protocol/json.h"

#include "protocol/base/text.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* The pointers of a value, each followed from the root and located in the text. */
static void check_pointers(const Json *root, const Json *at, Buffer *pointer, const char *text,
                           size_t size)
{
    size_t len = pointer->len;
    unsigned line = 0, column = 0;

    require(json_pointer(root, buffer_text(pointer)) == at);
    json_locate(text, size, buffer_text(pointer), &line, &column);
    require(line >= 1 && column >= 1);
    for (JsonMember m = {0}; json_next_member(at, &m);) {
        require(json_pointer_append(pointer, m.name) == 0);
        check_pointers(root, m.value, pointer, text, size);
        pointer->len = len;
        pointer->data[len] = '\0';
    }
    for (size_t i = 0; i < json_length(at); i++) {
        require(buffer_append_format(pointer, "/%zu", i) == 0);
        check_pointers(root, json_at(at, i), pointer, text, size);
        pointer->len = len;
        pointer->data[len] = '\0';
    }
}

static void check_format(const Json *value, int (*format)(const Json *, Buffer *))
{
    _cleanup_buffer_ Buffer first = {0}, second = {0};
    _cleanup_json_ Json *again = NULL;

    require(format(value, &first) == 0);
    require(json_parse(first.data, first.len, &again, NULL) == 0);
    require(json_equal(value, again));
    require(format(again, &second) == 0);
    require(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    _cleanup_json_ Json *value = NULL, *copy = NULL;
    _cleanup_buffer_ Buffer line = {0}, pointer = {0};
    _cleanup_error_ Error err = {0};

    if (json_parse(text, size, &value, &err) < 0) {
        require(value == NULL);
        require(err.code < 0 && strncmp(error_text(&err), "line ", 5) == 0);
        return 0;
    }
    require(err.code == 0 && text_is_utf8(text, size));
    check_format(value, json_format);
    check_format(value, json_format_pretty);
    require(json_format(value, &line) == 0);
    require(memchr(line.data, '\n', line.len) == NULL); /* it is to fit on a line */
    require(json_copy(value, &copy) == 0 && json_equal(value, copy));
    if (size <= 4096) { /* it is quadratic */
        check_pointers(value, value, &pointer, text, size);
    }
    return 0;
}
