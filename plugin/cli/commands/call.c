/* SPDX-License-Identifier: MIT */
#include "plugin/cli/collect.h"
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/fetch.h"
#include "plugin/cli/follow.h"
#include "plugin/cli/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A key and what is put behind it, at most an identifier of the protocol. */
#define TEXT_MAX 129

static const Option options[] = {
    {"run", OPTION_TEXT, "RUN", NULL,
     "the pipeline run it belongs to: its calls share a workspace"},
    {"param", OPTION_LIST, "K=V", NULL,
     "a parameter: K=V for a text, K:=JSON for anything else; may be given several times"},
    {"git", OPTION_TEXT, "URL", NULL, "source: this git repository, a URL or a path here"},
    {"commit", OPTION_TEXT, "C", NULL, "source: this commit (default: what --ref names)"},
    {"ref", OPTION_TEXT, "R", NULL, "source: this branch or tag (default: HEAD)"},
    {"source", OPTION_TEXT, "DIR", NULL,
     "source: this directory (or tar archive), which is sent to the agent"},
    {"from", OPTION_TEXT, "CALL", NULL, "the package call whose package is deployed"},
    {"evidence", OPTION_TEXT, "FILE", NULL,
     "deploy: the release's evidence (" RELEASE_BUNDLE_FILE "), which is sent along"},
    {"approver", OPTION_TEXT, "NAME", NULL,
     "who released it: an unsigned word that is written down and opens no door; `slipway approve` "
     "signs one"},
    {"user", OPTION_TEXT, "NAME", NULL,
     "who wants it, for the audit log (default: the user of this program)"},
    {"key", OPTION_TEXT, "KEY", NULL,
     "idempotency key: the same key again follows the same call and starts nothing"},
    {"timeout", OPTION_SECONDS, "S", NULL, "end it after so many seconds"},
    {"silence-timeout", OPTION_SECONDS, "S", NULL, "end it after so many seconds without output"},
    {"terminal", OPTION_FLAG, NULL, NULL, "run it on a pseudo-terminal"},
    {"detach", OPTION_FLAG, NULL, NULL, "print the call's name and leave it running"},
    {"artifacts", OPTION_TEXT, "DIR", NULL, "fetch its artifacts into this directory"},
    {"no-unpack", OPTION_FLAG, NULL, NULL, "leave the archives among them as they are"},
    {"result", OPTION_TEXT, "FILE", NULL, "leave how it ended in this file, as JSON"},
    {0},
};

/* K=V or K:=JSON into /parameters/K. */
static int set_parameter(Session *s, SlipwayJson *params, const char *text)
{
    const char *equals = strchr(text, '=');
    bool is_json = equals && equals > text && equals[-1] == ':';
    SlipwayJson *value = NULL;
    char *pointer = NULL;
    int r = 0;

    if (!equals || equals == text || (is_json && equals == text + 1)) {
        return session_usage(s, "--param takes K=V or K:=JSON, not '%s'", text);
    }
    if (asprintf(&pointer, "/parameters/%.*s", (int)(equals - text - is_json), text) < 0) {
        return session_usage(s, "out of memory");
    }
    if (is_json) {
        r = slipway_json_parse(equals + 1, strlen(equals + 1), &value);
        r = r < 0 ? session_usage(s, "--param %s: what follows := is not JSON", text)
                  : slipway_json_set(params, pointer, value);
        (void)slipway_json_unref(value);
    } else {
        r = slipway_json_set_string(params, pointer, equals + 1);
    }
    free(pointer);
    return r < 0 ? session_usage(s, "--param %s does not fit what was set before", text) : r;
}

static int set_source(Session *s, SlipwayJson *params, const char *key)
{
    const char *git = options_text(s->options, "git", NULL);
    const char *directory = options_text(s->options, "source", NULL);
    const char *commit = options_text(s->options, "commit", NULL);
    const char *ref = options_text(s->options, "ref", NULL);
    _cleanup_(source_commit_done) SourceCommit found = {0};
    char input[TEXT_MAX];
    int r;

    if (git && directory) {
        return session_usage(s, "--git and --source exclude each other");
    }
    if (directory) {
        (void)snprintf(input, sizeof(input), "%.110s.source", key);
        r = source_send(s, directory, input);
        if (r != EXIT_DONE) {
            return r;
        }
        (void)slipway_json_set_string(params, "/parameters/source/input", input);
        if (commit) {
            (void)slipway_json_set_string(params, "/parameters/source/commit", commit);
        }
        return ref ? slipway_json_set_string(params, "/parameters/source/ref", ref) : EXIT_DONE;
    }
    if (!git) {
        return commit || ref ? session_usage(s, "--commit and --ref need --git or --source")
                             : EXIT_DONE;
    }
    r = source_find_commit(s, git, commit, ref, &found);
    return r != EXIT_DONE ? r : source_set_git(params, &found);
}

