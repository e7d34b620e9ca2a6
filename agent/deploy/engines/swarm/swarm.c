/* SPDX-License-Identifier: MIT */
/* Docker in swarm mode: a service for each app (README.md, "The swarm engine").
 *
 * A swarm has no deployments, only a service with a specification that is the wanted one from the
 * moment it is sent. So the ID of ours is a label, `slipway.deployment`, on the service and on
 * every container that is made of it: whose a task is, whether a lost answer had arrived, and
 * whether the service that is so well again is the old one, can all be read from it.
 *
 * Docker's own `rollback` swaps the last two specifications, so that done twice it brings the bad
 * one back. What was there before is sent as it was instead: instances of it that still run are
 * found unchanged by docker, and go on. */
#include "agent/deploy/engine.h"
#include "agent/deploy/engines/swarm/swarm-look.h"
#include "agent/deploy/engines/swarm/swarm-spec.h"
#include "protocol/base/clock.h"

#include <errno.h>
#include <string.h>

struct EngineSession {
    SwarmApi *api;
    /* What `apply` of this session took the place of. */
    char *deployment;
    Json *replaced;
    /* Since when a deployment has been seen with all that it wants. */
    char *settled;
    int64_t settled_since_ms;
};

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static int no_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

static EngineSession *swarm_close(EngineSession *session)
{
    if (session) {
        session->api = swarm_api_close(session->api);
        free(session->deployment);
        session->replaced = json_unref(session->replaced);
        free(session->settled);
        free(session);
    }
    return NULL;
}
DEFINE_CLEANUP(EngineSession, swarm_close)

static int swarm_open(const Json *environment, EngineSession **ret, Error *err)
{
    _cleanup_(swarm_closep) EngineSession *session = calloc(1, sizeof(*session));
    int r = session ? swarm_api_open(environment, &session->api, err) : no_memory(err);

    if (r == 0) {
        *ret = TAKE_PTR(session);
    }
    return r;
}

/* ---- current ----------------------------------------------------------------------------------
 */

static int copy_text(const char *text, char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? -ENOMEM : 0;
}

static int read_current(const SwarmLook *look, const Json *serving, EngineCurrent *ret)
{
    int r = copy_text(swarm_spec_deployment(serving), &ret->deployment);

    r = r < 0 ? r : copy_text(serving == look->spec ? NULL : look->deployment, &ret->next);
    r = r < 0 ? r : copy_text(swarm_spec_label(serving, ENGINE_LABEL_DIGEST), &ret->digest);
    r = r < 0 ? r : copy_text(swarm_spec_label(serving, ENGINE_LABEL_COMMIT), &ret->commit);
    r = r < 0 ? r : copy_text(swarm_spec_label(serving, ENGINE_LABEL_VERSION), &ret->version);
    return r < 0 ? r : json_copy(serving, &ret->specification);
}

static int swarm_current(EngineSession *session, const char *app, EngineCurrent *ret, Error *err)
{
    _cleanup_swarm_look_ SwarmLook look = {0};
    const Json *serving;
    SwarmTasks tasks;
    bool is_under_way;
    int r = swarm_look(session->api, app, &look, err);

    if (r != 0) {
        return r;
    }
    is_under_way = swarm_look_is_under_way(&look);
    if (is_under_way && !*look.update_state && !look.previous && look.own.counts.healthy == 0) {
        return ENGINE_ABSENT; /* a first one that does not serve yet */
    }
    /* While docker goes from one to the other, the other is what serves; on the way back it is the
     * one that failed. */
    serving = is_under_way && look.previous && strcmp(look.update_state, "updating") == 0 &&
                      !swarm_look_is_given_up(&look, swarm_spec_deployment(look.previous))
                  ? look.previous
                  : look.spec;
    r = swarm_look_read(session->api, &look, serving, swarm_spec_deployment(serving), &tasks, err);
    if (r != 0) {
        return r;
    }
    ret->counts = tasks.counts;
    r = read_current(&look, serving, ret);
    return r < 0 ? no_memory(err) : 0;
}

