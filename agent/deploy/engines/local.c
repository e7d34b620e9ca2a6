/* SPDX-License-Identifier: MIT */
/* slipway-engine-local: HTTP with JSON on a unix socket, agent/deploy/README.md. */
#include "agent/deploy/engine.h"
#include "agent/http/http-url.h"
#include "agent/http/http.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct EngineSession {
    Http *http;
    const Json *environment;
};

/* ---- asking -----------------------------------------------------------------------------------
 */

typedef struct Answer {
    int status;
    Json *json; /* an object, or NULL */
} Answer;

static void answer_done(Answer *answer)
{
    answer->json = json_unref(answer->json);
}

/* The engine's own sentence where it gave one. */
static int fail_with(const Answer *answer, int code, const char *what, Error *err)
{
    const char *sentence = json_get_string(answer->json, "error");

    if (sentence) {
        return error_set(err, code, "the local engine cannot %s: %s", what, sentence);
    }
    return error_set(err, code, "the local engine cannot %s: status %d", what, answer->status);
}

static int ask(EngineSession *session, const char *method, const char *path, const Json *body,
               Answer *ret, Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    HttpRequest request = {.method = method, .path = path, .body = body};
    int r = http_request(session->http, &request, &response, err);

    if (r == HTTP_NO_ANSWER) {
        (void)error_wrap(err, "the local engine does not answer");
        return ENGINE_AWAY;
    }
    r = r < 0 ? r : http_response_json(&response, &ret->json, err);
    if (r < 0) {
        return error_wrap(err, "the local engine");
    }
    ret->status = response.status;
    if (ret->status >= 500) {
        (void)fail_with(ret, -EIO, "answer", err);
        return ENGINE_AWAY;
    }
    return 0;
}

/* "/v1/KIND/NAME", with "?deployment=ID" where there is one. */
static int path_of(const char *kind, const char *name, const char *deployment, Buffer *ret,
                   Error *err)
{
    int r = buffer_append_format(ret, "/v1/%s/", kind);

    r = r < 0 ? r : http_append_escaped(ret, name);
    if (r == 0 && deployment) {
        r = buffer_append_text(ret, "?deployment=");
        r = r < 0 ? r : http_append_escaped(ret, deployment);
    }
    return r < 0 ? error_set_errno(err, r, "cannot write a request to the local engine") : 0;
}

static int copy_text(const Json *object, const char *name, char **ret)
{
    const char *text = json_get_string(object, name);
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy) {
        return -ENOMEM;
    }
    *ret = copy;
    return 0;
}

/* ---- the verbs --------------------------------------------------------------------------------
 */

static EngineSession *local_close(EngineSession *session)
{
    if (session) {
        session->http = http_close(session->http);
        free(session);
    }
    return NULL;
}
DEFINE_CLEANUP(EngineSession, local_close)

static int local_open(const Json *environment, EngineSession **ret, Error *err)
{
    _cleanup_(local_closep) EngineSession *session = calloc(1, sizeof(*session));
    const char *address = json_get_string(environment, "address");
    int r;

    if (!session) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!address) {
        return error_set(err, -EINVAL,
                         "the environment has no `address`; for the local engine it "
                         "is where slipway-engine-local listens, unix:/PATH");
    }
    session->environment = environment;
    r = http_open(address, &session->http, err);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(session);
    return 0;
}

/* Instances of the deployment that serves, and the others. While one is under way its new instances
 * count as others too: nobody may take that for settled. */
static void count_instances(const Json *app, const char *serving, EngineCounts *ret)
{
    const Json *instances = json_get(app, "instances");

    *ret = (EngineCounts){
        .wanted = json_get_int(json_get(app, "specification"), "instances", 1),
    };
    for (size_t i = 0; i < json_length(instances); i++) {
        const Json *instance = json_at(instances, i);
        const char *of = json_get_string(instance, "deployment");
        const char *state = json_get_string(instance, "state");

        if (!of || !serving || strcmp(of, serving) != 0) {
            ret->old++;
        } else if (state && strcmp(state, "stopping") != 0) {
            ret->updated++;
            ret->healthy += strcmp(state, "healthy") == 0;
        }
    }
}

