/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/deploy-call.h"

#include "agent/deploy/difference.h"
#include "agent/runners/deploy/deploy-evidence.h"
#include "protocol/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define DIFFERENCE_LINES_MAX 20
/* Of the environment's name in a deployment's ID, which is an identifier of at most 128 characters.
 */
#define ID_ENVIRONMENT_MAX 64
/* Of the grace, what the policy may use; the rest is for writing it down. */
#define GRACE_SHARE 0.8

void deploy_call_done(DeployCall *call)
{
    if (call->engine) {
        call->session = call->engine->close(call->session);
    }
    environment_lock_release(&call->lock);
    releases_done(&call->releases);
    deploy_outcome_done(&call->outcome);
    call->release = json_unref(call->release);
    call->wanted = json_unref(call->wanted);
    free(call->nonce);
    free(call->approver);
}

/* ---- the way in -------------------------------------------------------------------------------
 */

static int take_lock(DeployCall *call, Error *err)
{
    _cleanup_json_ Json *holder = json_new_object();
    char at[CLOCK_TEXT_SIZE];
    int r = holder ? json_set_string(holder, "call", call->spec->call) : -ENOMEM;

    r = r < 0 ? r : json_set_string(holder, "action", call->spec->action);
    r = r < 0 ? r : json_set_string(holder, "since", clock_format(clock_wall_us(), at));
    r = r < 0 ? r : json_set_int(holder, "pid", getpid());
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = environment_lock_take(call->releases.dir_fd, holder, &call->lock, err);
    if (r == ENVIRONMENT_LOCK_HELD) {
        (void)error_wrap(err, "the environment '%s' is busy", call->spec->environment_name);
        return DEPLOY_CALL_REFUSED;
    }
    return r;
}

static int open_engine(DeployCall *call, Error *err)
{
    const Json *environment = call->spec->environment;
    const Engine *engine = NULL;
    int r = engine_find(json_get_string(environment, "engine"), &engine, err);

    if (r == 0) {
        call->engine = engine;
        r = engine->open(environment, &call->session, err);
    }
    return r < 0 ? error_wrap(err, "environment '%s'", call->spec->environment_name) : 0;
}

static void open_policy(DeployCall *call)
{
    double timeout = json_as_number(json_get(call->spec->environment, "timeoutSeconds"),
                                    (double)DEPLOY_TIMEOUT_MS_DEFAULT / 1000);

    deploy_host_open(call->report, &call->host_state, &call->host);
    call->deploy = (Deploy){
        .engine = call->engine,
        .session = call->session,
        .host = &call->host,
        .releases = &call->releases,
        .timeout_ms = (int64_t)(timeout * 1000),
        .grace_ms = (int64_t)((double)call->spec->grace_ms * GRACE_SHARE),
    };
}

int deploy_call_begin(const Spec *spec, Report *report, DeployCall *call, Error *err)
{
    int r;

    *call = (DeployCall){
        .spec = spec,
        .report = report,
        .lock = ENVIRONMENT_LOCK_INIT,
        .releases = RELEASES_INIT,
        .began_ms = clock_monotonic_ms(),
        .began_at_us = clock_wall_us(),
    };
    if (!spec->environment_name || !spec->releases_directory) {
        return error_set(err, -EINVAL, "the action '%s' has no environment to work on",
                         spec->action);
    }
    r = open_engine(call, err);
    r = r != 0
            ? r
            : releases_open(spec->releases_directory, spec->environment_name, &call->releases, err);
    r = r != 0 ? r : take_lock(call, err);
    r = r != 0 ? r : releases_clean(&call->releases, err);
    return r != 0 ? r : releases_load(&call->releases, err);
}

static int keep_record(DeployCall *call, const Json *record, Error *err)
{
    call->release = json_unref(call->release);
    return json_copy(record, &call->release) < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
}

int deploy_call_settle(DeployCall *call, DeployCallIsWanted is_wanted, void *userdata, Error *err)
{
    KeptRelease *release;

    open_policy(call);
    while ((release = releases_find_unsettled(&call->releases))) {
        bool is = false;
        int r = is_wanted(call, release, userdata, &is, err);

        r = r != 0 ? r : deploy_settle(&call->deploy, release, is, &call->outcome, err);
        if (r == DEPLOY_RESUMED) {
            r = keep_record(call, release->record, err);
            return r < 0 ? r : DEPLOY_CALL_RESUMED;
        }
        if (r != 0) {
            return r;
        }
        deploy_evidence_record_settled(call, release->record);
        if (call->host.is_cancelled(call->host.userdata)) {
            return error_set(err, -ECANCELED, "cancelled before anything was deployed");
        }
    }
    return 0;
}

