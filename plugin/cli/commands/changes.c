/* SPDX-License-Identifier: MIT */
#include "plugin/cli/change-call.h"
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/evidence/change-markdown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const Option options[] = {
    {"env", OPTION_TEXT, "E", NULL, "the environment to compare with; required"},
    {"repo", OPTION_TEXT, "PATH|URL", NULL, "the repository (default: the one here)"},
    {"commit", OPTION_TEXT, "C", NULL, "the commit that would be deployed (default: --ref)"},
    {"ref", OPTION_TEXT, "R", NULL, "the branch or tag that would be deployed (default: HEAD)"},
    {"format", OPTION_CHOICE, "F", "text|markdown",
     "text that fits beside a button (default), or all of it as Markdown, in which nothing that a "
     "commit says is rendered"},
    {"save", OPTION_TEXT, "FILE", NULL,
     "also leave it in this file, as --json prints it, for `slipway approve --change`"},
    {0},
};

static int print_change(Session *s, const SlipwayJson *change)
{
    char *markdown;

    if (s->output.is_json) {
        session_print_json(s, NULL, change);
        return EXIT_DONE;
    }
    if (strcmp(options_text(s->options, "format", "text"), "text") == 0) {
        output_print(&s->output, "%s\n", slipway_json_get_string(change, "/text", ""));
        return EXIT_DONE;
    }
    markdown = change_markdown(change);
    if (!markdown) {
        output_say(&s->output, "slipway: out of memory");
        return EXIT_ACTION_FAILED;
    }
    output_write(&s->output, markdown, strlen(markdown));
    free(markdown);
    return EXIT_DONE;
}

static int run(Session *s)
{
    _cleanup_(source_commit_done) SourceCommit found = {0};
    const char *environment = options_text(s->options, "env", NULL);
    const char *path = options_text(s->options, "save", NULL);
    SlipwayJson *change = NULL;
    int r;

    if (!environment) {
        return session_usage(s, "say which environment to compare with: --env E");
    }
    r = source_find_commit(s, options_text(s->options, "repo", NULL),
                           options_text(s->options, "commit", NULL),
                           options_text(s->options, "ref", NULL), &found);
    r = r == EXIT_DONE ? change_call(s, environment, &found, &change) : r;
    r = r == EXIT_DONE && path ? session_save_json(s, change, path) : r;
    r = r == EXIT_DONE ? print_change(s, change) : r;
    (void)slipway_json_unref(change);
    return r;
}

const Command command_changes = {
    .name = "changes",
    .synopsis = "--env E",
    .summary = "what a deploy would change, against what runs now",
    .description =
        "Prints the whole change between what runs in an environment and a commit: whether it is "
        "one commit, the commits with their authors, the files, and what differs in slipway.json, "
        "the deploy template and the environment's variables. It is what an approver should see "
        "beside the button. --json (or --save) gives one object: `slipway approve --change` takes "
        "it, and so approves exactly what was shown.",
    .options = options,
    .run = run,
};
