/* SPDX-License-Identifier: MIT */
#include "agent/deploy/deploy.h"

#include "agent/deploy/observe.h"
#include "protocol/base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PUT_BACK_SUFFIX "-back"

void deploy_outcome_done(DeployOutcome *outcome)
{
    free(outcome->reason);
    engine_current_done(&outcome->current);
    *outcome = (DeployOutcome){0};
}

/* ---- small words ------------------------------------------------------------------------------
 */

static void say(const Deploy *deploy, const char *format, ...) _printf_(2, 3);
static void say(const Deploy *deploy, const char *format, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0) {
        text = NULL;
    }
    va_end(ap);
    if (text) {
        deploy->host->say(text, deploy->host->userdata);
    }
    free(text);
}

static const char *text_or(const char *text, const char *otherwise)
{
    return text && *text ? text : otherwise;
}

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static const char *app_of(const KeptRelease *release)
{
    return text_or(json_get_string(release->record, "app"), "");
}

static const char *deployment_of(const KeptRelease *release)
{
    return text_or(json_get_string(release->record, "deployment"), "");
}

static const char *version_of(const Json *record)
{
    return text_or(json_get_string(record, "version"), "?");
}

/* "version 1.2 (commit 0123456789ab)" */
static int describe(const Json *record, Buffer *text)
{
    const char *commit = json_get_string(record, "commit");
    int r = buffer_append_format(text, "version %s", version_of(record));

    return r < 0 || !commit ? r : buffer_append_format(text, " (commit %.12s)", commit);
}

/* ---- verbs, with patience ---------------------------------------------------------------------
 */

typedef struct Question {
    const char *app;
    const char *deployment;
    const Json *specification;
    const EngineLabels *labels;
    EngineCurrent *current;
    EnginePlan *plan;
    EngineStatus *status;
} Question;

static int ask_current(const Deploy *deploy, void *userdata, Error *err)
{
    Question *q = userdata;

    engine_current_done(q->current);
    return deploy->engine->current(deploy->session, q->app, q->current, err);
}

static int ask_plan(const Deploy *deploy, void *userdata, Error *err)
{
    Question *q = userdata;

    engine_plan_done(q->plan);
    return deploy->engine->plan(deploy->session, q->specification, q->labels, q->plan, err);
}

static int ask_apply(const Deploy *deploy, void *userdata, Error *err)
{
    Question *q = userdata;

    return deploy->engine->apply(deploy->session, q->app, q->specification, q->deployment, err);
}

static int ask_poll(const Deploy *deploy, void *userdata, Error *err)
{
    Question *q = userdata;

    engine_status_done(q->status);
    return deploy->engine->poll(deploy->session, q->app, q->deployment, q->status, err);
}

static int ask_cancel(const Deploy *deploy, void *userdata, Error *err)
{
    Question *q = userdata;

    return deploy->engine->cancel(deploy->session, q->app, q->deployment, err);
}

/* For questions to which the engine's only answers are yes, no and away. */
static int ask(const Deploy *deploy, ObserveAsk verb, Question *q, Error *err)
{
    int r = observe_ask(deploy, OBSERVE_AWAY_MS, false, verb, q, err);

    return r == ENGINE_AWAY ? -EIO : r;
}

/* The same on the way back, which a cancellation does not cut short. */
static int ask_still(const Deploy *deploy, int64_t away_ms, ObserveAsk verb, Question *q,
                     Error *err)
{
    int r = observe_ask(deploy, away_ms, true, verb, q, err);

    return r == ENGINE_AWAY || r == ENGINE_BUSY ? -EIO : r;
}

int deploy_current(const Deploy *deploy, const char *app, EngineCurrent *ret, Error *err)
{
    Question q = {.app = app, .current = ret};
    int r = ask(deploy, ask_current, &q, err);

    return r == ENGINE_ABSENT ? DEPLOY_ABSENT : r;
}