int deploy_call_current(DeployCall *call, const char *app, EngineCurrent *ret, Error *err)
{
    return deploy_current(&call->deploy, app, ret, err);
}

void deploy_call_say_difference(const Json *before, const Json *specification)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_json_ Json *was = NULL, *is = NULL;

    if (!before || json_copy(before, &was) < 0 || json_copy(specification, &is) < 0) {
        return;
    }
    json_remove(was, RELEASES_ROOT); /* each release is unpacked in a place of its own */
    json_remove(is, RELEASES_ROOT);
    if (difference_append(was, is, DIFFERENCE_LINES_MAX, &text) == 0 && text.len > 0) {
        (void)printf("what changes for the engine:\n%s", buffer_text(&text));
        (void)fflush(stdout);
    }
}

/* ---- records ----------------------------------------------------------------------------------
 */

/* Says where it belongs, and is like no other: engines are asked by it long after. */
static int set_deployment(const DeployCall *call, unsigned number, Json *record)
{
    char id[ID_ENVIRONMENT_MAX + 64];
    uint32_t random;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return -EIO;
    }
    (void)snprintf(id, sizeof(id), "%.*s-%06u-%08x", ID_ENVIRONMENT_MAX,
                   call->spec->environment_name, number, random);
    return json_set_string(record, "deployment", id);
}

static int set_copy(Json *record, const char *name, const Json *value)
{
    Json *copy = NULL;

    if (!value) {
        return 0;
    }
    return json_copy(value, &copy) < 0 ? -ENOMEM : json_set_take(record, name, copy);
}

int deploy_call_new_record(const DeployCall *call, const char *kind, unsigned number,
                           const char *app, Json **ret, Error *err)
{
    const Spec *spec = call->spec;
    _cleanup_json_ Json *record = json_new_object();
    char at[CLOCK_TEXT_SIZE];
    int r = record ? json_set_string(record, "kind", kind) : -ENOMEM;

    r = r < 0 ? r : json_set_string(record, "app", app);
    r = r < 0 ? r : set_deployment(call, number, record);
    r = r < 0 ? r : json_set_string(record, "call", spec->call);
    r = r < 0 ? r : json_set_string(record, "run", spec->run);
    r = r < 0 ? r : set_copy(record, "origin", spec->origin);
    r = r < 0 ? r : set_copy(record, "approval", spec->approval);
    r = r < 0 ? r : set_copy(record, "variables", json_get(spec->environment, "variables"));
    r = r < 0 ? r : json_set_string(record, "createdAt", clock_format(clock_wall_us(), at));
    if (r < 0) {
        return error_set_errno(err, r, "cannot write the release's record");
    }
    *ret = TAKE_PTR(record);
    return 0;
}

/* ---- deploying --------------------------------------------------------------------------------
 */

int deploy_call_run(DeployCall *call, unsigned number, const EngineCurrent *before, Error *err)
{
    KeptRelease *release = releases_find(&call->releases, number);
    int r;

    if (call->host.is_cancelled(call->host.userdata)) {
        return error_set(err, -ECANCELED, "cancelled before anything was deployed");
    }
    r = deploy_run(&call->deploy, release, before, &call->outcome, err);
    return r < 0 ? r : keep_record(call, release->record, err);
}

int deploy_call_confirm(DeployCall *call, const char *app, const Json *record, Error *err)
{
    int r = deploy_confirm(&call->deploy, app, &call->outcome, err);

    if (r == 0 && call->outcome.result == DEPLOY_UNCHANGED) {
        (void)printf("it runs already; nothing to do\n");
        (void)fflush(stdout);
    }
    return r < 0 ? r : keep_record(call, record, err);
}

/* ---- the way out ------------------------------------------------------------------------------
 */

