/* SPDX-License-Identifier: MIT */
#include "protocol/schema.h"

#include <errno.h>
#include <string.h>

const SchemaText *schema_find(const char *name)
{
    for (const SchemaText *text = schema_texts; text->name; text++) {
        if (strcmp(text->name, name) == 0) {
            return text;
        }
    }
    return NULL;
}

int schema_load(const char *name, Json **ret, Error *err)
{
    const SchemaText *found = schema_find(name);
    int r;

    if (!found) {
        return error_set(err, -ENOENT, "there is no schema '%s'", name);
    }
    r = json_parse(found->text, found->len, ret, err);
    return r < 0 ? error_wrap(err, "schema '%s'", name) : 0;
}
