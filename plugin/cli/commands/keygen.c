/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"

#include <stdlib.h>

static void say_what_next(Session *s, const char *path, const char *id)
{
    output_print(&s->output,
                 "%s is a new private key: it signs, so whoever can read it can release. Keep it "
                 "where only the controller reads it.\n"
                 "%s.pub is its public half, id %s. On each host that is to believe it, add to "
                 "agent.json:\n\n"
                 "  \"keys\": {\"controller\": {\"file\": \"%s.pub\", \"roles\": "
                 "[\"approver\"]}}\n",
                 path, path, id, path);
}

static int run(Session *s)
{
    const char *path = s->options->arguments[0];
    char *id = NULL, *error = NULL;

    if (slipway_key_generate(path, &id, &error) < 0) {
        output_say(&s->output, "slipway: %s", error ? error : "out of memory");
        free(error);
        return EXIT_ACTION_FAILED;
    }
    if (s->output.is_json) {
        SlipwayJson *line = slipway_json_new_object();

        (void)slipway_json_set_string(line, "/keyId", id);
        session_print_json(s, NULL, line);
        (void)slipway_json_unref(line);
    } else if (!s->output.is_quiet) {
        say_what_next(s, path, id);
    }
    free(id);
    return EXIT_DONE;
}

const Command command_keygen = {
    .name = "keygen",
    .synopsis = "FILE",
    .summary = "make a key that approves releases",
    .description =
        "Makes an Ed25519 key pair: the private key in FILE (mode 0600, never written over), the "
        "public one in FILE.pub. `slipway approve` signs with the first; hosts believe the second.",
    .min_arguments = 1,
    .max_arguments = 1,
    .is_local = true,
    .run = run,
};