static int report_texts(const DeployCall *call)
{
    const Json *record = call->release;
    const EngineCurrent *current = &call->outcome.current;
    const char *url = json_get_string(call->spec->environment, "url");
    bool is_unchanged = call->outcome.result == DEPLOY_UNCHANGED;
    const struct {
        const char *name;
        const char *text;
    } outputs[] = {
        {"digest", json_get_string(record, "digest")},
        {"version", json_get_string(record, "version")},
        {"commit", json_get_string(record, "commit")},
        {"deployment", is_unchanged && current->deployment ? current->deployment
                                                           : json_get_string(record, "deployment")},
        {"url", url ? url : current->url},
        {"previous",
         is_unchanged ? current->digest : json_get_string(json_get(record, "before"), "digest")},
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(outputs); i++) {
        r = report_output(call->report, outputs[i].name, outputs[i].text);
    }
    return r;
}

static bool is_well(const DeployCall *call)
{
    return call->outcome.result == DEPLOY_SUCCEEDED || call->outcome.result == DEPLOY_UNCHANGED;
}

/* Of a deployment that did not succeed they say what was tried; what serves is in the reason. */
static int report_outputs(const DeployCall *call)
{
    int r = report_texts(call);

    r = r < 0 ? r : report_output_take(call->report, "seconds", json_new_number(call->seconds));
    if (r == 0 && call->outcome.is_restored) {
        r = report_output_take(call->report, "isRestored", json_new_bool(true));
    }
    if (r == 0 && is_well(call)) {
        r = report_output_take(call->report, "instances",
                               json_new_int(call->outcome.current.counts.healthy));
        r = r < 0 ? r
                  : report_output_take(call->report, "isUnchanged",
                                       json_new_bool(call->outcome.result == DEPLOY_UNCHANGED));
    }
    return r;
}

/* Not being able to forget is no reason to fail: it is said, and the next one tries again. */
static void forget(DeployCall *call)
{
    _cleanup_error_ Error problem = {0};
    int64_t keep = json_get_int(call->spec->environment, "keep", RELEASES_KEEP_DEFAULT);
    const KeptRelease *running = NULL;

    if (!call->outcome.current.deployment) {
        return; /* it is not known what runs */
    }
    running = releases_find_running(&call->releases, &call->outcome.current);
    if (releases_forget(&call->releases, (unsigned)MAX(keep, (int64_t)1), running, &problem) < 0) {
        (void)printf("cannot forget old releases: %s\n", error_text(&problem));
    }
}

static int exit_status(const DeployCall *call)
{
    switch (call->outcome.result) {
    case DEPLOY_SUCCEEDED:
    case DEPLOY_UNCHANGED:
        return EXIT_SUCCESS;
    case DEPLOY_REFUSED:
        return DEPLOY_CALL_EXIT_REFUSED;
    default:
        return EXIT_FAILURE;
    }
}

static void report_why(const DeployCall *call, const char *reason)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s\n", reason);
    if (report_reason(call->report, reason, -1) < 0) {
        (void)fprintf(stderr, "the reason could not be reported\n");
    }
}

/* It runs; but who has no receipt of that cannot go on with it, so it is no success either. */
static int end_well(DeployCall *call)
{
    _cleanup_error_ Error problem = {0};

    (void)printf("%s took %.1f s\n", call->spec->action, call->seconds);
    if (report_outputs(call) < 0) {
        report_why(call, "cannot report the outputs");
        return EXIT_FAILURE;
    }
    if (is_well(call) && deploy_evidence_state(call, &problem) < 0) {
        (void)error_wrap(&problem, "it runs, but there is no receipt of it");
        report_why(call, error_text(&problem));
        return EXIT_FAILURE;
    }
    if (call->outcome.reason) {
        report_why(call, call->outcome.reason);
    }
    forget(call);
    return exit_status(call);
}

int deploy_call_end(DeployCall *call, int r, const Error *err)
{
    const char *reason = call->outcome.reason;
    int status;

    call->seconds = (double)(clock_monotonic_ms() - call->began_ms) / 1000;
    if (r < 0 || r == DEPLOY_CALL_REFUSED) {
        reason = error_text(err);
        report_why(call, reason);
        status = r < 0 ? EXIT_FAILURE : DEPLOY_CALL_EXIT_REFUSED;
    } else {
        status = end_well(call);
    }
    deploy_evidence_record_end(call,
                               status == EXIT_SUCCESS               ? "succeeded"
                               : status == DEPLOY_CALL_EXIT_REFUSED ? "refused"
                                                                    : "failed",
                               reason);
    return status;
}