static int read_current(const Json *app, EngineCurrent *ret)
{
    const Json *specification = json_get(app, "specification");
    const Json *labels = json_get(specification, "labels");
    int r = copy_text(app, "deployment", &ret->deployment);

    r = r < 0 ? r : copy_text(app, "next", &ret->next);
    r = r < 0 ? r : copy_text(app, "url", &ret->url);
    r = r < 0 ? r : copy_text(labels, ENGINE_LABEL_DIGEST, &ret->digest);
    r = r < 0 ? r : copy_text(labels, ENGINE_LABEL_COMMIT, &ret->commit);
    r = r < 0 ? r : copy_text(labels, ENGINE_LABEL_VERSION, &ret->version);
    r = r < 0 ? r : json_copy(specification, &ret->specification);
    if (r == 0) {
        count_instances(app, ret->deployment, &ret->counts);
    }
    return r;
}

static int local_current(EngineSession *session, const char *app, EngineCurrent *ret, Error *err)
{
    _cleanup_(answer_done) Answer answer = {0};
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    int r = path_of("apps", app, NULL, &path, err);

    r = r < 0 ? r : ask(session, "GET", buffer_text(&path), NULL, &answer, err);
    if (r != 0) {
        return r;
    }
    if (answer.status == 404) {
        return ENGINE_ABSENT;
    }
    if (answer.status != 200) {
        return fail_with(&answer, -EIO, "say what runs", err);
    }
    r = read_current(answer.json, ret);
    return r < 0 ? error_set_errno(err, r, "cannot read what the local engine runs") : 0;
}

/* The labels that the template has for itself stay; ours are put among them. */
static int add_labels(Json *specification, const EngineLabels *wanted)
{
    Json *labels = json_get(specification, "labels");
    int r = 0;

    if (!labels) {
        r = json_set_take(specification, "labels", json_new_object());
        labels = json_get(specification, "labels");
    }
    r = r < 0 ? r : json_set_string(labels, ENGINE_LABEL_DIGEST, wanted->digest);
    r = r < 0 ? r : json_set_string(labels, ENGINE_LABEL_COMMIT, wanted->commit);
    return r < 0 ? r : json_set_string(labels, ENGINE_LABEL_VERSION, wanted->version);
}

static int check_specification(const Json *specification, Error *err)
{
    const char *id = json_get_string(specification, "id");
    JsonType labels = json_type_of(json_get(specification, "labels"));

    if (json_type_of(specification) != JSON_OBJECT) {
        return error_set(err, -EINVAL, "the local engine's specification is a JSON object");
    }
    if (!id || !text_is_identifier(id)) {
        return error_set(err, -EINVAL,
                         "/id: the app's name is expected: 1 to %d characters of [A-Za-z0-9._-], "
                         "not '%s'",
                         TEXT_IDENTIFIER_MAX, id ? id : "");
    }
    if (json_has(specification, "labels") && labels != JSON_OBJECT) {
        return error_set(err, -EINVAL, "/labels: an object is expected");
    }
    return 0;
}

static int local_plan(EngineSession *session, const Json *specification, const EngineLabels *labels,
                      EnginePlan *ret, Error *err)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    int r = check_specification(specification, err);

    if (r < 0) {
        return r;
    }
    r = json_copy(specification, &ret->specification);
    r = r < 0 ? r : add_labels(ret->specification, labels);
    r = r < 0 ? r : copy_text(specification, "id", &ret->app);
    if (r < 0) {
        return error_set_errno(err, r, "cannot write the specification");
    }
    r = local_current(session, ret->app, &current, err);
    if (r == ENGINE_ABSENT) {
        return 0;
    }
    ret->is_unchanged = r == 0 && !current.next && current.specification &&
                        json_equal(current.specification, ret->specification);
    return r;
}

static int local_apply(EngineSession *session, const char *app, const Json *specification,
                       const char *deployment, Error *err)
{
    _cleanup_(answer_done) Answer answer = {0};
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    int r = path_of("apps", app, deployment, &path, err);

    r = r < 0 ? r : ask(session, "PUT", buffer_text(&path), specification, &answer, err);
    if (r != 0) {
        return r;
    }
    if (answer.status == 409) {
        (void)fail_with(&answer, -EBUSY, "begin a deployment", err);
        return ENGINE_BUSY;
    }
    if (!http_status_is_success(answer.status)) {
        return fail_with(&answer, -EINVAL, "take the specification", err);
    }
    return json_get_bool(answer.json, "isUnchanged", false) ? ENGINE_UNCHANGED : 0;
}