/* ---- plan -------------------------------------------------------------------------------------
 */

/* Secrets and configs of the swarm, where the specification has their names alone. */
static const struct {
    const char *list;
    const char *name;
    const char *id;
    const char *kind;
} file_kinds[] = {
    {"Secrets", "SecretName", "SecretID", "secrets"},
    {"Configs", "ConfigName", "ConfigID", "configs"},
};

static int find_files(EngineSession *session, Json *spec, Error *err)
{
    const Json *container = json_pointer(spec, "/TaskTemplate/ContainerSpec");

    for (size_t k = 0; k < ARRAY_SIZE(file_kinds); k++) {
        const Json *list = json_get(container, file_kinds[k].list);

        for (size_t i = 0; i < json_length(list); i++) {
            Json *file = json_at(list, i);
            const char *name = json_get_string(file, file_kinds[k].name);
            _cleanup_free_ char *id = NULL;
            int r = json_has(file, file_kinds[k].id)
                        ? 0
                        : swarm_api_find_file(session->api, file_kinds[k].kind, name, &id, err);

            if (r == ENGINE_ABSENT) {
                return error_set(err, -EINVAL,
                                 "/TaskTemplate/ContainerSpec/%s/%zu/%s: the swarm has no '%s' "
                                 "among its %s",
                                 file_kinds[k].list, i, file_kinds[k].name, name,
                                 file_kinds[k].kind);
            }
            if (r == 0 && id && json_set_string(file, file_kinds[k].id, id) < 0) {
                return no_memory(err);
            }
            if (r != 0) {
                return r;
            }
        }
    }
    return 0;
}

