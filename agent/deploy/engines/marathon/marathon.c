/* SPDX-License-Identifier: MIT */
/* Marathon's REST API, version 2: agent/deploy/README.md, "The marathon engine".
 *
 * The ID of a deployment stands in a label of the app, because Marathon's own is known only from an
 * answer that may be lost, and is forgotten as soon as the deployment has ended, however it ended.
 * What is remembered here between verbs (Marathon's ID, what was cancelled, failures that were
 * seen) makes answers tighter; a session without it comes to the same ends. */
#include "agent/deploy/engine-server.h"
#include "agent/deploy/engine.h"
#include "agent/deploy/engines/marathon/marathon-app.h"
#include "agent/deploy/engines/marathon/marathon-compare.h"
#include "agent/deploy/engines/marathon/marathon-reason.h"
#include "agent/http/http-url.h"
#include "agent/http/http.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/clock.h"
#include "protocol/base/text.h"
#include "protocol/schema.h"
#include "protocol/validate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A deployment that was just taken may not be listed yet; after this it is not coming. */
#define LISTING_MS ((int64_t)2000)
/* A service that ended so often ends again. */
#define FAILURES_MAX 2
/* Of the versions of an app, how many are looked through for a deployment that is no more. */
#define VERSIONS_MAX 5

#define EMBEDDED                                                                        \
    "?embed=app.tasks&embed=app.counts&embed=app.deployments&embed=app.lastTaskFailure" \
    "&embed=app.readiness"

struct EngineSession {
    EngineServer *server;
    char *applied;   /* the deployment that this session asked for, */
    char *own_id;    /* what Marathon calls it, */
    char *cancelled; /* and the one that it gave up */
    int64_t missing_since_ms;
    char *failed_task; /* whose failure was seen last */
    int failures;
    int looks_at_rest; /* in a row, at a deployment that looks done */
};

static const EngineServerTraits traits = {
    .title = "Marathon",
    .example = "https://marathon.example:8443",
    .token_prefix = "token=",
};

/* ---- asking -----------------------------------------------------------------------------------
 */

static int remember(char **place, const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy) {
        return -ENOMEM;
    }
    free(*place);
    *place = copy;
    return 0;
}

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* "/v2/apps/GROUP/APP" and what follows. */
static int app_path(const char *app, const char *rest, Buffer *ret)
{
    int r = buffer_append_text(ret, "/v2/apps");

    while (r == 0 && *app) {
        size_t n = strcspn(app, "/");
        _cleanup_free_ char *part = strndup(app, n);

        r = !part ? -ENOMEM : n > 0 ? buffer_append_text(ret, "/") : 0;
        r = r < 0 ? r : http_append_escaped(ret, part);
        app += n + (app[n] == '/');
    }
    return r < 0 ? r : buffer_append_text(ret, rest);
}

/* What Marathon said, in full, as a failure. */
static int fail_with(const EngineSession *session, const EngineReply *reply, int code,
                     const char *what, Error *err)
{
    const char *file = engine_server_credentials_file(session->server);
    _cleanup_buffer_ Buffer said = BUFFER_INIT(0);
    int status = reply->response.status;
    int r = json_get_string(reply->json, "message")
                ? marathon_reason_append_error(reply->json, &said)
                : engine_reply_append_said(reply, &said);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    if (status == 401 || status == 403) {
        return error_set(err, -EACCES, "Marathon refuses to %s (%d, %s): %s", what, status,
                         file ? file : "no credentialsFile is given", buffer_text(&said));
    }
    return error_set(err, code, "Marathon cannot %s (%d): %s", what, status, buffer_text(&said));
}

/* 0 with any status below 500. */
static int ask(EngineSession *session, const char *method, const char *path, const Json *body,
               const char *what, EngineReply *ret, Error *err)
{
    int r = engine_server_ask(session->server, method, path, body, ret, err);

    if (r == 0 && ret->response.status >= 500) {
        (void)fail_with(session, ret, -EIO, what, err);
        return ENGINE_AWAY;
    }
    return r;
}