static int set_evidence(Session *s, SlipwayJson *params, const char *path)
{
    _cleanup_(release_bundle_done) ReleaseBundle bundle = {0};
    char input[COLLECT_INPUT_SIZE], *problem = NULL;
    int r;

    if (release_bundle_load(&bundle, path, &problem) < 0) {
        r = session_usage(s, "--evidence: %s", problem ? problem : "out of memory");
        free(problem);
        return r;
    }
    r = collect_send(s, &bundle, input);
    return r == EXIT_DONE ? slipway_json_set_string(params, "/parameters/evidence/input", input)
                          : r;
}

static void set_origin(Session *s, SlipwayJson *params)
{
    const char *url = getenv("BUILD_URL");
    const char *user = options_text(s->options, "user", getenv("USER"));

    if (url && *url) { /* a controller's page of this build */
        (void)slipway_json_set_string(params, "/origin/url", url);
    }
    if (user && *user) {
        (void)slipway_json_set_string(params, "/origin/user", user);
    }
}

static int set_parameters(Session *s, SlipwayJson *params, const char *key)
{
    const Options *o = s->options;
    const char *text;
    int r = EXIT_DONE;

    (void)slipway_json_set_string(params, "/action", o->arguments[0]);
    (void)slipway_json_set_string(params, "/idempotencyKey", key);
    set_origin(s, params);
    for (size_t i = 0; r == EXIT_DONE && (text = options_item(o, "param", i)); i++) {
        r = set_parameter(s, params, text);
    }
    if ((text = options_text(o, "run", NULL))) {
        (void)slipway_json_set_string(params, "/run", text);
    }
    if ((text = options_text(o, "from", NULL))) {
        (void)slipway_json_set_string(params, "/parameters/package/call", text);
    }
    if ((text = options_text(o, "approver", NULL))) {
        (void)slipway_json_set_string(params, "/approval/by", text);
    }
    if (options_seconds(o, "timeout") > 0) {
        (void)slipway_json_set_number(params, "/timeoutSeconds", options_seconds(o, "timeout"));
    }
    if (options_seconds(o, "silence-timeout") > 0) {
        (void)slipway_json_set_number(params, "/silenceTimeoutSeconds",
                                      options_seconds(o, "silence-timeout"));
    }
    if (options_flag(o, "terminal")) {
        (void)slipway_json_set_bool(params, "/terminal", true);
    }
    if (r == EXIT_DONE && (text = options_text(o, "evidence", NULL))) {
        r = set_evidence(s, params, text);
    }
    return r == EXIT_DONE ? set_source(s, params, key) : r;
}

static int start_detached(Session *s, const SlipwayJson *params)
{
    SlipwayJson *result = NULL;
    int r = session_request(s, "calls/start", params, &result);

    if (r == EXIT_DONE && s->output.is_json) {
        session_print_json(s, "call/created", result);
    } else if (r == EXIT_DONE) {
        output_print(&s->output, "%s\n", slipway_json_get_string(result, "/call", ""));
    }
    (void)slipway_json_unref(result);
    return r;
}

static int start_followed(Session *s, SlipwayJson *params)
{
    _cleanup_(follow_result_done) FollowResult followed = {0};
    const char *directory = options_text(s->options, "artifacts", NULL);
    const char *path = options_text(s->options, "result", NULL);
    int r = follow_start(s, params, s->options->arguments[0], &followed), fetched, left;

    if (path && followed.result) {
        left = session_save_json(s, followed.result, path);
        r = r == EXIT_DONE ? left : r;
    }
    if (directory && followed.result) {
        fetched = fetch_artifacts(s, slipway_json_get(followed.result, "/artifacts"), NULL,
                                  directory, options_flag(s->options, "no-unpack"));
        r = r == EXIT_DONE ? fetched : r;
    }
    return r;
}

/* A detached call ends elsewhere. */
static int check_options(Session *s)
{
    bool is_detached = options_flag(s->options, "detach");

    return is_detached && options_text(s->options, "result", NULL)
               ? session_usage(s, "--detach and --result exclude each other")
               : EXIT_DONE;
}

static int run(Session *s)
{
    SlipwayJson *params = slipway_json_new_object();
    char random_key[SESSION_ID_SIZE];
    const char *key = options_text(s->options, "key", NULL);
    int r;

    session_random_id(random_key);
    key = key ? key : random_key;
    r = check_options(s);
    r = r == EXIT_DONE ? set_parameters(s, params, key) : r;
    if (r == EXIT_DONE) {
        r = options_flag(s->options, "detach") ? start_detached(s, params)
                                               : start_followed(s, params);
    }
    (void)slipway_json_unref(params);
    return r;
}

const Command command_call = {
    .name = "call",
    .synopsis = "ACTION",
    .summary = "call one action and follow it",
    .description = "Calls an action of the agent, shows its log and says how it ended. Ctrl-C "
                   "cancels the call and "
                   "waits for its end; a second one leaves at once. A connection that breaks is "
                   "made again, and "
                   "the log goes on where it was.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
