/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"

static int run(Session *s)
{
    SlipwayJson *params = slipway_json_new_object(), *result = NULL;
    int r;

    (void)slipway_json_set_string(params, "/call", s->options->arguments[0]);
    r = session_request(s, "calls/cancel", params, &result);
    if (r == EXIT_DONE && s->output.is_json) {
        session_print_json(s, NULL, result);
    } else if (r == EXIT_DONE) {
        output_say(&s->output, "%s: asked to end; it is %s", s->options->arguments[0],
                   slipway_json_get_string(result, "/state", "?"));
    }
    (void)slipway_json_unref(params);
    (void)slipway_json_unref(result);
    return r;
}

const Command command_cancel = {
    .name = "cancel",
    .synopsis = "CALL",
    .summary = "end a call",
    .description =
        "Asks for the end of a call: a queued one is cancelled at once, the processes of "
        "a running one get SIGTERM and, after the grace, SIGKILL.",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
