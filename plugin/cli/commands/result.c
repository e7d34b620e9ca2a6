/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/follow.h"

#include <stdlib.h>
#include <string.h>

static const Option options[] = {
    {"wait", OPTION_FLAG, NULL, NULL, "wait for the end of a call that still runs"},
    {"output", OPTION_TEXT, "NAME", NULL, "print this output alone, a text as it is"},
    {0},
};

static void print_value(Session *s, const SlipwayJson *value)
{
    const char *text = slipway_json_get_string(value, "", NULL);

    if (text) {
        output_print(&s->output, "%s\n", text);
    } else {
        session_print_json(s, NULL, value);
    }
}

static int print_output(Session *s, const SlipwayJson *result, const char *name)
{
    SlipwayJsonMember member = {0};

    while (slipway_json_next_member(slipway_json_get(result, "/outputs"), &member)) {
        if (strcmp(member.name, name) == 0) {
            print_value(s, member.value);
            return follow_exit_code(result);
        }
    }
    return session_usage(s, "the call has no output '%s'", name);
}

static void print_result(Session *s, const SlipwayJson *result)
{
    SlipwayJsonMember member = {0};

    follow_print_result(s, result);
    while (slipway_json_next_member(slipway_json_get(result, "/outputs"), &member)) {
        output_print(&s->output, "%s: ", member.name);
        print_value(s, member.value);
    }
}

static int run(Session *s)
{
    SlipwayJson *params = slipway_json_new_object(), *result = NULL;
    const char *name = options_text(s->options, "output", NULL);
    int r;

    (void)slipway_json_set_string(params, "/call", s->options->arguments[0]);
    (void)slipway_json_set_bool(params, "/wait", options_flag(s->options, "wait"));
    r = session_request(s, "calls/result", params, &result);
    if (r == EXIT_DONE && name) {
        r = print_output(s, result, name);
    } else if (r == EXIT_DONE) {
        if (s->output.is_json) {
            session_print_json(s, NULL, result);
        } else {
            print_result(s, result);
        }
        r = follow_exit_code(result);
    }
    (void)slipway_json_unref(params);
    (void)slipway_json_unref(result);
    return r;
}

const Command command_result = {
    .name = "result",
    .synopsis = "CALL",
    .summary = "how a call ended, and its outputs",
    .description = "Prints how a call ended and what it handed back. The exit code is that of the "
                   "call.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
