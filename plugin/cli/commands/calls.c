/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 6

static const Option options[] = {
    {"run", OPTION_TEXT, "RUN", NULL, "only those of this pipeline run"},
    {"state", OPTION_CHOICE, "STATE", "queued|running|finished", "only those in this state"},
    {"limit", OPTION_NUMBER, "N", NULL, "at most so many, the newest (default: 100)"},
    {0},
};

/* "2026-11-24 12:00:00" of an RFC 3339 moment. */
static void short_time(const char *moment, char text[20])
{
    (void)snprintf(text, 20, "%.10s %.8s", moment, strlen(moment) > 11 ? moment + 11 : "");
}

static void print_calls(Session *s, const SlipwayJson *calls)
{
    size_t n = slipway_json_get_count(calls, "");
    const char **cells = calloc((n + 1) * COLUMNS, sizeof(*cells));
    char(*times)[20] = calloc(n + 1, sizeof(*times));
    static const char *const head[COLUMNS] = {"CALL",  "ACTION",        "RUN",
                                              "STATE", "CREATED (UTC)", "WHY"};

    if (cells && times) {
        memcpy(cells, head, sizeof(head));
        for (size_t i = 0; i < n; i++) {
            const SlipwayJson *call = slipway_json_get_element(calls, i);
            const char **row = cells + (i + 1) * COLUMNS;
            const char *state = slipway_json_get_string(call, "/state", "?");

            short_time(slipway_json_get_string(call, "/createdAt", ""), times[i]);
            row[0] = slipway_json_get_string(call, "/call", "?");
            row[1] = slipway_json_get_string(call, "/action", "?");
            row[2] = slipway_json_get_string(call, "/run", "");
            row[3] = slipway_json_get_string(call, "/status", state);
            row[4] = times[i];
            row[5] = slipway_json_get_string(call, "/reason",
                                             slipway_json_get_string(call, "/waitsFor", ""));
        }
        output_table(&s->output, cells, n + 1, COLUMNS);
    }
    free(times);
    free(cells);
}

static int run(Session *s)
{
    SlipwayJson *params = slipway_json_new_object(), *result = NULL;
    const char *run_id = options_text(s->options, "run", NULL);
    const char *state = options_text(s->options, "state", NULL);
    int r;

    (void)slipway_json_set_int(params, "/limit", options_number(s->options, "limit", 100));
    if (run_id) {
        (void)slipway_json_set_string(params, "/run", run_id);
    }
    if (state) {
        SlipwayJson *states = slipway_json_new_array();

        (void)slipway_json_set_string(states, "/-", state);
        (void)slipway_json_set(params, "/states", states);
        (void)slipway_json_unref(states);
    }
    r = session_request(s, "calls/list", params, &result);
    if (r == EXIT_DONE && s->output.is_json) {
        session_print_json(s, NULL, result);
    } else if (r == EXIT_DONE) {
        print_calls(s, slipway_json_get(result, "/calls"));
    }
    (void)slipway_json_unref(params);
    (void)slipway_json_unref(result);
    return r;
}

const Command command_calls = {
    .name = "calls",
    .synopsis = "",
    .summary = "list the calls that the agent knows",
    .description = "Lists calls, newest first: those that wait with what they wait for, those that "
                   "run, and those that ended with how and why.",
    .options = options,
    .run = run,
};
