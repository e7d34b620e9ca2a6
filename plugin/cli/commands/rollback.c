/* SPDX-License-Identifier: MIT */
/* slipway rollback: for the worst minutes of somebody's day. It needs the agent of that host and
 * nothing else: no run, no repository, no registry, no approval. */
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/confirm.h"
#include "plugin/cli/evidence/approval.h"
#include "plugin/cli/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENVIRONMENT_DEFAULT "prod"
#define ACTION_SIZE 160
#define CELL_SIZE 40

static const Option options[] = {
    {"env", OPTION_TEXT, "E", NULL, "the environment (default: prod)"},
    {"to", OPTION_TEXT, "RELEASE", NULL,
     "its version, commit or digest (default: the release before the one that runs)"},
    {"list", OPTION_FLAG, NULL, NULL, "only list what there is to go back to"},
    {0},
};

static int make_params(Session *s, const char *verb, SlipwayJson **ret, char *action)
{
    SlipwayJson *params = slipway_json_new_object();
    char key[SESSION_ID_SIZE];

    session_random_id(key);
    (void)snprintf(action, ACTION_SIZE, "%s-%.128s", verb,
                   options_text(s->options, "env", ENVIRONMENT_DEFAULT));
    if (slipway_json_set_string(params, "/action", action) < 0 ||
        slipway_json_set_string(params, "/idempotencyKey", key) < 0) {
        (void)slipway_json_unref(params);
        output_say(&s->output, "slipway: out of memory");
        return EXIT_ACTION_FAILED;
    }
    *ret = params;
    return EXIT_DONE;
}

/* ---- list -------------------------------------------------------------------------------------
 */

enum { MARK, VERSION, COMMIT, DEPLOYED, DIGEST, SUBJECT, COLUMNS };

typedef char Cells[COLUMNS][CELL_SIZE];

static void fill_row(const SlipwayJson *release, Cells shortened, const char **row)
{
    const char *deployed = slipway_json_get_string(release, "/deployedAt", "");

    row[MARK] = slipway_json_get_bool(release, "/isRunning", false)  ? "runs"
                : slipway_json_get_bool(release, "/isBefore", false) ? "before"
                                                                     : "";
    (void)snprintf(shortened[COMMIT], CELL_SIZE, "%.12s",
                   slipway_json_get_string(release, "/commit", ""));
    (void)snprintf(shortened[DEPLOYED], CELL_SIZE, "%.10s %.5s", deployed,
                   strlen(deployed) > 11 ? deployed + 11 : "");
    (void)snprintf(shortened[DIGEST], CELL_SIZE, "%.19s",
                   slipway_json_get_string(release, "/digest", ""));
    row[VERSION] = slipway_json_get_string(release, "/version", "");
    row[COMMIT] = shortened[COMMIT];
    row[DEPLOYED] = shortened[DEPLOYED];
    row[DIGEST] = shortened[DIGEST];
    row[SUBJECT] = slipway_json_get_string(release, "/subject", "");
}

static int print_table(Session *s, const SlipwayJson *releases)
{
    static const char *const head[COLUMNS] = {"",       "VERSION", "COMMIT", "DEPLOYED (UTC)",
                                              "DIGEST", "SUBJECT"};
    size_t n = slipway_json_get_count(releases, "");
    const char **cells = calloc((n + 1) * COLUMNS, sizeof(*cells));
    Cells *shortened = calloc(n + 1, sizeof(*shortened));
    bool is_good = cells && shortened;

    if (is_good) {
        memcpy(cells, head, sizeof(head));
        for (size_t i = 0; i < n; i++) {
            fill_row(slipway_json_get_element(releases, i), shortened[i],
                     cells + (i + 1) * COLUMNS);
        }
        output_table(&s->output, cells, n + 1, COLUMNS);
    } else {
        output_say(&s->output, "slipway: out of memory");
    }
    free(shortened);
    free(cells);
    return is_good ? EXIT_DONE : EXIT_ACTION_FAILED;
}

