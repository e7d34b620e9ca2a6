/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/follow.h"
#include "plugin/cli/source.h"

#include <stdio.h>
#include <stdlib.h>

static const Option options[] = {
    {"env", OPTION_TEXT, "E", NULL, "the environment to compare with; required"},
    {"repo", OPTION_TEXT, "PATH|URL", NULL, "the repository (default: the one here)"},
    {"commit", OPTION_TEXT, "C", NULL, "the commit that would be deployed (default: --ref)"},
    {"ref", OPTION_TEXT, "R", NULL, "the branch or tag that would be deployed (default: HEAD)"},
    {0},
};

static int run(Session *s)
{
    _cleanup_(follow_result_done) FollowResult followed = {0};
    _cleanup_(source_commit_done) SourceCommit found = {0};
    const char *environment = options_text(s->options, "env", NULL);
    SlipwayJson *params = slipway_json_new_object();
    char key[SESSION_ID_SIZE], action[160];
    bool was_quiet = s->output.is_quiet;
    int r;

    if (!environment) {
        (void)slipway_json_unref(params);
        return session_usage(s, "say which environment to compare with: --env E");
    }
    session_random_id(key);
    (void)snprintf(action, sizeof(action), "changes-%.128s", environment);
    (void)slipway_json_set_string(params, "/action", action);
    (void)slipway_json_set_string(params, "/idempotencyKey", key);
    r = source_find_commit(s, options_text(s->options, "repo", NULL),
                           options_text(s->options, "commit", NULL),
                           options_text(s->options, "ref", NULL), &found);
    if (r == EXIT_DONE) {
        (void)source_set_git(params, &found);
        s->output.is_quiet = true; /* the text is what is wanted, not how it was found */
        r = follow_start(s, params, action, &followed);
        s->output.is_quiet = was_quiet;
    }
    if (r == EXIT_DONE && !s->output.is_json) {
        output_print(&s->output, "%s\n",
                     slipway_json_get_string(followed.result, "/outputs/text", ""));
    }
    (void)slipway_json_unref(params);
    return r;
}

const Command command_changes = {
    .name = "changes",
    .synopsis = "--env E",
    .summary = "what a deploy would change, against what runs now",
    .description = "Prints the whole change between what runs in an environment and a commit: "
                   "commits and files. It is what an approver should see beside the button.",
    .options = options,
    .run = run,
};
