/* SPDX-License-Identifier: MIT */
/* The whole pipeline, from a commit to production:
 *
 * build → test → package → deploy-staging → verify-staging → changes-prod, shown and released by a
 * person → deploy-prod → verify-prod
 *
 * What each call states is collected on the way; the person's approval is signed with the
 * controller's key, put to it and sent along with deploy-prod.
 *
 * Each call's idempotency key is made of the run and the action, so the same run repeated (after a
 * cut connection, a restarted controller) goes on where it was and does nothing twice. */
#include "plugin/cli/change-call.h"
#include "plugin/cli/collect.h"
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/confirm.h"
#include "plugin/cli/evidence/approval.h"
#include "plugin/cli/follow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STAGES 8
#define NAME_SIZE 160
/* The run is part of each key, and a key has at most 128 characters. */
#define RUN_MAX 64
#define CALLS_MAX 1000
#define BUDGET_SECONDS 600.0
#define SECOND_US ((int64_t)1000000)

static const Option options[] = {
    {"repo", OPTION_TEXT, "PATH|URL", NULL, "the repository (default: the one here)"},
    {"commit", OPTION_TEXT, "C", NULL, "the commit (default: what --ref names)"},
    {"ref", OPTION_TEXT, "R", NULL, "the branch or tag (default: HEAD)"},
    {"run", OPTION_TEXT, "ID", NULL,
     "the run's name (default: the time and the commit); the same name again goes on where it was"},
    {"to", OPTION_TEXT, "ACTION", NULL, "stop after this action"},
    {"staging", OPTION_TEXT, "E", NULL, "the environment to try in (default: staging)"},
    {"prod", OPTION_TEXT, "E", NULL, "the environment to release to (default: prod)"},
    {"key", OPTION_TEXT, "FILE", NULL,
     "the private key that signs the approval, as `slipway keygen` makes it; production demands "
     "one unless the host's agent.json says otherwise"},
    {"approver", OPTION_TEXT, "NAME", NULL,
     "who releases (default: the user; under a controller it has to be said)"},
    {"evidence", OPTION_TEXT, "FILE", NULL,
     "leave the release's evidence in this file: all that the calls signed, and the approval"},
    {"yes", OPTION_FLAG, NULL, NULL, "release without asking"},
    {0},
};

typedef struct Stage {
    char action[NAME_SIZE];
    bool is_run; /* in this run: it has a result */
    double waited;
    double ran;
    const char *status; /* borrowed from result */
    FollowResult followed;
} Stage;

typedef enum StageIndex {
    STAGE_BUILD,
    STAGE_TEST,
    STAGE_PACKAGE,
    STAGE_DEPLOY_STAGING,
    STAGE_VERIFY_STAGING,
    STAGE_CHANGES,
    STAGE_DEPLOY_PROD,
    STAGE_VERIFY_PROD,
} StageIndex;

typedef struct Pipeline {
    Session *session;
    char run[RUN_MAX + 1];
    const char *environments[2]; /* staging, production; NULL: left out */
    const char *approver;
    const char *via;
    const char *url;           /* NULL */
    const char *key_path;      /* NULL: nothing is signed */
    const char *evidence_path; /* NULL: not wanted */
    ReleaseBundle bundle;
    char input[COLLECT_INPUT_SIZE]; /* of the bundle as it was sent; "" */
    char *released;     /* a deploy-prod of this run that was started before; NULL: none */
    unsigned n_refused; /* such calls that did nothing */
    SourceCommit source;
    Stage stages[STAGES];
    size_t last; /* index of the last stage to run */
    double started_at;
} Pipeline;