static EngineState state_named(const char *name)
{
    static const char *const names[_ENGINE_STATE_MAX] = {
        [ENGINE_RUNNING] = "running",
        [ENGINE_SUCCEEDED] = "succeeded",
        [ENGINE_FAILED] = "failed",
        [ENGINE_CANCELLED] = "cancelled",
    };

    for (EngineState state = 0; name && state < _ENGINE_STATE_MAX; state++) {
        if (names[state] && strcmp(names[state], name) == 0) {
            return state;
        }
    }
    return _ENGINE_STATE_MAX;
}

static int read_log(const Json *lines, char **ret)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_length(lines); i++) {
        const char *line = json_as_string(json_at(lines, i));

        r = buffer_append_format(&text, "%s\n", line ? line : "");
    }
    if (r == 0 && text.len > 0) {
        *ret = buffer_take_text(&text);
        r = *ret ? 0 : -ENOMEM;
    }
    return r;
}

static int read_status(const Json *deployment, EngineStatus *ret)
{
    const Json *counts = json_get(deployment, "instances");
    int r = copy_text(deployment, "phase", &ret->phase);

    r = r < 0 ? r : copy_text(deployment, "reason", &ret->reason);
    r = r < 0 ? r : read_log(json_get(deployment, "logTail"), &ret->log);
    ret->counts = (EngineCounts){
        .wanted = json_get_int(counts, "wanted", 1),
        .updated = json_get_int(counts, "updated", 0),
        .healthy = json_get_int(counts, "healthy", 0),
        .old = json_get_int(counts, "old", 0),
    };
    return r;
}

static int local_poll(EngineSession *session, const char *app, const char *deployment,
                      EngineStatus *ret, Error *err)
{
    _cleanup_(answer_done) Answer answer = {0};
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    const char *name;
    int r = path_of("deployments", deployment, NULL, &path, err);

    r = r < 0 ? r : ask(session, "GET", buffer_text(&path), NULL, &answer, err);
    if (r != 0) {
        return r;
    }
    if (answer.status == 404) {
        ret->state = ENGINE_UNKNOWN;
        return 0;
    }
    if (answer.status != 200) {
        return fail_with(&answer, -EIO, "say how the deployment is doing", err);
    }
    name = json_get_string(answer.json, "state");
    ret->state = state_named(name);
    if (ret->state == _ENGINE_STATE_MAX) {
        ret->state = ENGINE_UNKNOWN;
        return error_set(err, -EBADMSG, "the local engine gives deployment '%s' the state '%s'",
                         deployment, name ? name : "");
    }
    r = read_status(answer.json, ret);
    return r < 0 ? error_set_errno(err, r, "cannot read the deployment's state") : 0;
}

static int local_cancel(EngineSession *session, const char *app, const char *deployment, Error *err)
{
    _cleanup_(answer_done) Answer answer = {0};
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    int r = path_of("deployments", deployment, NULL, &path, err);

    r = r < 0 ? r : ask(session, "DELETE", buffer_text(&path), NULL, &answer, err);
    if (r != 0) {
        return r;
    }
    /* 409: it has ended meanwhile. */
    if (http_status_is_success(answer.status) || answer.status == 404 || answer.status == 409) {
        return 0;
    }
    return fail_with(&answer, -EIO, "cancel the deployment", err);
}

static const char default_template[] = "{\n"
                                       "  \"id\": \"${name}-${environment}\",\n"
                                       "  \"root\": \"${root}\",\n"
                                       "  \"command\": \"${command:json}\",\n"
                                       "  \"workingDirectory\": \"${workingDirectory}\",\n"
                                       "  \"env\": \"${env:json}\",\n"
                                       "  \"port\": \"${port:integer}\",\n"
                                       "  \"health\": {\"path\": \"/health\"}\n"
                                       "}\n";

const Engine engine_local = {
    .interface_version = ENGINE_INTERFACE_VERSION,
    .name = "local",
    .title = "slipway-engine-local on this host",
    .default_template = default_template,
    .needs_root = true,
    .open = local_open,
    .current = local_current,
    .plan = local_plan,
    .apply = local_apply,
    .poll = local_poll,
    .cancel = local_cancel,
    .close = local_close,
};
