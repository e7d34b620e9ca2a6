/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"
#include "plugin/readiness/readiness.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A check that hangs is worse than one that fails. */
#define TIMEOUT_SECONDS 10

static const Option options[] = {
    {"nagios", OPTION_FLAG, NULL, NULL, "one line and the exit codes of a Nagios plugin"},
    {"timeout", OPTION_SECONDS, "SECONDS", NULL, "give up after so long (default: 10)"},
    {0},
};

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

static void print_clock(Output *o, const SlipwayJson *h)
{
    if (slipway_json_get_type(h, "/clock/offsetSeconds") != SLIPWAY_JSON_NULL) {
        output_print(o, "clock   %+.6f s, give or take %.3f s\n",
                     slipway_json_get_number(h, "/clock/offsetSeconds", 0),
                     slipway_json_get_number(h, "/clock/maxErrorSeconds", 0));
    } else if (slipway_json_get_type(h, "/clock/isSynchronized") != SLIPWAY_JSON_NULL) {
        output_print(o, "clock   kept by nothing that the kernel knows of\n");
    }
}

static void print_environments(Output *o, const SlipwayJson *h)
{
    const SlipwayJson *list = slipway_json_get(h, "/environments"), *environment;

    for (size_t i = 0; (environment = slipway_json_get_element(list, i)); i++) {
        bool is_known = slipway_json_get_type(environment, "/isReachable") != SLIPWAY_JSON_NULL;

        output_print(
            o, "engine  %s (%s): %s%s%s\n", slipway_json_get_string(environment, "/name", "?"),
            slipway_json_get_string(environment, "/engine", "?"),
            !is_known                                                   ? "not looked at"
            : slipway_json_get_bool(environment, "/isReachable", false) ? "answers"
                                                                        : "does not answer",
            slipway_json_get_string(environment, "/reason", NULL) ? ": " : "",
            slipway_json_get_string(environment, "/reason", ""));
    }
}

static void print_disk(Output *o, const SlipwayJson *h)
{
    char free_text[OUTPUT_TEXT_SIZE], total[OUTPUT_TEXT_SIZE];

    output_print(o, "disk    %s of %s free\n",
                 output_size((uint64_t)slipway_json_get_int(h, "/disk/freeBytes", 0), free_text),
                 output_size((uint64_t)slipway_json_get_int(h, "/disk/totalBytes", 0), total));
    if (slipway_json_get_int(h, "/disk/totalInodes", 0) > 0) {
        output_print(o, "inodes  %lld of %lld free\n",
                     (long long)slipway_json_get_int(h, "/disk/freeInodes", 0),
                     (long long)slipway_json_get_int(h, "/disk/totalInodes", 0));
    }
}

static void print_health(Session *s, const SlipwayJson *h)
{
    const SlipwayJson *problems = slipway_json_get(h, "/problems"), *problem;
    bool is_ok = strcmp(slipway_json_get_string(h, "/status", ""), "ok") == 0;
    char uptime[OUTPUT_TEXT_SIZE], oldest[OUTPUT_TEXT_SIZE], memory[OUTPUT_TEXT_SIZE];
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
    print_disk(o, h);
    output_print(o, "memory  %s\n",
                 output_size((uint64_t)slipway_json_get_int(h, "/memory/rssBytes", 0), memory));
    print_audit(o, slipway_json_get(h, "/audit"));
    if (slipway_json_get_string(h, "/containment", NULL)) {
        output_print(o, "kill    %s\n", slipway_json_get_string(h, "/containment", ""));
    }
    print_clock(o, h);
    print_environments(o, h);
    print_key(o, slipway_json_get_string(h, "/publicKey", NULL));
}

static int away(Session *s, const char *reason)
{
    if (!options_flag(s->options, "nagios")) {
        output_say(&s->output, "slipway: health: %s", reason);
        return EXIT_UNREACHABLE;
    }
    return readiness_print_nagios_away(stdout, reason);
}

/* The same over the wire as session_request, but not for ever. *ret is NULL where the exit code
 * says it all. */
static int ask(Session *s, SlipwayJson **ret)
{
    double seconds = options_seconds(s->options, "timeout");
    int timeout_ms = (int)(fmin(seconds > 0 ? seconds : TIMEOUT_SECONDS, 86400) * 1000);
    int r = session_connect_within(s, timeout_ms);

    if (r == EXIT_UNREACHABLE && options_flag(s->options, "nagios")) {
        bool is_deaf = s->client && slipway_client_get_fd(s->client) >= 0;

        return away(s, is_deaf     ? "the agent does not answer"
                       : s->client ? slipway_client_get_error(s->client)
                                   : "out of memory");
    }
    if (r != EXIT_DONE) {
        return r;
    }
    r = slipway_client_request_wait(s->client, "health", NULL, timeout_ms, ret, NULL);
    if (r == -ETIMEDOUT) {
        return away(s, "the agent does not answer");
    }
    return r < 0 ? away(s, slipway_client_get_error(s->client)) : EXIT_DONE;
}

static int print_nagios(const SlipwayJson *health)
{
    Readiness readiness;
    int r = readiness_judge(health, NAN, &readiness);

    if (r < 0) {
        return readiness_print_nagios_away(stdout, "out of memory");
    }
    r = readiness_print_nagios(stdout, health, &readiness);
    readiness_done(&readiness);
    return r;
}

static int run(Session *s)
{
    SlipwayJson *result = NULL;
    int r = ask(s, &result);

    if (result && options_flag(s->options, "nagios")) {
        r = print_nagios(result);
    } else if (result) {
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
                   "--quiet. With --nagios: 0 OK, 1 WARNING: it is degraded, or will have to "
                   "refuse calls before long, 2 CRITICAL: no call can run, or it is not reachable; "
                   "a wrong command line is 2, too.",
    .options = options,
    .is_local = true, /* it connects for itself, within its time */
    .run = run,
};
