/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"

#include <errno.h>
#include <stdlib.h>

/* What an agent signs; who believes it with less leaves some out. */
#define ROLES "[\"builder\",\"tester\",\"stager\"]"

typedef struct HostKey {
    const SlipwayJson *name;
    SlipwayJson *entry; /* as a member of `keys` in agent.json */
    char *id;
} HostKey;

static int read_key(const SlipwayJson *health, HostKey *ret, char **ret_error)
{
    const char *pem = slipway_json_get_string(health, "/publicKey", "");
    SlipwayJson *roles = NULL;
    int r = slipway_key_id(pem, &ret->id, ret_error);

    ret->name = slipway_json_get(health, "/name");
    if (r < 0) {
        return r;
    }
    ret->entry = slipway_json_new_object();
    r = slipway_json_parse(ROLES, sizeof(ROLES) - 1, &roles);
    r = r == 0 ? slipway_json_set_string(ret->entry, "/publicKey", pem) : r;
    r = r == 0 ? slipway_json_set(ret->entry, "/roles", roles) : r;
    (void)slipway_json_unref(roles);
    return r;
}

static int print_lines(Output *o, const HostKey *key)
{
    char *name = slipway_json_format(key->name), *entry = slipway_json_format(key->entry);

    if (name && entry) {
        output_print(o, "The key of %s is %s\n%s\n", name, key->id,
                     slipway_json_get_string(key->entry, "/publicKey", ""));
        output_print(o,
                     "For the agent.json of a host that is to believe what it signs:\n\n"
                     "  \"keys\": {\n    %s: %s\n  }\n",
                     name, entry);
    }
    free(entry);
    free(name);
    return name && entry ? 0 : -ENOMEM;
}

static int print_json(Session *s, const HostKey *key)
{
    SlipwayJson *object = slipway_json_new_object();
    int r = object ? slipway_json_set(object, "/name", key->name) : -ENOMEM;

    r = r == 0 ? slipway_json_set_string(object, "/id", key->id) : r;
    r = r == 0 ? slipway_json_set(object, "/key", key->entry) : r;
    if (r == 0) {
        session_print_json(s, NULL, object);
    }
    (void)slipway_json_unref(object);
    return r;
}

static int show(Session *s, const SlipwayJson *health)
{
    HostKey key = {0};
    char *error = NULL;
    int r = read_key(health, &key, &error);

    if (r == 0) {
        r = s->output.is_json ? print_json(s, &key) : print_lines(&s->output, &key);
    }
    if (r < 0) {
        output_say(&s->output, "slipway: the agent's key cannot be shown: %s",
                   error ? error : "out of memory");
    }
    free(error);
    free(key.id);
    (void)slipway_json_unref(key.entry);
    return r < 0 ? EXIT_ACTION_FAILED : EXIT_DONE;
}

static int run(Session *s)
{
    SlipwayJson *health = NULL;
    int r = session_request(s, "health", NULL, &health);

    if (r == EXIT_DONE && !slipway_json_get(health, "/publicKey")) {
        output_say(&s->output, "slipway: the agent has no key; it makes one soon after its first "
                               "start, and its log says why where it cannot");
        r = EXIT_ACTION_FAILED;
    } else if (r == EXIT_DONE) {
        r = show(s, health);
    }
    (void)slipway_json_unref(health);
    return r;
}

const Command command_keys = {
    .name = "keys",
    .synopsis = "",
    .summary = "show the agent's public key",
    .description =
        "Shows the public key with which the agent signs what it did, and the lines that "
        "make another host believe it. Exit code 1: it has no key.",
    .run = run,
};
