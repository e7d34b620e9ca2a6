/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/app-record.h"

#include "protocol/base/clock.h"

#include <errno.h>
#include <string.h>

static int set_moment(Json *json, const char *name, int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];

    return json_set_string(json, name, clock_format(wall_us, text));
}

static int describe_instance(const Instance *i, Json *list)
{
    _cleanup_json_ Json *json = json_new_object();
    int r = json ? 0 : -ENOMEM;

    r = r < 0 ? r : json_set_string(json, "instance", i->id);
    if (i->pid > 0) {
        r = r < 0 ? r : json_set_int(json, "pid", i->pid);
    }
    r = r < 0 ? r : json_set_int(json, "port", i->target.port);
    r = r < 0 ? r : json_set_string(json, "deployment", i->deployment);
    r = r < 0 ? r : json_set_string(json, "state", instance_state_name(i->state));
    r = r < 0 ? r : json_set_string(json, "reason", i->problem);
    r = r < 0 ? r : set_moment(json, "startedAt", i->started_us);
    return r < 0 ? r : json_append_take(list, TAKE_PTR(json));
}

static int describe_instances(const App *app, Json **ret)
{
    _cleanup_json_ Json *list = json_new_array();
    int r = list ? 0 : -ENOMEM;

    for (const Instance *i = app->instances; r == 0 && i; i = i->next) {
        if (i->state != INSTANCE_GONE) {
            r = describe_instance(i, list);
        }
    }
    if (r == 0) {
        *ret = TAKE_PTR(list);
    }
    return r;
}

static int describe_serving(const Deployment *d, Json *json)
{
    _cleanup_free_ char *url = specification_url(d->specification);
    int r = url ? 0 : -ENOMEM;

    r = r < 0 ? r : json_set_take(json, "specification", json_ref(d->specification->json));
    r = r < 0 ? r : json_set_string(json, "deployment", d->id);
    return r < 0 ? r : json_set_string(json, "url", url);
}

int app_record_describe(const App *app, Json **ret)
{
    _cleanup_json_ Json *json = json_new_object();
    _cleanup_json_ Json *instances = NULL;
    int r = json ? json_set_string(json, "app", app->id) : -ENOMEM;

    if (r == 0 && app->serving) {
        r = describe_serving(app->serving, json);
    }
    r = r < 0 ? r : json_set_string(json, "next", app->running ? app->running->id : NULL);
    r = r < 0 ? r : json_set_string(json, "reason", app->problem);
    r = r < 0 ? r : describe_instances(app, &instances);
    r = r < 0 ? r : json_set_take(json, "instances", TAKE_PTR(instances));
    if (r == 0) {
        *ret = TAKE_PTR(json);
    }
    return r;
}

int app_record_to_json(const App *app, Json **ret)
{
    _cleanup_json_ Json *json = json_new_object();
    _cleanup_json_ Json *list = json_new_array();
    int r = json && list ? 0 : -ENOMEM;

    for (const Deployment *d = app->deployments; r == 0 && d; d = d->next) {
        Json *one = NULL;

        r = deployment_to_json(d, &one);
        r = r < 0 ? r : json_append_take(list, one);
    }
    r = r < 0 ? r : json_set_string(json, "app", app->id);
    r = r < 0 ? r : json_set_string(json, "serving", app->serving ? app->serving->id : NULL);
    r = r < 0 ? r : json_set_take(json, "deployments", TAKE_PTR(list));
    if (r == 0) {
        *ret = TAKE_PTR(json);
    }
    return r;
}

int app_record_from_json(const Json *json, App *app, Error *err)
{
    const Json *list = json_get(json, "deployments");
    const char *serving = json_get_string(json, "serving");
    Deployment **at = &app->deployments;

    for (size_t i = 0; i < json_length(list); i++) {
        int r = deployment_from_json(json_at(list, i), at, err);

        if (r < 0) {
            return r;
        }
        if (deployment_is_running(*at)) {
            app->running = *at;
        }
        if (serving && strcmp((*at)->id, serving) == 0) {
            app->serving = *at;
        }
        at = &(*at)->next;
    }
    if (serving && !app->serving) {
        return error_set(err, -EBADMSG, "the deployment '%s' that serves is not among them",
                         serving);
    }
    app->state = app->serving ? APP_SERVING : app->deployments ? APP_NEW : APP_REMOVING;
    return 0;
}
