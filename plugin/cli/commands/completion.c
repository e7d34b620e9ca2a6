/* SPDX-License-Identifier: MIT */
/* The completion of bash, written from the tables that the parser reads. */
#include "plugin/cli/commands/commands.h"

#include <string.h>

static void print_words(Output *o, const char *choices)
{
    for (const char *c = choices; *c; c++) {
        output_write(o, *c == '|' ? " " : c, 1);
    }
}

/* One branch for each option that takes a value: what may stand there. */
static void print_values(Output *o, const char *command, const Option *options)
{
    for (const Option *option = options; option && option->name; option++) {
        if (option->kind == OPTION_FLAG) {
            continue;
        }
        output_print(o, "    '%s --%s') ", command, option->name);
        if (option->choices) {
            output_print(o, "COMPREPLY=($(compgen -W '");
            print_words(o, option->choices);
            output_print(o, "' -- \"$word\")); ");
        } else if (strstr(option->value, "DIR") || strstr(option->value, "FILE") ||
                   strstr(option->value, "PATH")) {
            output_print(o, "COMPREPLY=($(compgen -f -- \"$word\")); ");
        }
        output_print(o, "return ;;\n");
    }
}

static void print_options(Output *o, const Command *command)
{
    output_print(o, "    %s) words='", command->name);
    for (const Option *option = command->options; option && option->name; option++) {
        output_print(o, "--%s ", option->name);
    }
    output_print(o, "%s' ;;\n",
                 strcmp(command->name, "artifacts") == 0    ? "get"
                 : strcmp(command->name, "audit") == 0      ? "show verify export"
                 : strcmp(command->name, "release") == 0    ? "collect verify"
                 : strcmp(command->name, "completion") == 0 ? "bash"
                                                            : "");
}

static void print_bash(Session *s)
{
    Output *o = &s->output;

    output_print(o, "# bash completion of slipway, written by `slipway completion bash`\n"
                    "_slipway()\n{\n"
                    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
                    "    local command= words= all=");
    output_print(o, "'");
    for (const Option *option = options_global; option->name; option++) {
        output_print(o, " --%s", option->name);
    }
    output_print(o, "' i\n    COMPREPLY=()\n"
                    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                    "        case ${COMP_WORDS[i]} in\n        ");
    for (size_t i = 0; s->commands[i]; i++) {
        output_print(o, "%s%s", i ? " | " : "", s->commands[i]->name);
    }
    output_print(o, ")\n            command=${COMP_WORDS[i]}\n            break\n            ;;\n"
                    "        esac\n    done\n    case \"$command $before\" in\n");
    for (size_t i = 0; s->commands[i]; i++) {
        print_values(o, s->commands[i]->name, s->commands[i]->options);
        print_values(o, s->commands[i]->name, options_global);
    }
    print_values(o, "", options_global);
    output_print(o, "    esac\n    case \"$command\" in\n    '') words='--version");
    for (size_t i = 0; s->commands[i]; i++) {
        output_print(o, " %s", s->commands[i]->name);
    }
    output_print(o, "' ;;\n");
    for (size_t i = 0; s->commands[i]; i++) {
        print_options(o, s->commands[i]);
    }
    output_print(o, "    esac\n    COMPREPLY=($(compgen -W \"$words$all\" -- \"$word\"))\n}\n"
                    "complete -F _slipway slipway\n");
}

static int run(Session *s)
{
    if (strcmp(s->options->arguments[0], "bash") != 0) {
        return session_usage(s, "there is a completion for bash alone, not for '%s'",
                             s->options->arguments[0]);
    }
    print_bash(s);
    return EXIT_DONE;
}

const Command command_completion = {
    .name = "completion",
    .synopsis = "bash",
    .summary = "print the completion for a shell",
    .description = "Prints the completion for bash: source <(slipway completion bash)",
    .min_arguments = 1,
    .max_arguments = 1,
    .is_local = true,
    .run = run,
};
