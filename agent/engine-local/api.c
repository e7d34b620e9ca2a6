/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/api.h"

#include "agent/engine-local/app-record.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

typedef struct ApiCall {
    Engine *engine;
    const HttpRequest *request;
    const char *name; /* the last part of the path, where the row has one */
    Buffer *body;
} ApiCall;

typedef unsigned (*ApiFunction)(const ApiCall *call);

/* Consumes the value. */
static unsigned answer_take(const ApiCall *call, unsigned status, Json *json)
{
    int r = json ? json_format(json, call->body) : -ENOMEM;

    (void)json_unref(json);
    r = r < 0 ? r : buffer_append_text(call->body, "\n");
    return r < 0 ? http_error(call->body, 500, "out of memory") : status;
}

static unsigned no_such_app(const ApiCall *call)
{
    return http_error(call->body, 404, "there is no app '%s'", call->name);
}

static App *find_app(const ApiCall *call)
{
    App *app = engine_find_app(call->engine, call->name);

    return app && app_is_there(app) ? app : NULL;
}

/* ---- apps -------------------------------------------------------------------------------------
 */

static unsigned list_apps(const ApiCall *call)
{
    _cleanup_json_ Json *json = json_new_object();
    _cleanup_json_ Json *list = json_new_array();
    int r = json && list ? 0 : -ENOMEM;

    for (App *app = engine_first_app(call->engine); r == 0 && app; app = app->next) {
        Json *one = NULL;

        if (app_is_there(app)) {
            r = app_record_describe(app, &one);
            r = r < 0 ? r : json_append_take(list, one);
        }
    }
    r = r < 0 ? r : json_set_take(json, "apps", TAKE_PTR(list));
    return answer_take(call, 200, r < 0 ? NULL : TAKE_PTR(json));
}

static unsigned get_app(const ApiCall *call)
{
    const App *app = find_app(call);
    Json *json = NULL;

    if (!app) {
        return no_such_app(call);
    }
    return answer_take(call, 200, app_record_describe(app, &json) < 0 ? NULL : json);
}

static unsigned delete_app(const ApiCall *call)
{
    App *app = find_app(call);
    Json *json;

    if (!app) {
        return no_such_app(call);
    }
    app_remove(app);
    json = json_new_object();
    if (json && json_set_string(json, "app", call->name) < 0) {
        json = json_unref(json);
    }
    return answer_take(call, 200, json);
}

static unsigned answer_deployment(const ApiCall *call, unsigned status, const char *id,
                                  bool is_unchanged)
{
    _cleanup_json_ Json *json = json_new_object();
    int r = json ? json_set_string(json, "deployment", id) : -ENOMEM;

    if (r == 0 && is_unchanged) {
        r = json_set_bool(json, "isUnchanged", true);
    }
    return answer_take(call, status, r < 0 ? NULL : TAKE_PTR(json));
}

/* Whoever lost the answer asks again and gets the deployment that it began. */
static unsigned answer_repeated(const ApiCall *call, const App *app, const Deployment *d,
                                const Specification *specification)
{
    if (strcmp(app->id, call->name) != 0) {
        return http_error(call->body, 409, "deployment '%s' is one of app '%s'", d->id, app->id);
    }
    if (!specification_equal(d->specification, specification)) {
        return http_error(call->body, 409, "deployment '%s' has another specification", d->id);
    }
    return answer_deployment(call, deployment_is_running(d) ? 202 : 200, d->id, false);
}

static unsigned deploy(const ApiCall *call, const char *id, Specification *specification)
{
    _cleanup_(deployment_freep) Deployment *d = deployment_new_take(id, specification);
    _cleanup_error_ Error err = {0};
    const char *new_id;
    App *app;
    int r;

    if (!d) {
        return http_error(call->body, 500, "out of memory");
    }
    r = engine_get_app(call->engine, call->name, &app, &err);
    if (r < 0) {
        return http_error(call->body, r == -EBUSY ? 503 : 500, "%s", error_text(&err));
    }
    r = app_deploy(app, d, &err);
    if (r < 0) {
        return http_error(call->body, 500, "%s", error_text(&err));
    }
    new_id = TAKE_PTR(d)->id;
    return answer_deployment(call, 202, new_id, false);
}