int deploy_plan(const Deploy *deploy, const Json *specification, const EngineLabels *labels,
                EnginePlan *ret, Error *err)
{
    Question q = {.specification = specification, .labels = labels, .plan = ret};

    return ask(deploy, ask_plan, &q, err);
}

/* ---- the record -------------------------------------------------------------------------------
 */

static int save_outcome(const Deploy *deploy, KeptRelease *release, const char *outcome,
                        const char *reason, Error *err)
{
    char at[CLOCK_TEXT_SIZE];
    int r = json_set_string(release->record, "outcome", outcome);

    r = r < 0 ? r : json_set_string(release->record, "reason", reason);
    r = r < 0 ? r
              : json_set_string(release->record, "finishedAt", clock_format(clock_wall_us(), at));
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    return releases_save(deploy->releases, release, err);
}

/* What ran before goes into the record, so that whoever comes after can put it back. */
static int save_before(const Deploy *deploy, KeptRelease *release, const EngineCurrent *before,
                       Error *err)
{
    Json *object = before ? json_new_object() : NULL;
    const KeptRelease *kept = before ? releases_find_running(deploy->releases, before) : NULL;
    int r = 0;

    if (!before) {
        return 0;
    }
    r = object ? json_set_string(object, "deployment", before->deployment) : -ENOMEM;
    r = r < 0 ? r : json_set_string(object, "digest", before->digest);
    r = r < 0 ? r : json_set_string(object, "commit", before->commit);
    r = r < 0 ? r : json_set_string(object, "version", before->version);
    r = r < 0 || !kept ? r : json_set_int(object, "number", kept->number);
    if (r < 0) {
        (void)json_unref(object);
        return error_set(err, r, "out of memory");
    }
    r = json_set_take(release->record, "before", object);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    if (before->specification) {
        r = releases_write_file(deploy->releases, release->number, RELEASES_REPLACED,
                                before->specification, err);
    }
    return r < 0 ? r : releases_save(deploy->releases, release, err);
}

/* ---- getting back -----------------------------------------------------------------------------
 */

/* Asks for what ran before, as a deployment of its own, and sees it to its end. *ret_is_back says
 * whether it came up. */
static int put_back(const Deploy *deploy, KeptRelease *release, int64_t timeout_ms,
                    bool *ret_is_back, Error *err)
{
    _cleanup_observation_ Observation seen = {0};
    _cleanup_free_ char *deployment = NULL;
    _cleanup_json_ Json *specification = NULL;
    Question q = {.app = app_of(release)};
    int r;

    if (asprintf(&deployment, "%s" PUT_BACK_SUFFIX, deployment_of(release)) < 0) {
        deployment = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret_is_back = false;
    r = releases_read_file(deploy->releases, release->number, RELEASES_REPLACED, &specification,
                           err);
    if (r < 0) {
        return r;
    }
    r = json_set_string(release->record, "putBackAs", deployment);
    r = r < 0 ? r : releases_save(deploy->releases, release, err);
    if (r < 0) {
        return r;
    }
    say(deploy, "putting back what ran before, as %s", deployment);
    q.deployment = deployment;
    q.specification = specification;
    r = ask_still(deploy, timeout_ms, ask_apply, &q, err);
    if (r == 0) {
        r = observe(deploy,
                    &(ObserveRequest){.app = q.app,
                                      .deployment = deployment,
                                      .timeout_ms = timeout_ms,
                                      .is_persistent = true},
                    &seen, err);
        *ret_is_back = r == 0 && seen.end == OBSERVE_SETTLED;
    } else if (r == ENGINE_UNCHANGED) {
        *ret_is_back = true;
    }
    return MIN(r, 0);
}

/* Appends what serves now, after a deployment that did not succeed; puts back what ran before where
 * the engine has not kept it. *ret_is_restored: what ran before serves. */
static int get_back(const Deploy *deploy, KeptRelease *release, int64_t timeout_ms, Buffer *text,
                    bool *ret_is_restored)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    _cleanup_error_ Error problem = {0};
    const Json *before = json_get(release->record, "before");
    const char *deployment = json_get_string(before, "deployment");
    Question q = {.app = app_of(release), .current = &current};
    bool is_back = false;
    int r = ask_still(deploy, MIN(timeout_ms, OBSERVE_AWAY_MS), ask_current, &q, &problem);

    *ret_is_restored = false;
    if (r < 0) {
        return buffer_append_format(text, "what runs now is not known: %s", error_text(&problem));
    }
    if (!before) {
        return r == ENGINE_ABSENT
                   ? buffer_append_text(text, "nothing ran before it, and nothing runs now")
                   : buffer_append_text(text, "nothing ran before it that could be put back");
    }
    if (r == 0 && is_same(current.deployment, deployment)) {
        *ret_is_restored = current.counts.healthy >= current.counts.wanted;
        r = describe(before, text);
        return r < 0 ? r
               : *ret_is_restored
                   ? buffer_append_text(text, " still serves")
                   : buffer_append_format(text,
                                          " is back, but it is not well: %lld of %lld instances "
                                          "are healthy",
                                          (long long)current.counts.healthy,
                                          (long long)current.counts.wanted);
    }
    if (r == 0 && !is_same(current.deployment, deployment_of(release))) {
        return buffer_append_format(text,
                                    "deployment '%s', which is none of this, runs now and is "
                                    "left alone",
                                    text_or(current.deployment, "?"));
    }
    r = put_back(deploy, release, timeout_ms, &is_back, &problem);
    if (r < 0 || !is_back) {
        r = buffer_append_text(text, "putting back ");
        r = r < 0 ? r : describe(before, text);
        return r < 0 ? r
                     : buffer_append_format(text, " failed as well: %s",
                                            problem.code < 0 ? error_text(&problem)
                                                             : "it did not become healthy in time");
    }
    *ret_is_restored = true;
    r = describe(before, text);
    return r < 0 ? r : buffer_append_text(text, " was put back");
}