/* An app as it is now; ENGINE_ABSENT. *ret is the reply's. */
static int get_app(EngineSession *session, const char *app, EngineReply *reply, const Json **ret,
                   Error *err)
{
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    int r = app_path(app, EMBEDDED, &path);

    r = r < 0 ? error_set(err, r, "out of memory")
              : ask(session, "GET", buffer_text(&path), NULL, "say what runs", reply, err);
    if (r != 0) {
        return r;
    }
    if (reply->response.status == 404) {
        return ENGINE_ABSENT;
    }
    if (!http_status_is_success(reply->response.status)) {
        return fail_with(session, reply, -EIO, "say what runs", err);
    }
    *ret = json_get(reply->json, "app");
    if (json_type_of(*ret) != JSON_OBJECT || !json_get_string(*ret, "version")) {
        return error_set(err, -EBADMSG,
                         "%s: the answer for '%s' has no app in it; is that Marathon, with its API "
                         "version 2?",
                         reply->address, app);
    }
    return 0;
}

/* The app as it was at `version`: the reply's own JSON. NULL when Marathon has forgotten it. */
static int get_version(EngineSession *session, const char *app, const char *version,
                       EngineReply *reply, Error *err)
{
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    int r = app_path(app, "/versions", &path);

    if (r == 0 && version) {
        r = buffer_append_text(&path, "/");
        r = r < 0 ? r : http_append_escaped(&path, version);
    }
    r = r < 0 ? error_set(err, r, "out of memory")
              : ask(session, "GET", buffer_text(&path), NULL, "say what ran", reply, err);
    if (r == 0 && reply->response.status == 404) {
        reply->json = json_unref(reply->json);
        return 0;
    }
    return r != 0 || http_status_is_success(reply->response.status)
               ? r
               : fail_with(session, reply, -EIO, "say what ran", err);
}

/* ---- open, close ------------------------------------------------------------------------------
 */

static EngineSession *marathon_close(EngineSession *session)
{
    if (session) {
        session->server = engine_server_close(session->server);
        free(session->applied);
        free(session->own_id);
        free(session->cancelled);
        free(session->failed_task);
        free(session);
    }
    return NULL;
}
DEFINE_CLEANUP(EngineSession, marathon_close)

static int marathon_open(const Json *environment, EngineSession **ret, Error *err)
{
    _cleanup_(marathon_closep) EngineSession *session = calloc(1, sizeof(*session));
    int r;

    if (!session) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    session->missing_since_ms = -1;
    r = engine_server_open(environment, &traits, &session->server, err);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(session);
    return 0;
}

/* ---- current ----------------------------------------------------------------------------------
 */

static int copy_label(const Json *app, const char *name, char **ret)
{
    return remember(ret, marathon_app_label(app, name));
}

static int digest_of(const Json *specification, char ret[static DIGEST_HEX_SIZE])
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = json_format(specification, &text);

    return r < 0 ? r : digest_bytes(text.data, text.len, ret);
}

/* What somebody else deployed has no ID of ours. It is named by what it is, so that it is found
 * again when Marathon has gone back to it as another version. */
static int name_foreign(const Json *specification, char **ret)
{
    char digest[DIGEST_HEX_SIZE];
    int r = digest_of(specification, digest);

    if (r == 0 && asprintf(ret, "foreign-%.12s", digest) < 0) {
        *ret = NULL;
        r = -ENOMEM;
    }
    return r;
}

