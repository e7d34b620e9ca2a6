/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/trusted-keys.h"

#include "plugin/cli/evidence/text-file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_FILE_MAX ((size_t)4 << 20)

/* A name of a key may hold what a JSON pointer reads as its own. To free(). */
static char *pointer_to(const char *name)
{
    char *pointer = malloc(2 * strlen(name) + 2), *at = pointer;

    if (!pointer) {
        return NULL;
    }
    *at++ = '/';
    for (; *name; name++) {
        if (*name == '~' || *name == '/') {
            *at++ = '~';
            *at++ = *name == '~' ? '0' : '1';
        } else {
            *at++ = *name;
        }
    }
    *at = '\0';
    return pointer;
}

static int add_key(SlipwayJson **keys, const char *name, const SlipwayJson *key)
{
    char *pointer = pointer_to(name);
    int r;

    *keys = *keys ? *keys : slipway_json_new_object();
    r = pointer && *keys ? slipway_json_set(*keys, pointer, key) : -ENOMEM;
    free(pointer);
    return r;
}

static int add_all(SlipwayJson **keys, const SlipwayJson *root)
{
    const SlipwayJson *theirs = slipway_json_get(root, "/keys");
    const SlipwayJson *key = slipway_json_get(root, "/key");
    const char *name = slipway_json_get_string(root, "/name", NULL);
    int r = 0;

    if (key && name) {
        return add_key(keys, name, key);
    }
    if (!theirs && slipway_json_get(root, "/environments")) {
        return 0; /* an agent.json that believes nobody but itself */
    }
    theirs = theirs ? theirs : root;
    for (SlipwayJsonMember m = {0}; r == 0 && slipway_json_next_member(theirs, &m);) {
        r = add_key(keys, m.name, m.value);
    }
    return r;
}

static int say(char **ret_error, int r, const char *path, const char *problem)
{
    if (ret_error && asprintf(ret_error, "'%s': %s", path, problem) < 0) {
        *ret_error = NULL;
    }
    return r;
}

int trusted_keys_add_file(SlipwayJson **keys, const char *path, SlipwayJson **ret_root,
                          char **ret_error)
{
    char *text = NULL;
    SlipwayJson *root = NULL;
    size_t len = 0;
    int r = text_file_read(path, KEYS_FILE_MAX, &text, &len, ret_error);

    if (r < 0) {
        return r;
    }
    if (slipway_json_parse(text, len, &root) < 0 ||
        slipway_json_get_type(root, "") != SLIPWAY_JSON_OBJECT) {
        r = say(ret_error, -EINVAL, path, "no JSON object");
    } else if (add_all(keys, root) < 0) {
        r = say(ret_error, -ENOMEM, path, "out of memory");
    } else if (ret_root) {
        *ret_root = slipway_json_ref(root);
    }
    (void)slipway_json_unref(root);
    free(text);
    return r;
}
