/* SPDX-License-Identifier: MIT */
/* Two lines: a schema and a value. The check ends, whatever the schema; its answer does not depend
 * on whether the text is at hand; a mistake is told with its place. */
#include "protocol/validate.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *value_text = size ? memchr(text, '\n', size) : NULL;
    _cleanup_json_ Json *schema = NULL, *value = NULL;
    _cleanup_error_ Error plain = {0}, placed = {0};
    size_t value_len;
    int r;

    if (!value_text) {
        return 0;
    }
    value_text++;
    value_len = size - (size_t)(value_text - text);
    if (json_parse(text, size - value_len, &schema, NULL) < 0 ||
        json_parse(value_text, value_len, &value, NULL) < 0) {
        return 0;
    }
    r = validate_value(schema, value, NULL, 0, &plain);
    require(validate_value(schema, value, value_text, value_len, &placed) == r);
    require((r < 0) == (plain.text != NULL) && (r < 0) == (placed.text != NULL));
    if (r == -EINVAL) {
        require(strncmp(placed.text, "line ", 5) == 0);
        require(plain.text[0] == '/' || strncmp(plain.text, "(top): ", 7) == 0);
    }
    return 0;
}