/* ---- how it ended -----------------------------------------------------------------------------
 */

static int append_failure(const Deploy *deploy, const Observation *seen, Buffer *text)
{
    const EngineCounts *counts = &seen->status.counts;
    const char *why = seen->odd ? seen->odd : seen->status.reason;
    int r;

    switch (seen->end) {
    case OBSERVE_CANCELLED:
        return buffer_append_text(text, "was cancelled");
    case OBSERVE_DEADLINE:
        r = buffer_append_format(
            text,
            "was not there within %lld s: %lld of %lld instances were healthy, "
            "%lld old ones were left",
            (long long)(deploy->timeout_ms / 1000), (long long)counts->healthy,
            (long long)counts->wanted, (long long)counts->old);
        return r < 0 || !text_or(why, NULL) ? r : buffer_append_format(text, "; %s", why);
    default:
        if (seen->status.state == ENGINE_UNKNOWN) {
            why = "the engine does not know the deployment any more";
        } else if (seen->status.state == ENGINE_CANCELLED) {
            why = text_or(why, "somebody else cancelled it at the engine");
        }
        return buffer_append_format(text, "did not come up: %s",
                                    text_or(why, "the engine does not say why"));
    }
}

static void say_log(const Deploy *deploy, const Observation *seen)
{
    if (seen->status.log) {
        say(deploy, "the last lines of its log:\n%s", seen->status.log);
    }
}

static int set_reason(DeployOutcome *outcome, DeployResult result, Buffer *text, Error *err)
{
    char *reason = buffer_take_text(text);

    if (!reason) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    free(outcome->reason);
    outcome->reason = reason;
    outcome->result = result;
    return 0;
}

/* What runs now goes to the caller; not to know it is no reason to fail any more. */
static void note_current(const Deploy *deploy, const KeptRelease *release, DeployOutcome *outcome)
{
    if (deploy->engine->current(deploy->session, app_of(release), &outcome->current, NULL) != 0) {
        engine_current_done(&outcome->current);
    }
}

static int end_well(const Deploy *deploy, KeptRelease *release, DeployOutcome *outcome, Error *err)
{
    outcome->result = DEPLOY_SUCCEEDED;
    note_current(deploy, release, outcome);
    return save_outcome(deploy, release, "succeeded", NULL, err);
}