/* `config` is what serves, `app` has the tasks. */
static int fill_current(const Json *app, const Json *config, const char *config_version,
                        EngineCurrent *ret, Error *err)
{
    int r = copy_label(config, ENGINE_LABEL_DEPLOYMENT, &ret->deployment);

    r = r < 0 ? r : copy_label(config, ENGINE_LABEL_DIGEST, &ret->digest);
    r = r < 0 ? r : copy_label(config, ENGINE_LABEL_COMMIT, &ret->commit);
    r = r < 0 ? r : copy_label(config, ENGINE_LABEL_VERSION, &ret->version);
    r = r < 0 ? r : marathon_app_specification(config, &ret->specification);
    if (r == 0 && !ret->deployment) {
        r = name_foreign(ret->specification, &ret->deployment);
    }
    if (r == 0 && marathon_app_is_locked(app)) {
        const char *next = marathon_app_label(app, ENGINE_LABEL_DEPLOYMENT);

        r = remember(&ret->next, next ? next : marathon_app_deployment(app));
    }
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    marathon_app_count(app, config_version, &ret->counts);
    return 0;
}

/* A first deployment that is under way does not serve. */
static int is_first(EngineSession *session, const char *name, const Json *app, bool *ret,
                    Error *err)
{
    _cleanup_engine_reply_ EngineReply versions = {0};
    EngineCounts counts;
    int r;

    marathon_app_count(app, marathon_app_config_version(app), &counts);
    *ret = false;
    if (!marathon_app_is_locked(app) || counts.healthy > 0) {
        return 0;
    }
    r = get_version(session, name, NULL, &versions, err);
    *ret = r == 0 && json_length(json_get(versions.json, "versions")) == 1;
    return r;
}

/* While a deployment is under way the app is what is wanted; what serves is what its old tasks
 * are. */
static int marathon_current(EngineSession *session, const char *name, EngineCurrent *ret,
                            Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0}, old = {0};
    const Json *app = NULL;
    const char *old_version = NULL;
    bool is = false;
    int r = get_app(session, name, &reply, &app, err);

    if (r != 0) {
        return r;
    }
    old_version = marathon_app_is_locked(app) ? marathon_app_old_version(app) : NULL;
    r = old_version ? get_version(session, name, old_version, &old, err)
                    : is_first(session, name, app, &is, err);
    if (r != 0 || is) {
        return r != 0 ? r : ENGINE_ABSENT;
    }
    if (json_type_of(old.json) == JSON_OBJECT) {
        r = fill_current(app, old.json, old_version, ret, err);
        ret->counts.old += ret->counts.updated - ret->counts.healthy;
        return r;
    }
    return fill_current(app, app, marathon_app_config_version(app), ret, err);
}

/* ---- plan -------------------------------------------------------------------------------------
 */

static int check_specification(const Json *specification, Error *err)
{
    _cleanup_json_ Json *schema = NULL;
    int r = schema_load("marathon-app", &schema, err);

    return r < 0 ? r : validate_value(schema, specification, NULL, 0, err);
}

