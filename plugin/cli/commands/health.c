/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"

#include <stdlib.h>
#include <string.h>

static void print_key(Output *o, const char *pem)
{
    char *id = NULL, *error = NULL;

    if (pem && slipway_key_id(pem, &id, &error) < 0) {
        output_print(o, "key     cannot be understood: %s\n", error ? error : "out of memory");
    } else {
        output_print(o, "key     %s\n", id ? id : "none yet");
    }
    free(id);
    free(error);
}

static void print_audit(Output *o, const SlipwayJson *audit)
{
    const SlipwayJson *forward = slipway_json_get(audit, "/forward");
    const char *problem = slipway_json_get_string(forward, "/problem", NULL);
    long long waiting = (long long)slipway_json_get_int(forward, "/waiting", 0);

    if (!audit) {
        return; /* an older agent */
    }
    output_print(o, "audit   %lld records", (long long)slipway_json_get_int(audit, "/records", 0));
    if (forward && waiting == 0) {
        output_print(o, ", all forwarded");
    } else if (forward) {
        output_print(o, ", %lld not forwarded yet", waiting);
    }
    if (problem) {
        output_print(o, "%s since %s: %s%s", output_style(o, false, STYLE_WARN),
                     slipway_json_get_string(forward, "/waitingSince", "the first"), problem,
                     output_plain(o, false));
    }
    output_print(o, "\n");
}

static void print_health(Session *s, const SlipwayJson *h)
{
    const SlipwayJson *problems = slipway_json_get(h, "/problems"), *problem;
    bool is_ok = strcmp(slipway_json_get_string(h, "/status", ""), "ok") == 0;
    char uptime[OUTPUT_TEXT_SIZE], free_text[OUTPUT_TEXT_SIZE], total[OUTPUT_TEXT_SIZE];
    char oldest[OUTPUT_TEXT_SIZE], memory[OUTPUT_TEXT_SIZE];
    Output *o = &s->output;

    output_print(
        o, "%s%s%s  %s %s, up %s\n", output_style(o, false, is_ok ? STYLE_GOOD : STYLE_BAD),
        slipway_json_get_string(h, "/status", "?"), output_plain(o, false),
        slipway_json_get_string(h, "/name", "agent"), slipway_json_get_string(h, "/version", ""),
        output_duration(slipway_json_get_number(h, "/uptimeSeconds", 0), uptime));
    for (size_t i = 0; (problem = slipway_json_get_element(problems, i)); i++) {
        output_print(o, "  %s\n", slipway_json_get_string(problem, "", "?"));
    }
    output_print(o, "slots   %lld of %lld busy\n",
                 (long long)slipway_json_get_int(h, "/slots/busy", 0),
                 (long long)slipway_json_get_int(h, "/slots/total", 0));
    output_print(o, "queue   %lld", (long long)slipway_json_get_int(h, "/queue/length", 0));
    if (slipway_json_get_int(h, "/queue/length", 0) > 0) {
        output_print(
            o, ", the oldest for %s",
            output_duration(slipway_json_get_number(h, "/queue/oldestSeconds", 0), oldest));
    }
    output_print(o, "\ncalls   %lld running, %lld finished, %lld lost\n",
                 (long long)slipway_json_get_int(h, "/calls/running", 0),
                 (long long)slipway_json_get_int(h, "/calls/finished", 0),
                 (long long)slipway_json_get_int(h, "/calls/lost", 0));
    output_print(o, "disk    %s of %s free\n",
                 output_size((uint64_t)slipway_json_get_int(h, "/disk/freeBytes", 0), free_text),
                 output_size((uint64_t)slipway_json_get_int(h, "/disk/totalBytes", 0), total));
    output_print(o, "memory  %s\n",
                 output_size((uint64_t)slipway_json_get_int(h, "/memory/rssBytes", 0), memory));
    print_audit(o, slipway_json_get(h, "/audit"));
    print_key(o, slipway_json_get_string(h, "/publicKey", NULL));
}

static int run(Session *s)
{
    SlipwayJson *result = NULL;
    int r = session_request(s, "health", NULL, &result);

    if (r == EXIT_DONE) {
        if (s->output.is_json) {
            session_print_json(s, NULL, result);
        } else if (!s->output.is_quiet) {
            print_health(s, result);
        }
        r = strcmp(slipway_json_get_string(result, "/status", ""), "ok") == 0 ? EXIT_DONE
                                                                              : EXIT_ACTION_FAILED;
    }
    (void)slipway_json_unref(result);
    return r;
}

const Command command_health = {
    .name = "health",
    .synopsis = "",
    .summary = "is the agent well?",
    .description = "Asks the agent how it is. Exit code 0: well, 1: degraded (the problems are "
                   "listed), 3: not reachable. For a controller's health check: slipway health "
                   "--quiet.",
    .run = run,
};