/* The engine stopped answering, and the deployment may yet come to either end: that is left for the
 * next call to find out, and said. */
static int end_unknown(const Deploy *deploy, KeptRelease *release, const Error *problem,
                       DeployOutcome *outcome, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = describe(release->record, &text);

    r = r < 0 ? r
              : buffer_append_format(
                    &text,
                    ": what became of deployment %s is not known, as the engine does "
                    "not answer%s%s; the next call for '%s' will find out first",
                    deployment_of(release), problem ? ": " : "", problem ? error_text(problem) : "",
                    deploy->releases->environment);
    return r < 0 ? error_set(err, r, "out of memory")
                 : set_reason(outcome, DEPLOY_FAILED, &text, err);
}

/* Gives the deployment up at the engine and waits until it has ended there. *ret_is_up: it ended
 * well before it could be given up, and serves. */
static int give_up(const Deploy *deploy, const KeptRelease *release, int64_t timeout_ms,
                   bool *ret_is_up, Error *err)
{
    _cleanup_observation_ Observation ending = {0};
    _cleanup_error_ Error problem = {0};
    Question q = {.app = app_of(release), .deployment = deployment_of(release)};
    ObserveRequest request = {
        .app = q.app,
        .deployment = q.deployment,
        .timeout_ms = timeout_ms,
        .is_ending = true,
        .is_persistent = true,
    };
    int r = ask_still(deploy, MIN(timeout_ms, OBSERVE_AWAY_MS), ask_cancel, &q, &problem);

    *ret_is_up = false;
    if (r < 0) {
        say(deploy, "cannot cancel the deployment: %s", error_text(&problem));
    }
    r = observe(deploy, &request, &ending, err);
    *ret_is_up = r == 0 && ending.end == OBSERVE_SETTLED;
    return r;
}

/* A deployment that did not succeed: gives it up, gets back, writes down why. */
static int end_badly(const Deploy *deploy, KeptRelease *release, const Observation *seen,
                     DeployOutcome *outcome, Error *err)
{
    bool is_cancelled = seen->end == OBSERVE_CANCELLED, is_up = false;
    int64_t timeout_ms = is_cancelled ? deploy->grace_ms : deploy->timeout_ms;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = 0;

    if (seen->end != OBSERVE_FAILED || seen->status.state == ENGINE_FAILING) {
        r = give_up(deploy, release, timeout_ms, &is_up, err);
    }
    if (r < 0) {
        return r;
    }
    if (is_up && is_cancelled) {
        say(deploy, "it had ended well before it could be cancelled");
        return end_well(deploy, release, outcome, err);
    }
    say_log(deploy, seen);
    r = describe(release->record, &text);
    r = r < 0 ? r : buffer_append_text(&text, " ");
    r = r < 0 ? r : append_failure(deploy, seen, &text);
    r = r < 0 ? r : buffer_append_text(&text, "; ");
    r = r < 0 ? r : get_back(deploy, release, timeout_ms, &text, &outcome->is_restored);
    r = r < 0 ? error_set(err, r, "out of memory")
              : set_reason(outcome, is_cancelled ? DEPLOY_CANCELLED : DEPLOY_FAILED, &text, err);
    if (r < 0) {
        return r;
    }
    note_current(deploy, release, outcome);
    return save_outcome(deploy, release, is_cancelled ? "cancelled" : "failed", outcome->reason,
                        err);
}

static int observe_to_end(const Deploy *deploy, KeptRelease *release, DeployOutcome *outcome,
                          Error *err)
{
    _cleanup_observation_ Observation seen = {0};
    ObserveRequest request = {
        .app = app_of(release),
        .deployment = deployment_of(release),
        .timeout_ms = deploy->timeout_ms,
    };
    int r = observe(deploy, &request, &seen, err);

    if (r < 0) {
        return r;
    }
    if (seen.end == OBSERVE_SETTLED) {
        return end_well(deploy, release, outcome, err);
    }
    if (seen.end == OBSERVE_AWAY) {
        return end_unknown(deploy, release, NULL, outcome, err);
    }
    return end_badly(deploy, release, &seen, outcome, err);
}

