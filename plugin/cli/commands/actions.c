/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"

#include <stdlib.h>

static void print_actions(Session *s, const SlipwayJson *actions)
{
    size_t n = slipway_json_get_count(actions, "");
    const char **cells = calloc((n + 1) * 4, sizeof(*cells));

    if (!cells) {
        output_say(&s->output, "slipway: out of memory");
        return;
    }
    cells[0] = "ACTION";
    cells[1] = "ENVIRONMENT";
    cells[2] = "APPROVAL";
    cells[3] = "WHAT";
    for (size_t i = 0; i < n; i++) {
        const SlipwayJson *action = slipway_json_get_element(actions, i);
        const char **row = cells + (i + 1) * 4;

        row[0] = slipway_json_get_string(action, "/name", "?");
        row[1] = slipway_json_get_string(action, "/hints/environment", "");
        row[2] = slipway_json_get_bool(action, "/hints/needsApproval", false) ? "yes" : "";
        row[3] = slipway_json_get_string(action, "/title", "");
    }
    output_table(&s->output, cells, n + 1, 4);
    free(cells);
}

static int run(Session *s)
{
    SlipwayJson *result = NULL;
    int r = session_request(s, "actions/list", NULL, &result);

    if (r == EXIT_DONE && s->output.is_json) {
        session_print_json(s, NULL, result);
    } else if (r == EXIT_DONE) {
        print_actions(s, slipway_json_get(result, "/actions"));
    }
    (void)slipway_json_unref(result);
    return r;
}

const Command command_actions = {
    .name = "actions",
    .synopsis = "",
    .summary = "list what the agent can do",
    .description = "Lists the actions of the agent. With --json each comes with the JSON Schema of "
                   "its parameters.",
    .run = run,
};