static double wall_clock(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void pipeline_done(Pipeline *p)
{
    for (size_t i = 0; i < STAGES; i++) {
        follow_result_done(&p->stages[i].followed);
    }
    source_commit_done(&p->source);
    release_bundle_done(&p->bundle);
    free(p->released);
}

static int say(const Pipeline *p, int code, const char *problem)
{
    output_say(&p->session->output, "slipway: %s", problem ? problem : "out of memory");
    return code;
}

/* ---- what there is to do ----------------------------------------------------------------------
 */

static void name_stages(Pipeline *p)
{
    static const struct {
        const char *prefix;
        int environment; /* -1: none */
    } names[STAGES] = {
        [STAGE_BUILD] = {"build", -1},           [STAGE_TEST] = {"test", -1},
        [STAGE_PACKAGE] = {"package", -1},       [STAGE_DEPLOY_STAGING] = {"deploy-", 0},
        [STAGE_VERIFY_STAGING] = {"verify-", 0}, [STAGE_CHANGES] = {"changes-", 1},
        [STAGE_DEPLOY_PROD] = {"deploy-", 1},    [STAGE_VERIFY_PROD] = {"verify-", 1},
    };

    for (size_t i = 0; i < STAGES; i++) {
        int e = names[i].environment;

        p->stages[i].action[0] = '\0';
        if (e < 0 || p->environments[e]) {
            (void)snprintf(p->stages[i].action, NAME_SIZE, "%s%.128s", names[i].prefix,
                           e < 0 ? "" : p->environments[e]);
        }
    }
}

static const char *stage_name(const void *from, size_t index)
{
    const Pipeline *p = from;

    return index < STAGES ? p->stages[index].action : NULL;
}

static int find_last(Pipeline *p, const char *to)
{
    const char *near;

    p->last = STAGES - 1;
    for (size_t i = 0; to && i < STAGES; i++) {
        if (strcmp(p->stages[i].action, to) == 0) {
            p->last = i;
            return EXIT_DONE;
        }
    }
    if (!to) {
        return EXIT_DONE;
    }
    near = options_nearest(to, stage_name, p);
    return session_usage(p->session, "--to '%s' is no action of this pipeline%s%s%s", to,
                         near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* NULL: the agent has it not. */
static const SlipwayJson *find_action(const SlipwayJson *actions, const char *name)
{
    const SlipwayJson *action;

    for (size_t i = 0; (action = slipway_json_get_element(actions, i)); i++) {
        if (strcmp(slipway_json_get_string(action, "/name", ""), name) == 0) {
            return action;
        }
    }
    return NULL;
}

static bool has_environments(const SlipwayJson *actions)
{
    const SlipwayJson *action;

    for (size_t i = 0; (action = slipway_json_get_element(actions, i)); i++) {
        if (slipway_json_get_string(action, "/hints/environment", NULL)) {
            return true;
        }
    }
    return false;
}

/* An agent without any environment builds, tests and packages: that is a pipeline too. One that has
 * some, but not the one that is wanted, is a mistake that must not end in "released". */
static int check_environments(Pipeline *p, const SlipwayJson *actions)
{
    static const char *const names[2] = {"staging", "prod"};
    static const size_t deploys[2] = {STAGE_DEPLOY_STAGING, STAGE_DEPLOY_PROD};
    bool has_any = has_environments(actions), is_told = false;

    for (size_t e = 0; e < 2; e++) {
        bool is_wanted = options_text(p->session->options, names[e], NULL);

        if (p->last < deploys[e] - (e == 1) || find_action(actions, p->stages[deploys[e]].action)) {
            continue;
        }
        if (is_wanted || has_any) {
            return session_usage(p->session,
                                 "the agent has no environment '%s'; name another with --%s, stop "
                                 "before it with --to, or configure it in the agent's agent.json",
                                 p->environments[e], names[e]);
        }
        if (!is_told) {
            output_say(&p->session->output,
                       "note: the agent has no environments: nothing will be deployed");
            is_told = true;
        }
        p->environments[e] = NULL;
    }
    name_stages(p);
    return EXIT_DONE;
}

/* ---- who releases -----------------------------------------------------------------------------
 */

static int choose_approver(Pipeline *p)
{
    const Options *o = p->session->options;
    ApprovalOrigin origin = approval_find_origin();
    const char *name = options_text(o, "approver", origin.name);

    if (!name && origin.via && p->key_path) {
        return session_usage(p->session,
                             "say who releases with --approver NAME: the user of this program is "
                             "%s, not a person",
                             origin.via);
    }
    p->approver = name ? name : confirm_user_name();
    if (!p->approver && p->key_path) {
        return session_usage(p->session, "say who releases with --approver NAME");
    }
    p->via = origin.via ? origin.via : options_flag(o, "yes") ? "--yes" : "terminal";
    p->url = origin.url;
    return EXIT_DONE;
}

/* Said before anything is built: nobody wants to hear it ten minutes later. */
static int check_key(Pipeline *p, const SlipwayJson *actions)
{
    const SlipwayJson *deploy = find_action(actions, p->stages[STAGE_DEPLOY_PROD].action);
    char *problem = NULL;
    int r;

    p->key_path = options_text(p->session->options, "key", NULL);
    p->evidence_path = options_text(p->session->options, "evidence", NULL);
    if (p->last < STAGE_DEPLOY_PROD || !deploy) {
        return EXIT_DONE;
    }
    if (!p->key_path && slipway_json_get_bool(deploy, "/hints/needsApproval", false)) {
        return session_usage(
            p->session,
            "'%s' demands a signed approval, and there is no key to sign it with. Make one with\n"
            "  slipway keygen controller.key\n"
            "put controller.key.pub into `keys` of the host's agent.json with the role approver, "
            "and say\n"
            "  slipway run --key controller.key\n"
            "To stop before that: --to verify-%s",
            p->environments[1], p->environments[0] ? p->environments[0] : "staging");
    }
    if (p->key_path && slipway_key_check(p->key_path, NULL, &problem) < 0) {
        r = say(p, EXIT_USAGE, problem);
        free(problem);
        return r;
    }
    return choose_approver(p);
}

static int prepare(Pipeline *p)
{
    const Options *o = p->session->options;
    SlipwayJson *actions = NULL;
    int r;

    p->environments[0] = options_text(o, "staging", "staging");
    p->environments[1] = options_text(o, "prod", "prod");
    name_stages(p);
    r = find_last(p, options_text(o, "to", NULL));
    r = r == EXIT_DONE ? source_find_commit(p->session, options_text(o, "repo", NULL),
                                            options_text(o, "commit", NULL),
                                            options_text(o, "ref", NULL), &p->source)
                       : r;
    r = r == EXIT_DONE ? session_request(p->session, "actions/list", NULL, &actions) : r;
    r = r == EXIT_DONE ? check_environments(p, slipway_json_get(actions, "/actions")) : r;
    r = r == EXIT_DONE ? check_key(p, slipway_json_get(actions, "/actions")) : r;
    (void)slipway_json_unref(actions);
    return r;
}

static int choose_run(Pipeline *p)
{
    const char *given = options_text(p->session->options, "run", NULL);
    struct tm tm;
    time_t now = time(NULL);

    if (given) {
        if (strlen(given) > RUN_MAX) {
            return session_usage(p->session, "--run has at most %d characters", RUN_MAX);
        }
        (void)snprintf(p->run, sizeof(p->run), "%s", given);
        return EXIT_DONE;
    }
    (void)gmtime_r(&now, &tm);
    (void)snprintf(p->run, sizeof(p->run), "%04d%02d%02d-%02d%02d%02d-%.10s", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, p->source.commit);
    return EXIT_DONE;
}

static void say_beginning(const Pipeline *p)
{
    Session *s = p->session;

    if (s->output.is_json) {
        return;
    }
    output_say(&s->output, "run %s: %s at %.12s%s%s", p->run, p->source.repository,
               p->source.commit, p->source.subject ? ", " : "",
               p->source.subject ? p->source.subject : "");
    if (p->source.is_dirty) {
        output_say(&s->output, "note: what is not committed is not part of it");
    }
}

/* ---- one call after the other -----------------------------------------------------------------
 */

/* A deploy that was refused did nothing: released anew it is another call. */
static void make_key(const Pipeline *p, size_t index, char *key, size_t size)
{
    int n = snprintf(key, size, "%s.%s", p->run, p->stages[index].action);

    if (index == STAGE_DEPLOY_PROD && p->n_refused > 0 && n > 0 && (size_t)n < size) {
        (void)snprintf(key + n, size - (size_t)n, ".%u", p->n_refused + 1);
    }
}

static void set_release(const Pipeline *p, SlipwayJson *params)
{
    if (*p->input) {
        (void)slipway_json_set_string(params, "/parameters/evidence/input", p->input);
    }
    if (p->approver) {
        (void)slipway_json_set_string(params, "/approval/by", p->approver);
    }
    if (p->url) {
        (void)slipway_json_set_string(params, "/approval/url", p->url);
    }
}

static SlipwayJson *stage_params(const Pipeline *p, size_t index)
{
    SlipwayJson *params = slipway_json_new_object();
    char key[NAME_SIZE + RUN_MAX + 16];

    make_key(p, index, key, sizeof(key));
    (void)slipway_json_set_string(params, "/action", p->stages[index].action);
    (void)slipway_json_set_string(params, "/idempotencyKey", key);
    (void)slipway_json_set_string(params, "/run", p->run);
    if (getenv("USER")) {
        (void)slipway_json_set_string(params, "/origin/user", getenv("USER"));
    }
    if (getenv("BUILD_URL")) {
        (void)slipway_json_set_string(params, "/origin/url", getenv("BUILD_URL"));
    }
    if (index == STAGE_BUILD || index == STAGE_CHANGES) {
        (void)source_set_git(params, &p->source);
    }
    if (index == STAGE_DEPLOY_STAGING || index == STAGE_DEPLOY_PROD) {
        (void)slipway_json_set_string(params, "/parameters/package/call",
                                      p->stages[STAGE_PACKAGE].followed.call);
    }
    if (index == STAGE_DEPLOY_PROD) {
        set_release(p, params);
    }
    return params;
}

static int follow_stage(Pipeline *p, size_t index)
{
    Stage *stage = &p->stages[index];
    SlipwayJson *params;
    int r;

    if (index == STAGE_DEPLOY_PROD && p->released) {
        return follow_attach(p->session, p->released, 0, stage->action, &stage->followed);
    }
    params = stage_params(p, index);
    r = follow_start(p->session, params, stage->action, &stage->followed);
    (void)slipway_json_unref(params);
    return r;
}

static int run_stage(Pipeline *p, size_t index)
{
    Stage *stage = &p->stages[index];
    Output *output = &p->session->output;
    const SlipwayJson *result;
    bool was_quiet = output->is_quiet;
    int r, collected = EXIT_DONE;

    output->is_quiet |= index == STAGE_CHANGES; /* its text is shown beside the question */
    r = follow_stage(p, index);
    output->is_quiet = was_quiet;
    result = stage->followed.result;
    if (result) {
        stage->is_run = true;
        stage->status = slipway_json_get_string(result, "/status", "?");
        stage->waited = slipway_json_get_number(result, "/waitedSeconds", 0);
        stage->ran = slipway_json_get_number(result, "/durationSeconds", 0);
        if (p->key_path || p->evidence_path) { /* also what a failed test signed */
            collected =
                collect_artifacts(p->session, slipway_json_get(result, "/artifacts"), &p->bundle);
        }
    }
    return r == EXIT_DONE ? collected : r;
}

/* ---- the evidence -----------------------------------------------------------------------------
 */

static const char *package_digest(const Pipeline *p)
{
    return slipway_json_get_string(p->stages[STAGE_PACKAGE].followed.result, "/outputs/digest",
                                   NULL);
}

/* What the file had of the same package stays: an approval of an earlier attempt. */
static int keep_earlier(Pipeline *p, char **ret_error)
{
    _cleanup_(release_bundle_done) ReleaseBundle earlier = {0};
    const char *digest = package_digest(p);
    ReleaseSubject subject;

    if (!digest || release_bundle_load(&earlier, p->evidence_path, NULL) < 0 ||
        release_subject_find(earlier.entries, digest, &subject, NULL) < 0) {
        return 0;
    }
    return release_bundle_add(&p->bundle, earlier.text, earlier.len, NULL, ret_error);
}

static int leave_evidence(Pipeline *p)
{
    char *problem = NULL;
    int r;

    if (!p->evidence_path || p->bundle.len == 0) {
        return EXIT_DONE;
    }
    r = keep_earlier(p, &problem);
    r = r < 0 ? r : release_bundle_save(&p->bundle, p->evidence_path, &problem);
    r = r < 0 ? say(p, EXIT_ACTION_FAILED, problem) : EXIT_DONE;
    free(problem);
    return r;
}

/* ---- the approval -----------------------------------------------------------------------------
 */

static void show_changes(const Pipeline *p)
{
    const SlipwayJson *result = p->stages[STAGE_CHANGES].followed.result;
    const char *text = slipway_json_get_string(result, "/outputs/text", NULL);

    if (text && !p->session->output.is_json) {
        output_print(&p->session->output, "\n%s\n\n", text);
        output_flush(&p->session->output);
    }
}

/* Was this run's release started before? Then it was approved before, and its call is gone on with.
 */
static int find_release(Pipeline *p)
{
    SlipwayJson *params = slipway_json_new_object(), *list = NULL;
    const SlipwayJson *calls, *call;
    int r;

    (void)slipway_json_set_string(params, "/run", p->run);
    (void)slipway_json_set_int(params, "/limit", CALLS_MAX);
    r = session_request(p->session, "calls/list", params, &list);
    calls = slipway_json_get(list, "/calls");
    for (size_t i = 0; !p->released && (call = slipway_json_get_element(calls, i)); i++) {
        if (strcmp(slipway_json_get_string(call, "/action", ""),
                   p->stages[STAGE_DEPLOY_PROD].action) != 0) {
            continue;
        }
        if (strcmp(slipway_json_get_string(call, "/status", ""), "refused") == 0) {
            p->n_refused++;
        } else {
            p->released = strdup(slipway_json_get_string(call, "/call", ""));
        }
    }
    (void)slipway_json_unref(list);
    (void)slipway_json_unref(params);
    return r;
}

/* What nobody should be asked about, because a deploy would refuse it whatever they say. */
static int check_change(const Pipeline *p, const ReleaseSubject *subject, const SlipwayJson *change)
{
    char *problem = NULL;
    int r = approval_check_change(change, subject, p->environments[1], &problem);

    r = r < 0 ? say(p, EXIT_REFUSED, problem) : EXIT_DONE;
    free(problem);
    return r;
}

static int say_nobody_is_here(const Pipeline *p)
{
    output_say(&p->session->output,
               "Not released: nobody is here to ask. Go on with:\n"
               "  slipway run --run %s --repo %s --commit %s%s%s --yes",
               p->run, p->source.repository, p->source.commit, p->key_path ? " --key " : "",
               p->key_path ? p->key_path : "");
    return EXIT_REFUSED;
}

static int ask(Pipeline *p)
{
    Session *s = p->session;

    if (options_flag(s->options, "yes")) {
        return EXIT_DONE;
    }
    if (!confirm_may_ask(s)) {
        return say_nobody_is_here(p);
    }
    if (!confirm_ask(s, "Release %.12s to %s?", p->source.commit, p->environments[1])) {
        output_say(&s->output, "Not released.");
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

static int sign(Pipeline *p, const ReleaseSubject *subject, const SlipwayJson *change)
{
    ApprovalRequest request = {
        .key_path = p->key_path,
        .subject = subject,
        .environment = p->environments[1],
        .approver = p->approver,
        .via = p->via,
        .url = p->url,
        .minutes = APPROVAL_MINUTES_DEFAULT,
        .change = change,
    };
    char *line = NULL, *problem = NULL;
    int r = approval_sign(&request, (int64_t)time(NULL) * SECOND_US, &line, &problem);

    r = r < 0 ? r : release_bundle_add(&p->bundle, line, strlen(line), NULL, &problem);
    r = r < 0 ? say(p, EXIT_ACTION_FAILED, problem) : leave_evidence(p);
    free(problem);
    free(line);
    return r == EXIT_DONE ? collect_send(p->session, &p->bundle, p->input) : r;
}

static int approve_signed(Pipeline *p)
{
    SlipwayJson *change =
        change_describe(slipway_json_get(p->stages[STAGE_CHANGES].followed.result, "/outputs"),
                        p->environments[1], p->source.repository);
    ReleaseSubject subject;
    char *problem = NULL;
    int r = EXIT_DONE;

    if (!change) {
        r = say(p, EXIT_ACTION_FAILED, NULL);
    } else if (release_subject_find(p->bundle.entries, package_digest(p), &subject, &problem) < 0) {
        r = say(p, EXIT_ACTION_FAILED, problem);
    }
    r = r == EXIT_DONE ? check_change(p, &subject, change) : r;
    r = r == EXIT_DONE ? ask(p) : r;
    r = r == EXIT_DONE ? sign(p, &subject, change) : r;
    (void)slipway_json_unref(change);
    free(problem);
    return r;
}

static int approve(Pipeline *p)
{
    int r = find_release(p);

    show_changes(p);
    if (r != EXIT_DONE || p->released) {
        return r;
    }
    return p->key_path ? approve_signed(p) : ask(p);
}

/* ---- where the time went ----------------------------------------------------------------------
 */

static void print_times(const Pipeline *p, double now)
{
    Output *o = &p->session->output;
    char texts[STAGES][2][OUTPUT_TEXT_SIZE], total[OUTPUT_TEXT_SIZE], since[OUTPUT_TEXT_SIZE];
    const char *cells[(STAGES + 1) * 4] = {"ACTION", "WAITED", "RAN", "STATUS"};
    size_t rows = 1;

    for (size_t i = 0; i < STAGES; i++) {
        const Stage *stage = &p->stages[i];
        const char **row = cells + rows * 4;

        if (stage->is_run) {
            row[0] = stage->action;
            row[1] = output_duration(stage->waited, texts[i][0]);
            row[2] = output_duration(stage->ran, texts[i][1]);
            row[3] = stage->status;
            rows++;
        }
    }
    if (rows == 1) {
        return;
    }
    output_print(o, "\n");
    output_table(o, cells, rows, 4);
    output_print(o, "this run: %s", output_duration(now - p->started_at, total));
    if (p->last >= STAGE_DEPLOY_PROD && p->source.committed_at > 0 &&
        p->stages[STAGE_DEPLOY_PROD].status &&
        strcmp(p->stages[STAGE_DEPLOY_PROD].status, "succeeded") == 0) {
        double lead = now - (double)p->source.committed_at;

        output_print(o, "; commit to production: %s, %.0f %% of the ten minutes",
                     output_duration(lead > 0 ? lead : 0, since), lead / BUDGET_SECONDS * 100);
    }
    output_print(o, "\n");
}

static void print_json_end(const Pipeline *p, int code, double now)
{
    SlipwayJson *line = slipway_json_new_object(), *calls = slipway_json_new_array();

    (void)slipway_json_set_string(line, "/run", p->run);
    (void)slipway_json_set_string(line, "/commit", p->source.commit);
    (void)slipway_json_set_int(line, "/exitCode", code);
    (void)slipway_json_set_number(line, "/durationSeconds", now - p->started_at);
    for (size_t i = 0; i < STAGES; i++) {
        if (p->stages[i].is_run) {
            (void)slipway_json_set(calls, "/-", p->stages[i].followed.result);
        }
    }
    (void)slipway_json_set(line, "/calls", calls);
    session_print_json(p->session, "run/finished", line);
    (void)slipway_json_unref(calls);
    (void)slipway_json_unref(line);
}

static int run(Session *s)
{
    _cleanup_(pipeline_done) Pipeline p = {.session = s};
    double now;
    int r, left;

    p.started_at = wall_clock();
    r = prepare(&p);
    r = r == EXIT_DONE ? choose_run(&p) : r;
    if (r != EXIT_DONE) {
        return r;
    }
    say_beginning(&p);
    for (size_t i = 0; r == EXIT_DONE && i <= p.last; i++) {
        if (!*p.stages[i].action) {
            continue;
        }
        if (i == STAGE_DEPLOY_PROD) {
            r = approve(&p);
        }
        r = r == EXIT_DONE ? run_stage(&p, i) : r;
    }
    left = leave_evidence(&p);
    r = r == EXIT_DONE ? left : r;
    now = wall_clock();
    if (s->output.is_json) {
        print_json_end(&p, r, now);
    } else {
        print_times(&p, now);
    }
    return r;
}

const Command command_run = {
    .name = "run",
    .synopsis = "",
    .summary = "take a commit to production: the whole pipeline",
    .description =
        "Builds, tests and packages a commit, deploys it to staging, verifies it there, shows the "
        "whole change against what runs in production, asks for the release, signs it, deploys and "
        "verifies. It stops at the first action that does not succeed, with its exit code; 4 also "
        "where "
        "nobody released it. The same --run again goes on where it was.",
    .options = options,
    .run = run,
};