/* ---- deploying --------------------------------------------------------------------------------
 */

/* The engine did not begin: nothing has changed. */
static int end_refused(const Deploy *deploy, KeptRelease *release, DeployResult result,
                       const char *why, DeployOutcome *outcome, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = describe(release->record, &text);

    r = r < 0 ? r : buffer_append_format(&text, " was not deployed, nothing has changed: %s", why);
    r = r < 0 ? error_set(err, r, "out of memory") : set_reason(outcome, result, &text, err);
    outcome->is_restored = json_has(release->record, "before");
    return r < 0 ? r : save_outcome(deploy, release, "failed", outcome->reason, err);
}

static int end_unchanged(const Deploy *deploy, KeptRelease *release, DeployOutcome *outcome,
                         Error *err)
{
    int r = save_outcome(deploy, release, "unchanged", NULL, err);

    return r < 0 ? r : deploy_confirm(deploy, app_of(release), outcome, err);
}

static int apply(const Deploy *deploy, KeptRelease *release, DeployOutcome *outcome, Error *err)
{
    _cleanup_json_ Json *specification = NULL;
    _cleanup_error_ Error problem = {0};
    Question q = {.app = app_of(release), .deployment = deployment_of(release)};
    int r =
        releases_read_file(deploy->releases, release->number, RELEASES_FILLED, &specification, err);

    if (r < 0) {
        return r;
    }
    q.specification = specification;
    r = observe_ask(deploy, OBSERVE_AWAY_MS, false, ask_apply, &q, &problem);
    switch (r) {
    case 0:
        return observe_to_end(deploy, release, outcome, err);
    case ENGINE_UNCHANGED:
        return end_unchanged(deploy, release, outcome, err);
    case ENGINE_BUSY:
        return end_refused(deploy, release, DEPLOY_REFUSED, error_text(&problem), outcome, err);
    case ENGINE_AWAY: /* it may have taken it all the same */
        return end_unknown(deploy, release, &problem, outcome, err);
    default:
        return end_refused(deploy, release, DEPLOY_FAILED, error_text(&problem), outcome, err);
    }
}

int deploy_run(const Deploy *deploy, KeptRelease *release, const EngineCurrent *before,
               DeployOutcome *ret, Error *err)
{
    int r = save_before(deploy, release, before, err);

    if (r < 0) {
        return r;
    }
    say(deploy, "deploying version %s to '%s' as %s", version_of(release->record),
        deploy->releases->environment, deployment_of(release));
    return apply(deploy, release, ret, err);
}

int deploy_confirm(const Deploy *deploy, const char *app, DeployOutcome *ret, Error *err)
{
    int64_t deadline_ms = deploy->host->now_ms(deploy->host->userdata) + deploy->timeout_ms;
    const DeployHost *host = deploy->host;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r;

    for (;;) {
        engine_current_done(&ret->current);
        r = deploy_current(deploy, app, &ret->current, err);
        if (r < 0) {
            return r;
        }
        if (r == 0 && engine_counts_are_settled(&ret->current.counts)) {
            host->progress("deploy", &ret->current.counts, host->userdata);
            ret->result = DEPLOY_UNCHANGED;
            return 0;
        }
        if (host->is_cancelled(host->userdata) || host->now_ms(host->userdata) >= deadline_ms) {
            break;
        }
        host->wait_ms(OBSERVE_DELAY_LAST_MS / 4, host->userdata);
    }
    r = buffer_append_format(
        &text,
        "this release runs already, but it is not well: %lld of %lld instances "
        "are healthy, %lld old ones are left",
        (long long)ret->current.counts.healthy, (long long)ret->current.counts.wanted,
        (long long)ret->current.counts.old);
    return r < 0 ? error_set(err, r, "out of memory") : set_reason(ret, DEPLOY_FAILED, &text, err);
}