/* Docker keeps IDs of networks where it was given names. */
static int name_networks(EngineSession *session, Json *stored, const Json *wanted, Error *err)
{
    const Json *list = json_pointer(stored, "/TaskTemplate/Networks");
    const Json *names = json_pointer(wanted, "/TaskTemplate/Networks");

    for (size_t i = 0; i < json_length(list); i++) {
        const char *name = json_get_string(json_at(names, i), "Target");
        const char *id = json_get_string(json_at(list, i), "Target");
        _cleanup_free_ char *found = NULL;
        int r;

        if (!name || !id || strcmp(name, id) == 0) {
            continue;
        }
        r = swarm_api_find_network(session->api, name, &found, err);
        if (r == 0 && is_same(found, id) && json_set_string(json_at(list, i), "Target", name) < 0) {
            return no_memory(err);
        }
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* *ret_before: what runs in the terms of `wanted`, the caller's. */
static int compare(EngineSession *session, const SwarmLook *look, const Json *wanted,
                   Json **ret_before, bool *ret_is_same, Error *err)
{
    _cleanup_json_ Json *before = NULL;
    int r = swarm_spec_in_terms_of(look->spec, wanted, &before);

    if (r < 0) {
        return no_memory(err);
    }
    r = name_networks(session, before, wanted, err);
    if (r == 0 && swarm_spec_is_same(before, wanted, ret_is_same) < 0) {
        r = no_memory(err);
    }
    if (r == 0 && ret_before) {
        *ret_before = TAKE_PTR(before);
    }
    return r;
}

static int swarm_plan(EngineSession *session, const Json *specification, const EngineLabels *labels,
                      EnginePlan *ret, Error *err)
{
    _cleanup_swarm_look_ SwarmLook look = {0};
    int r = swarm_spec_check(specification, err);

    if (r < 0) {
        return r;
    }
    r = json_copy(specification, &ret->specification);
    if (r == 0) { /* for editors; docker has no such member */
        json_remove(ret->specification, "$schema");
    }
    r = r < 0 ? r : swarm_spec_add_labels(ret->specification, labels);
    r = r < 0 ? r : copy_text(json_get_string(specification, "Name"), &ret->app);
    if (r < 0) {
        return no_memory(err);
    }
    r = find_files(session, ret->specification, err);
    r = r != 0 ? r : swarm_look(session->api, ret->app, &look, err);
    if (r != 0) {
        return r == ENGINE_ABSENT ? 0 : r;
    }
    r = compare(session, &look, ret->specification, &ret->before, &ret->is_unchanged, err);
    ret->is_unchanged = r == 0 && ret->is_unchanged && !swarm_look_is_under_way(&look);
    return r;
}

/* ---- apply ------------------------------------------------------------------------------------
 */

static int remember_replaced(EngineSession *session, const char *deployment, const Json *spec)
{
    Json *copy = NULL;
    char *of = strdup(deployment);
    int r = !of ? -ENOMEM : spec ? json_copy(spec, &copy) : 0;

    if (r < 0) {
        free(of);
        return r;
    }
    free(session->deployment);
    (void)json_unref(session->replaced);
    session->deployment = of;
    session->replaced = copy;
    return 0;
}

static int begin(EngineSession *session, const SwarmLook *look, const Json *specification,
                 const char *deployment, Error *err)
{
    _cleanup_json_ Json *spec = NULL;
    const char *replaces = !look->service ? NULL : look->deployment ? look->deployment : "";
    int r = json_copy(specification, &spec);

    r = r < 0 ? r : swarm_spec_set_deployment(spec, deployment, replaces);
    r = r < 0 ? r : remember_replaced(session, deployment, look->spec);
    if (r < 0) {
        return no_memory(err);
    }
    return look->service ? swarm_api_update(session->api, look->service, spec, err)
                         : swarm_api_create(session->api, spec, err);
}

static int swarm_apply(EngineSession *session, const char *app, const Json *specification,
                       const char *deployment, Error *err)
{
    _cleanup_swarm_look_ SwarmLook look = {0};
    bool is_unchanged = false;
    int r = swarm_look(session->api, app, &look, err);

    if (r == ENGINE_ABSENT) {
        swarm_look_done(&look);
        return begin(session, &look, specification, deployment, err);
    }
    if (r != 0) {
        return r;
    }
    if (is_same(look.deployment, deployment) || swarm_look_is_given_up(&look, deployment)) {
        return 0; /* it had arrived */
    }
    if (swarm_look_is_under_way(&look)) {
        (void)error_set(err, -EBUSY, "deployment '%s' of '%s' is under way at Docker Swarm (%s)",
                        look.deployment ? look.deployment : "?", app,
                        *look.update_state ? look.update_state : "starting");
        return ENGINE_BUSY;
    }
    r = compare(session, &look, specification, NULL, &is_unchanged, err);
    if (r != 0) {
        return r;
    }
    if (is_unchanged && engine_counts_are_settled(&look.own.counts)) {
        return ENGINE_UNCHANGED;
    }
    return begin(session, &look, specification, deployment, err);
}

/* ---- poll and cancel --------------------------------------------------------------------------
 */

/* How long this session has seen the deployment with all that it wants. */
static int note_settled(EngineSession *session, const SwarmLook *look, int64_t *ret_ms, Error *err)
{
    int64_t now_ms = clock_monotonic_ms();
    bool is_known = is_same(session->settled, look->deployment);

    if (!look->deployment || !engine_counts_are_settled(&look->own.counts)) {
        free(TAKE_PTR(session->settled));
    } else if (!is_known) {
        free(session->settled);
        session->settled = strdup(look->deployment);
        session->settled_since_ms = now_ms;
        if (!session->settled) {
            return no_memory(err);
        }
    }
    *ret_ms = session->settled ? now_ms - session->settled_since_ms : 0;
    return 0;
}

static int swarm_poll(EngineSession *session, const char *app, const char *deployment,
                      EngineStatus *ret, Error *err)
{
    _cleanup_swarm_look_ SwarmLook look = {0};
    int64_t settled_for_ms = 0;
    int r = swarm_look(session->api, app, &look, err);

    if (r == ENGINE_ABSENT) {
        ret->state = ENGINE_UNKNOWN;
        return 0;
    }
    r = r != 0 ? r : note_settled(session, &look, &settled_for_ms, err);
    return r != 0 ? r : swarm_look_judge(session->api, &look, deployment, settled_for_ms, ret, err);
}

/* What was there before, as it was. NULL in *ret: it is not known for sure, so the policy sends
 * what it has kept. */
static const Json *find_replaced(const EngineSession *session, const SwarmLook *look,
                                 const char *deployment)
{
    const char *replaces = swarm_spec_label(look->spec, SWARM_LABEL_REPLACES);
    const char *before = look->previous ? swarm_spec_deployment(look->previous) : NULL;

    if (is_same(session->deployment, deployment)) {
        return session->replaced;
    }
    return look->previous && is_same(before ? before : "", replaces) ? look->previous : NULL;
}

static int give_up(EngineSession *session, const SwarmLook *look, const char *deployment,
                   Error *err)
{
    const Json *replaced = find_replaced(session, look, deployment);
    _cleanup_json_ Json *spec = NULL;
    Json *labels;
    int r;

    if (!swarm_spec_label(look->spec, SWARM_LABEL_REPLACES)) {
        return swarm_api_remove(session->api, json_get_string(look->service, "ID"), err);
    }
    r = json_copy(replaced ? replaced : look->spec, &spec);
    if (r == 0 && json_type_of(json_get(spec, "Labels")) != JSON_OBJECT) {
        r = json_set_take(spec, "Labels", json_new_object());
    }
    labels = json_get(spec, "Labels");
    r = r < 0 ? r : json_set_string(labels, SWARM_LABEL_CANCELLED, deployment);
    return r < 0 ? no_memory(err) : swarm_api_update(session->api, look->service, spec, err);
}

static int swarm_cancel(EngineSession *session, const char *app, const char *deployment, Error *err)
{
    _cleanup_swarm_look_ SwarmLook look = {0};
    _cleanup_engine_status_ EngineStatus status = {0};
    int64_t settled_for_ms = 0;
    int r = swarm_look(session->api, app, &look, err);

    if (r != 0) {
        return r == ENGINE_ABSENT ? 0 : r;
    }
    if (!is_same(look.deployment, deployment) || swarm_look_is_given_up(&look, deployment)) {
        return 0;
    }
    r = note_settled(session, &look, &settled_for_ms, err);
    r = r != 0 ? r
               : swarm_look_judge(session->api, &look, deployment, settled_for_ms, &status, err);
    if (r != 0 || status.state == ENGINE_SUCCEEDED) {
        return r;
    }
    return give_up(session, &look, deployment, err);
}

/* Monitor and the check's times are short so that a failure is soon one; start-first and pause so
 * that the old instances serve until the new ones are well, whatever happens. */
static const char default_template[] =
    "{\n"
    "  \"Name\": \"${name}-${environment}\",\n"
    "  \"TaskTemplate\": {\n"
    "    \"ContainerSpec\": {\"Image\": \"${image}\", \"Env\": [\"PORT=${port}\"]}\n"
    "  },\n"
    "  \"Mode\": {\"Replicated\": {\"Replicas\": 1}},\n"
    "  \"UpdateConfig\": {\"Order\": \"start-first\", \"FailureAction\": \"pause\", "
    "\"Monitor\": 2000000000},\n"
    "  \"EndpointSpec\": {\"Ports\": [{\"PublishedPort\": \"${port:integer}\", \"TargetPort\": "
    "\"${port:integer}\"}]}\n"
    "}\n";

const Engine engine_swarm = {
    .interface_version = ENGINE_INTERFACE_VERSION,
    .name = "swarm",
    .title = "Docker in swarm mode",
    .default_template = default_template,
    .open = swarm_open,
    .current = swarm_current,
    .plan = swarm_plan,
    .apply = swarm_apply,
    .poll = swarm_poll,
    .cancel = swarm_cancel,
    .close = swarm_close,
    .look_interval_ms = 100,
};