static int print_releases(Session *s, const SlipwayJson *outputs)
{
    const SlipwayJson *releases = slipway_json_get(outputs, "/releases");

    if (s->output.is_json) {
        session_print_json(s, NULL, outputs);
        return EXIT_DONE;
    }
    if (slipway_json_get_count(releases, "") == 0) {
        output_say(&s->output, "nothing was ever deployed to '%s' by this host with success",
                   options_text(s->options, "env", ENVIRONMENT_DEFAULT));
        return EXIT_DONE;
    }
    if (!slipway_json_get_bool(outputs, "/isConfirmed", true)) {
        output_say(&s->output, "the engine does not answer: what was deployed last is taken for "
                               "what runs");
    }
    return print_table(s, releases);
}

/* The list is what is wanted, not the call that brings it; how that failed is said all the same. */
static int run_list(Session *s)
{
    _cleanup_(follow_result_done) FollowResult followed = {0};
    bool was_quiet = s->output.is_quiet, was_json = s->output.is_json;
    char action[ACTION_SIZE];
    SlipwayJson *params = NULL;
    int r = make_params(s, "releases", &params, action);

    if (r != EXIT_DONE) {
        return r;
    }
    s->output.is_quiet = true;
    s->output.is_json = false;
    r = follow_start(s, params, action, &followed);
    s->output.is_quiet = was_quiet;
    s->output.is_json = was_json;
    (void)slipway_json_unref(params);
    return r == EXIT_DONE ? print_releases(s, slipway_json_get(followed.result, "/outputs")) : r;
}

/* ---- going back -------------------------------------------------------------------------------
 */

/* Nobody has to release a rollback, but it is written down who wanted it. */
static void set_origin(SlipwayJson *params)
{
    ApprovalOrigin origin = approval_find_origin();
    const char *user = origin.name ? origin.name : confirm_user_name();

    if (origin.url) {
        (void)slipway_json_set_string(params, "/origin/url", origin.url);
    }
    if (user && *user) {
        (void)slipway_json_set_string(params, "/origin/user", user);
    }
}

static void print_end(Session *s, const SlipwayJson *result)
{
    const SlipwayJson *outputs = slipway_json_get(result, "/outputs");
    double seconds = slipway_json_get_number(outputs, "/seconds", -1);
    char took[OUTPUT_TEXT_SIZE];

    if (s->output.is_json || s->output.is_quiet || seconds < 0) {
        return;
    }
    output_say(&s->output, "%s%s runs version %s (commit %.12s)%s, %s after it was asked for",
               slipway_json_get_bool(outputs, "/isUnchanged", false) ? "nothing to do: " : "",
               options_text(s->options, "env", ENVIRONMENT_DEFAULT),
               slipway_json_get_string(outputs, "/version", "?"),
               slipway_json_get_string(outputs, "/commit", "unknown"),
               slipway_json_get_bool(outputs, "/isUnchanged", false) ? "" : " again",
               output_duration(seconds, took));
}

static int run_rollback(Session *s)
{
    _cleanup_(follow_result_done) FollowResult followed = {0};
    const char *to = options_text(s->options, "to", NULL);
    char action[ACTION_SIZE];
    SlipwayJson *params = NULL;
    int r = make_params(s, "rollback", &params, action);

    if (r != EXIT_DONE) {
        return r;
    }
    set_origin(params);
    if (to) {
        (void)slipway_json_set_string(params, "/parameters/to", to);
    }
    r = follow_start(s, params, action, &followed);
    if (r == EXIT_DONE) {
        print_end(s, followed.result);
    }
    (void)slipway_json_unref(params);
    return r;
}

static int run(Session *s)
{
    if (!options_flag(s->options, "list")) {
        return run_rollback(s);
    }
    return options_text(s->options, "to", NULL)
               ? session_usage(s, "--list and --to exclude each other")
               : run_list(s);
}

const Command command_rollback = {
    .name = "rollback",
    .synopsis = "",
    .summary = "go back to a release that the host has kept",
    .description =
        "Deploys again what ran before, from what the agent's host kept and verified: repository, "
        "registry and controller may be gone, no approval is asked for, and no freeze holds it up. "
        "A second rollback goes further back. What it was, who wanted it and how long it took is "
        "in the audit log.\n"
        "\n--list shows what there is to go back to; --to chooses among it. Exit code 4: there is "
        "no such release, or the environment is busy.",
    .options = options,
    .run = run,
};