/* ---- settling ---------------------------------------------------------------------------------
 */

/* It died while it put back what ran before: that is finished first. */
static int settle_putting_back(const Deploy *deploy, KeptRelease *release, DeployOutcome *ret,
                               Error *err)
{
    _cleanup_error_ Error problem = {0};
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    bool is_back = false;
    int r = put_back(deploy, release, deploy->timeout_ms, &is_back, &problem);

    r = r < 0 ? error_set(err, r, "%s", error_text(&problem)) : 0;
    r = r < 0 ? r
              : buffer_append_format(&text, "it was interrupted; what ran before %s",
                                     is_back ? "was put back" : "could not be put back");
    r = r < 0 ? r : save_outcome(deploy, release, "failed", buffer_text(&text), err);
    return r;
}

/* The engine has no such deployment: it never came there, or it is long over and forgotten. */
static int settle_unknown(const Deploy *deploy, KeptRelease *release, bool is_wanted,
                          DeployOutcome *ret, Error *err)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    int r = deploy_current(deploy, app_of(release), &current, err);

    if (r < 0) {
        return r;
    }
    if (r == 0 && is_same(current.deployment, deployment_of(release))) {
        return save_outcome(deploy, release, "succeeded", NULL, err);
    }
    if (is_wanted) { /* the same ID again: if it is on its way after all, it is still one deployment
                      */
        r = apply(deploy, release, ret, err);
        return r < 0 ? r : DEPLOY_RESUMED;
    }
    return save_outcome(deploy, release, "lost", "it never reached the engine", err);
}

static int settle_running(const Deploy *deploy, KeptRelease *release, bool is_wanted,
                          DeployOutcome *ret, Error *err)
{
    _cleanup_observation_ Observation superseded = {.end = OBSERVE_CANCELLED};
    int r;

    if (is_wanted) {
        say(deploy, "going on with it");
        r = observe_to_end(deploy, release, ret, err);
        return r < 0 ? r : DEPLOY_RESUMED;
    }
    say(deploy, "cancelling it: another release is wanted now");
    r = end_badly(deploy, release, &superseded, ret, err);
    deploy_outcome_done(ret);
    return r;
}

/* It ended while nobody looked. */
static int settle_ended(const Deploy *deploy, KeptRelease *release, EngineStatus *status,
                        DeployOutcome *ret, Error *err)
{
    _cleanup_observation_ Observation seen = {.end = OBSERVE_FAILED};
    int r;

    if (status->state == ENGINE_SUCCEEDED) { /* what has happened since is not its end */
        return save_outcome(deploy, release, "succeeded", NULL, err);
    }
    seen.status = *status;
    *status = (EngineStatus){0};
    r = end_badly(deploy, release, &seen, ret, err);
    deploy_outcome_done(ret);
    return r;
}

int deploy_settle(const Deploy *deploy, KeptRelease *release, bool is_wanted, DeployOutcome *ret,
                  Error *err)
{
    _cleanup_engine_status_ EngineStatus status = {0};
    Question q = {
        .app = app_of(release),
        .deployment = deployment_of(release),
        .status = &status,
    };
    int r;

    say(deploy, "the end of deployment %s (version %s, call %s) was not seen; asking the engine",
        q.deployment, version_of(release->record),
        text_or(json_get_string(release->record, "call"), "?"));
    if (json_get_string(release->record, "putBackAs")) {
        return settle_putting_back(deploy, release, ret, err);
    }
    r = ask(deploy, ask_poll, &q, err);
    if (r < 0) {
        return r;
    }
    switch (status.state) {
    case ENGINE_UNKNOWN:
        return settle_unknown(deploy, release, is_wanted, ret, err);
    case ENGINE_RUNNING:
    case ENGINE_FAILING:
        return settle_running(deploy, release, is_wanted, ret, err);
    default:
        say(deploy, "it has %s", status.state == ENGINE_SUCCEEDED ? "ended well" : "failed");
        return settle_ended(deploy, release, &status, ret, err);
    }
}
