/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/follow.h"

static const Option options[] = {
    {"after", OPTION_NUMBER, "SEQ", NULL,
     "go on after this event (default: 0, everything from the first)"},
    {0},
};

static int run(Session *s)
{
    _cleanup_(follow_result_done) FollowResult followed = {0};

    return follow_attach(s, s->options->arguments[0],
                         (uint64_t)options_number(s->options, "after", 0), NULL, &followed);
}

const Command command_attach = {
    .name = "attach",
    .synopsis = "CALL",
    .summary = "follow a call that was started before",
    .description =
        "Shows the log of a call from its beginning, or from the event after --after, up "
        "to its end. The exit code is that of the call. Ctrl-C cancels the call.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
