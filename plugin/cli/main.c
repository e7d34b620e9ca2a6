/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"

#include <signal.h>
#include <stdlib.h>

static const Command *const commands[] = {
    &command_run,
    &command_call,
    &command_actions,
    &command_attach,
    &command_cancel,
    &command_calls,
    &command_result,
    &command_artifacts,
    &command_changes,
    &command_approve,
    &command_rollback,
    &command_release,
    &command_keygen,
    &command_keys,
    &command_report,
    &command_audit,
    &command_health,
    &command_completion,
    NULL,
};

static void print_help(void)
{
    (void)printf("usage: slipway COMMAND [OPTION]...\n\n"
                 "Takes a commit to the cloud: calls the actions of a slipway-agent.\n\n"
                 "Commands:\n");
    for (size_t i = 0; commands[i]; i++) {
        (void)printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    }
    (void)printf("\nOptions of every command: --agent ADDRESS, --json, --quiet, --color WHEN; see\n"
                 "`slipway COMMAND --help`.\n\n"
                 "Exit codes:\n"
                 "  0  done\n"
                 "  1  the action failed or was lost (health: the agent is degraded)\n"
                 "  2  the command line, a parameter or a name is wrong\n"
                 "  3  the agent cannot be reached\n"
                 "  4  refused: the action said no, or nobody released it\n"
                 "  5  timed out\n"
                 "  6  cancelled\n");
}

static int run_command(const Options *options)
{
    Session session;
    int r;

    if (session_init(&session, options, commands) < 0) {
        (void)fprintf(stderr, "slipway: out of memory\n");
        return EXIT_ACTION_FAILED;
    }
    r = options->command->is_local ? EXIT_DONE : session_connect(&session);
    r = r == EXIT_DONE ? options->command->run(&session) : r;
    session_done(&session);
    return r;
}

int main(int argc, char **argv)
{
    char *error = NULL;
    Options options;
    int r;

    (void)signal(SIGPIPE, SIG_IGN); /* a reader that left is told by write() */
    if (options_parse(argc, argv, commands, &options, &error) < 0) {
        (void)fprintf(stderr, "slipway: %s\nSee slipway --help%s%s%s\n",
                      error ? error : "out of memory", options.command ? " and slipway " : "",
                      options.command ? options.command->name : "",
                      options.command ? " --help" : "");
        r = EXIT_USAGE;
    } else if (options.wants_version) {
        (void)printf("slipway %s\n", slipway_version());
        r = EXIT_DONE;
    } else if (options.wants_help && options.command) {
        options_print_help(stdout, options.command);
        r = EXIT_DONE;
    } else if (options.wants_help) {
        print_help();
        r = EXIT_DONE;
    } else {
        r = run_command(&options);
    }
    free(error);
    options_done(&options);
    return r;
}
