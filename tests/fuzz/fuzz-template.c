/* SPDX-License-Identifier: MIT */
/* A line of variables (a JSON object) and a template after it, any bytes: template_fill fills it or
 * says where it is wrong. What it fills is JSON that anybody takes; a template without `$` stays as
 * it is;
 * `$${` never names anything. */
#include "agent/deploy/template.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void check_filled(const char *text, size_t size, const Json *filled)
{
    _cleanup_buffer_ Buffer line = {0};
    _cleanup_json_ Json *again = NULL, *template = NULL;

    require(json_format(filled, &line) == 0);
    require(json_parse(line.data, line.len, &again, NULL) == 0);
    require(json_equal(filled, again));
    require(json_parse(text, size, &template, NULL) == 0);
    /* A dollar may also be written as an escape, so look at the value and not at the text. */
    buffer_clear(&line);
    require(json_format(template, &line) == 0);
    if (!strchr(buffer_text(&line), '$')) {
        require(json_equal(filled, template));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = size > 0 ? memchr(text, '\n', size) : NULL;
    _cleanup_json_ Json *own = json_new_object(), *variables = NULL, *filled = NULL;
    _cleanup_error_ Error err = {0};
    TemplateNames names = {.own = own};
    size_t head = end ? (size_t)(end - text) : 0;
    int r;

    if (!end || json_parse(text, head, &variables, NULL) < 0 ||
        json_type_of(variables) != JSON_OBJECT) {
        return 0;
    }
    require(json_set_string(own, "name", "a\",\"b\":\"${name}\\") == 0);
    names.environment = variables;
    text += head + 1;
    size -= head + 1;
    r = template_fill(text, size, &names, &filled, &err);
    if (r < 0) {
        require(r == -EINVAL && !filled);
        require(strncmp(error_text(&err), "line ", 5) == 0);
        return 0;
    }
    require(!err.text);
    check_filled(text, size, filled);
    return 0;
}