/* Marathon knows an app by its absolute name, and so do we from here on. */
static int set_id(Json *specification, char **ret)
{
    const char *id = json_get_string(specification, "id");

    if (asprintf(ret, "%s%s", *id == '/' ? "" : "/", id) < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    return json_set_string(specification, "id", *ret);
}

static int set_labels(Json *specification, const EngineLabels *wanted)
{
    Json *labels = json_get(specification, "labels");
    int r = 0;

    if (!labels) {
        r = json_set_take(specification, "labels", json_new_object());
        labels = json_get(specification, "labels");
    }
    if (r < 0) {
        return r;
    }
    json_remove(labels, ENGINE_LABEL_DEPLOYMENT); /* of what ran under another ID */
    json_remove(labels, MARATHON_LABEL_SENT);
    r = json_set_string(labels, ENGINE_LABEL_DIGEST, wanted->digest);
    r = r < 0 ? r : json_set_string(labels, ENGINE_LABEL_COMMIT, wanted->commit);
    return r < 0 ? r : json_set_string(labels, ENGINE_LABEL_VERSION, wanted->version);
}

/* The app is what `specification` asks for, and rests. */
static bool is_unchanged(const Json *app, const Json *specification)
{
    const char *sent = marathon_app_label(app, MARATHON_LABEL_SENT);
    char digest[DIGEST_HEX_SIZE];

    return sent && !marathon_app_is_locked(app) && digest_of(specification, digest) == 0 &&
           strcmp(sent, digest) == 0 && marathon_compare_covers(specification, app);
}

static int compare_with_running(EngineSession *session, EnginePlan *plan, Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    _cleanup_json_ Json *running = NULL;
    const Json *app = NULL;
    int r = get_app(session, plan->app, &reply, &app, err);

    if (r != 0) {
        return r == ENGINE_ABSENT ? 0 : r;
    }
    plan->is_unchanged = is_unchanged(app, plan->specification);
    r = marathon_app_specification(app, &running);
    r = r < 0 ? r : marathon_compare_reduce(running, plan->specification, &plan->before);
    return r < 0 ? error_set(err, r, "cannot compare with what runs") : 0;
}

static int marathon_plan(EngineSession *session, const Json *specification,
                         const EngineLabels *labels, EnginePlan *ret, Error *err)
{
    int r = check_specification(specification, err);

    if (r < 0) {
        return r;
    }
    r = json_copy(specification, &ret->specification);
    json_remove(ret->specification, "$schema");
    r = r < 0 ? r : set_id(ret->specification, &ret->app);
    r = r < 0 ? r : set_labels(ret->specification, labels);
    if (r < 0) {
        return error_set_errno(err, r, "cannot write the specification");
    }
    return compare_with_running(session, ret, err);
}

/* ---- apply ------------------------------------------------------------------------------------
 */

/* What is put back keeps the digest of what was sent for it. */
static int make_body(const Json *specification, const char *deployment, Json **ret)
{
    _cleanup_json_ Json *body = NULL;
    char digest[DIGEST_HEX_SIZE];
    int r = json_copy(specification, &body);
    Json *labels = json_get(body, "labels");

    if (r == 0 && !labels) {
        r = json_set_take(body, "labels", json_new_object());
        labels = json_get(body, "labels");
    }
    if (r == 0 && !json_has(labels, MARATHON_LABEL_SENT)) {
        r = digest_of(specification, digest);
        r = r < 0 ? r : json_set_string(labels, MARATHON_LABEL_SENT, digest);
    }
    r = r < 0 ? r : json_set_string(labels, ENGINE_LABEL_DEPLOYMENT, deployment);
    if (r == 0) {
        *ret = TAKE_PTR(body);
    }
    return r;
}

/* Forgets what was seen of others. */
static int begin(EngineSession *session, const char *deployment, const char *own_id)
{
    int r = remember(&session->applied, deployment);

    session->failures = 0;
    session->looks_at_rest = 0;
    session->missing_since_ms = -1;
    r = r < 0 ? r : remember(&session->failed_task, NULL);
    return r < 0 ? r : remember(&session->own_id, own_id);
}

/* It is there already (ours, or the same), or the way is free. */
static int look_before(EngineSession *session, const char *name, const Json *specification,
                       const char *deployment, bool *ret_is_there, Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    const Json *app = NULL;
    EngineCounts counts;
    int r = get_app(session, name, &reply, &app, err);

    *ret_is_there = false;
    if (r != 0) {
        return r == ENGINE_ABSENT ? 0 : r;
    }
    if (is_same(marathon_app_label(app, ENGINE_LABEL_DEPLOYMENT), deployment)) {
        *ret_is_there = true;
        r = begin(session, deployment, marathon_app_deployment(app));
        return r < 0 ? error_set(err, r, "out of memory") : 0;
    }
    marathon_app_count(app, marathon_app_config_version(app), &counts);
    return engine_counts_are_settled(&counts) && is_unchanged(app, specification) ? ENGINE_UNCHANGED
                                                                                  : 0;
}

static bool is_busy(const EngineReply *reply)
{
    const char *said = json_get_string(reply->json, "message");

    return reply->response.status == 409 ||
           (reply->response.status == 403 && said && text_has_prefix(said, "Max number"));
}

static int put(EngineSession *session, const char *name, const Json *body, const char *deployment,
               Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    int r = app_path(name, "?partialUpdate=false", &path);

    r = r < 0 ? error_set(err, r, "out of memory")
              : ask(session, "PUT", buffer_text(&path), body, "begin a deployment", &reply, err);
    if (r != 0) {
        return r;
    }
    if (is_busy(&reply)) {
        (void)fail_with(session, &reply, -EBUSY, "begin a deployment", err);
        return ENGINE_BUSY;
    }
    if (!http_status_is_success(reply.response.status)) {
        return fail_with(session, &reply, -EINVAL, "take the app", err);
    }
    r = begin(session, deployment, json_get_string(reply.json, "deploymentId"));
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static int marathon_apply(EngineSession *session, const char *app, const Json *specification,
                          const char *deployment, Error *err)
{
    _cleanup_json_ Json *body = NULL;
    bool is_there = false;
    int r = look_before(session, app, specification, deployment, &is_there, err);

    if (r != 0 || is_there) {
        return r;
    }
    r = make_body(specification, deployment, &body);
    return r < 0 ? error_set_errno(err, r, "cannot write the app")
                 : put(session, app, body, deployment, err);
}

/* ---- poll -------------------------------------------------------------------------------------
 */

/* The app is gone, or never was; its tasks may still be ending. */
static int poll_absent(EngineSession *session, const char *name, const char *deployment,
                       EngineStatus *ret, Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    int r = ask(session, "GET", "/v2/deployments", NULL, "list deployments", &reply, err);

    if (r != 0) {
        return r;
    }
    if (!http_status_is_success(reply.response.status)) {
        return fail_with(session, &reply, -EIO, "list deployments", err);
    }
    ret->state = is_same(session->cancelled, deployment) ? ENGINE_CANCELLED : ENGINE_UNKNOWN;
    for (size_t i = 0; i < json_length(reply.json); i++) {
        const Json *apps = json_get(json_at(reply.json, i), "affectedApps");

        for (size_t at = 0; at < json_length(apps); at++) {
            if (is_same(json_as_string(json_at(apps, at)), name)) {
                ret->state = ENGINE_RUNNING;
            }
        }
    }
    return 0;
}

/* Is it among the last versions of the app? Then it was there, and another took its place. */
static int find_in_versions(EngineSession *session, const char *name, const char *deployment,
                            bool *ret, Error *err)
{
    _cleanup_engine_reply_ EngineReply list = {0};
    const Json *versions;
    int r = get_version(session, name, NULL, &list, err);

    versions = json_get(list.json, "versions");
    *ret = false;
    for (size_t i = 0; r == 0 && !*ret && i < MIN(json_length(versions), (size_t)VERSIONS_MAX);
         i++) {
        _cleanup_engine_reply_ EngineReply one = {0};
        const char *version = json_as_string(json_at(versions, i));

        r = version ? get_version(session, name, version, &one, err) : 0;
        *ret = r == 0 && is_same(marathon_app_label(one.json, ENGINE_LABEL_DEPLOYMENT), deployment);
    }
    return r;
}

static int set_reason(EngineStatus *status, Buffer *text, Error *err)
{
    if (text->len > 0) {
        status->reason = buffer_take_text(text);
        return status->reason ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

/* Another configuration is wanted than the deployment's. */
static int poll_other(EngineSession *session, const char *name, const Json *app,
                      const char *deployment, EngineStatus *ret, Error *err)
{
    const char *other = marathon_app_label(app, ENGINE_LABEL_DEPLOYMENT);
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    bool was_there = is_same(session->applied, deployment);
    EngineCounts counts;
    int r = 0;

    marathon_app_count(app, marathon_app_config_version(app), &counts);
    if (is_same(session->cancelled, deployment)) {
        ret->state = marathon_app_is_locked(app) || !engine_counts_are_settled(&counts)
                         ? ENGINE_RUNNING
                         : ENGINE_CANCELLED;
        return 0;
    }
    r = was_there ? 0 : find_in_versions(session, name, deployment, &was_there, err);
    if (r != 0) {
        return r;
    }
    ret->state = was_there ? ENGINE_CANCELLED : ENGINE_UNKNOWN;
    if (was_there) {
        r = buffer_append_format(&text,
                                 "somebody else cancelled it at Marathon, or deployed over it: "
                                 "'%s' is wanted there now",
                                 other ? other : json_get_string(app, "version"));
    }
    return r < 0 ? error_set(err, r, "out of memory") : set_reason(ret, &text, err);
}

/* Counts failures of tasks that are not the same; each is shown again and again. */
static int count_failures(EngineSession *session, const Json *failure)
{
    const char *task = json_get_string(failure, "taskId");

    if (!task || is_same(session->failed_task, task)) {
        return 0;
    }
    session->failures++;
    return remember(&session->failed_task, task);
}

static int append_what_holds_it_up(EngineSession *session, const char *name, const Json *app,
                                   const EngineCounts *counts, Buffer *text)
{
    _cleanup_engine_reply_ EngineReply queue = {0};
    int r = marathon_reason_append_check(app, marathon_app_config_version(app), text);

    if (r < 0 || text->len > 0 || counts->updated >= counts->wanted) {
        return r;
    }
    /* Without the queue there is no reason, and that is all: the next look has it. */
    if (ask(session, "GET", "/v2/queue", NULL, "say what it waits for", &queue, NULL) != 0) {
        return 0;
    }
    return marathon_reason_append_queue(queue.json, name, text);
}

/* It is under way: how far, and why no further. */
static int poll_running(EngineSession *session, const char *name, const Json *app,
                        EngineStatus *ret, Error *err)
{
    const Json *failure = marathon_reason_failure(app, marathon_app_config_version(app));
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    MarathonVerdict verdict = failure ? marathon_reason_judge(failure) : MARATHON_WAIT;
    int r = failure ? count_failures(session, failure) : 0;

    ret->state = ENGINE_RUNNING;
    if (failure) {
        bool is_again = verdict == MARATHON_SUSPECT && session->failures >= FAILURES_MAX;

        ret->state = is_again || verdict == MARATHON_HOPELESS ? ENGINE_FAILING : ENGINE_RUNNING;
        r = r < 0 ? r : buffer_append_text(&text, is_again ? "it crashes again and again: " : "");
        r = r < 0 ? r : marathon_reason_append_failure(app, failure, &text);
    } else if (r == 0) {
        r = append_what_holds_it_up(session, name, app, &ret->counts, &text);
    }
    return r < 0 ? error_set(err, r, "out of memory") : set_reason(ret, &text, err);
}

/* Readiness is asked within the deployment only, so with such checks one look at a list that it may
 * be late on is not enough. */
static bool rests(EngineSession *session, const Json *app, const EngineCounts *counts)
{
    bool is_at_rest = !marathon_app_is_locked(app) && engine_counts_are_settled(counts);
    int wanted = json_length(json_get(app, "readinessChecks")) > 0 ? 3 : 1;

    session->looks_at_rest = is_at_rest ? session->looks_at_rest + 1 : 0;
    return session->looks_at_rest >= wanted;
}

static int marathon_poll(EngineSession *session, const char *name, const char *deployment,
                         EngineStatus *ret, Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    const Json *app = NULL;
    int r = get_app(session, name, &reply, &app, err);

    if (r == ENGINE_ABSENT) {
        return poll_absent(session, name, deployment, ret, err);
    }
    if (r != 0) {
        return r;
    }
    if (!is_same(marathon_app_label(app, ENGINE_LABEL_DEPLOYMENT), deployment)) {
        return poll_other(session, name, app, deployment, ret, err);
    }
    marathon_app_count(app, marathon_app_config_version(app), &ret->counts);
    if (rests(session, app, &ret->counts)) {
        ret->state = ENGINE_SUCCEEDED;
        return 0;
    }
    if (is_same(session->cancelled, deployment) && !marathon_app_is_locked(app)) {
        ret->state = ENGINE_CANCELLED; /* given up without a way back: the policy has one */
        return 0;
    }
    return poll_running(session, name, app, ret, err);
}

/* ---- cancel -----------------------------------------------------------------------------------
 */

/* 1: not listed, but it may be yet. */
static int delete_deployment(EngineSession *session, const char *id, Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    int r = buffer_append_text(&path, "/v2/deployments/");

    r = r < 0 ? r : http_append_escaped(&path, id);
    r = r < 0
            ? error_set(err, r, "out of memory")
            : ask(session, "DELETE", buffer_text(&path), NULL, "cancel a deployment", &reply, err);
    if (r != 0 || http_status_is_success(reply.response.status)) {
        return r;
    }
    if (reply.response.status != 404) {
        return fail_with(session, &reply, -EIO, "cancel the deployment", err);
    }
    session->missing_since_ms =
        session->missing_since_ms < 0 ? clock_monotonic_ms() : session->missing_since_ms;
    if (clock_monotonic_ms() - session->missing_since_ms < LISTING_MS) {
        (void)error_set(err, -EIO, "Marathon does not list deployment %s so far", id);
        return ENGINE_AWAY;
    }
    return 0;
}

static int marathon_cancel(EngineSession *session, const char *name, const char *deployment,
                           Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    const Json *app = NULL;
    const char *own_id;
    EngineCounts counts;
    int r = get_app(session, name, &reply, &app, err);

    if (r == ENGINE_ABSENT ||
        (r == 0 && !is_same(marathon_app_label(app, ENGINE_LABEL_DEPLOYMENT), deployment))) {
        return 0;
    }
    if (r != 0) {
        return r;
    }
    marathon_app_count(app, marathon_app_config_version(app), &counts);
    own_id = marathon_app_deployment(app);
    if (!own_id && engine_counts_are_settled(&counts)) {
        return 0;
    }
    own_id = own_id ? own_id : is_same(session->applied, deployment) ? session->own_id : NULL;
    r = own_id ? delete_deployment(session, own_id, err) : 0;
    if (r == 0 && remember(&session->cancelled, deployment) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return r;
}

/* ---- the engine -------------------------------------------------------------------------------
 */

static const char default_template[] =
    "{\n"
    "  \"id\": \"/${name}-${environment}\",\n"
    "  \"container\": {\n"
    "    \"type\": \"DOCKER\",\n"
    "    \"docker\": {\"image\": \"${image}\"},\n"
    "    \"portMappings\": [{\"containerPort\": \"${port:integer}\", \"hostPort\": 0}]\n"
    "  },\n"
    "  \"networks\": [{\"mode\": \"container/bridge\"}],\n"
    "  \"env\": {\"PORT\": \"${port}\"},\n"
    "  \"cpus\": 0.1,\n"
    "  \"mem\": 128,\n"
    "  \"healthChecks\": [{\"protocol\": \"HTTP\", \"path\": \"/health\", \"portIndex\": 0,\n"
    "                    \"intervalSeconds\": 5, \"timeoutSeconds\": 4}]\n"
    "}\n";

const Engine engine_marathon = {
    .interface_version = ENGINE_INTERFACE_VERSION,
    .name = "marathon",
    .title = "Marathon",
    .default_template = default_template,
    .open = marathon_open,
    .current = marathon_current,
    .plan = marathon_plan,
    .apply = marathon_apply,
    .poll = marathon_poll,
    .cancel = marathon_cancel,
    .close = marathon_close,
    .look_interval_ms = 300,
};