static unsigned put_app(const ApiCall *call)
{
    const char *id = http_query(call->request, "deployment");
    _cleanup_(specification_freep) Specification *specification = NULL;
    _cleanup_error_ Error err = {0};
    const Deployment *known;
    App *app;
    int r;

    if (id && !text_is_identifier(id)) {
        return http_error(call->body, 400, "'%s' is no identifier of a deployment", id);
    }
    r = specification_parse(call->request->body, call->request->body_len, &specification, &err);
    if (r < 0) {
        return http_error(call->body, r == -ENOMEM ? 500 : 400, "%s", error_text(&err));
    }
    if (strcmp(specification->id, call->name) != 0) {
        return http_error(call->body, 400, "/id: is '%s', but the app is '%s'", specification->id,
                          call->name);
    }
    known = id ? engine_find_deployment(call->engine, id, &app) : NULL;
    if (known) {
        return answer_repeated(call, app, known, specification);
    }
    if (engine_is_stopping(call->engine)) {
        return http_error(call->body, 503, "the engine is stopping");
    }
    app = engine_find_app(call->engine, call->name);
    if (app && app->running) {
        return http_error(call->body, 409, "deployment '%s' of app '%s' runs", app->running->id,
                          app->id);
    }
    if (app && app_is_settled(app) &&
        specification_equal(app->serving->specification, specification)) {
        return answer_deployment(call, 200, app->serving->id, true);
    }
    return deploy(call, id, TAKE_PTR(specification));
}

/* ---- deployments ------------------------------------------------------------------------------
 */

static unsigned answer_described(const ApiCall *call, const App *app, const Deployment *d)
{
    DeploymentCounts counts = app_count(app, d);
    Json *json = NULL;

    return answer_take(call, 200, deployment_describe(d, &counts, &json) < 0 ? NULL : json);
}

static unsigned get_deployment(const ApiCall *call)
{
    App *app;
    const Deployment *d = engine_find_deployment(call->engine, call->name, &app);

    return d ? answer_described(call, app, d)
             : http_error(call->body, 404, "there is no deployment '%s'", call->name);
}

static unsigned delete_deployment(const ApiCall *call)
{
    App *app;
    Deployment *d = engine_find_deployment(call->engine, call->name, &app);

    if (!d) {
        return http_error(call->body, 404, "there is no deployment '%s'", call->name);
    }
    if (app_cancel(app, d) == -EALREADY) {
        return http_error(call->body, 409,
                          "deployment '%s' serves already: to go back, deploy what ran before",
                          d->id);
    }
    return answer_described(call, app, d);
}

static unsigned get_health(const ApiCall *call)
{
    _cleanup_json_ Json *json = json_new_object();
    int64_t n = 0;
    int r = json ? 0 : -ENOMEM;

    for (const App *app = engine_first_app(call->engine); app; app = app->next) {
        n += app_is_there(app);
    }
    r = r < 0
            ? r
            : json_set_string(json, "status", engine_is_stopping(call->engine) ? "stopping" : "ok");
    r = r < 0 ? r : json_set_int(json, "apps", n);
    r = r < 0 ? r : json_set_int(json, "connections", (int64_t)engine_connections(call->engine));
    return answer_take(call, 200, r < 0 ? NULL : TAKE_PTR(json));
}

/* ---- the table --------------------------------------------------------------------------------
 */

static const struct {
    const char *method;
    const char *path; /* with a slash at its end, a name follows */
    ApiFunction function;
} rows[] = {
    {"PUT", "/v1/apps/", put_app},
    {"GET", "/v1/apps", list_apps},
    {"GET", "/v1/apps/", get_app},
    {"DELETE", "/v1/apps/", delete_app},
    {"GET", "/v1/deployments/", get_deployment},
    {"DELETE", "/v1/deployments/", delete_deployment},
    {"GET", "/v1/health", get_health},
};

static bool path_matches(const char *row, const char *path, const char **ret_name)
{
    size_t n = strlen(row);

    if (row[n - 1] != '/') {
        return strcmp(row, path) == 0;
    }
    if (strncmp(row, path, n) != 0 || !text_is_identifier(path + n)) {
        return false;
    }
    *ret_name = path + n;
    return true;
}

unsigned api_handle(void *userdata, const HttpRequest *request, Buffer *body)
{
    ApiCall call = {.engine = userdata, .request = request, .body = body};
    bool is_known = false;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (path_matches(rows[i].path, request->path, &call.name)) {
            is_known = true;
            if (strcmp(rows[i].method, request->method) == 0) {
                return rows[i].function(&call);
            }
        }
    }
    if (is_known) {
        return http_error(body, 405, "%s is not served with %s", request->path, request->method);
    }
    return http_error(body, 404, "there is nothing at %s", request->path);
}
