/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include <errno.h>

static int describe_hints(Json *object, const ActionConfig *action)
{
    Json *hints = json_new_object();
    int r = json_set_take(object, "hints", hints);

    r = r == 0 ? json_set_bool(hints, "idempotent", action->is_idempotent) : r;
    r = r == 0 ? json_set_bool(hints, "needsApproval", action->needs_approval) : r;
    return r == 0
               ? json_set_string(hints, "environment", json_get_string(action->environment, "name"))
               : r;
}

static int describe_action(Json *actions, const ActionConfig *action, Error *err)
{
    _cleanup_json_ Json *parameters = NULL, *outputs = NULL;
    Json *object = json_new_object();
    int r = json_append_take(actions, object);

    r = r == 0 ? json_set_string(object, "name", action->name) : r;
    r = r == 0 ? json_set_string(object, "title", action->title ? action->title : action->name) : r;
    r = r == 0
            ? json_set_string(object, "description", action->description ? action->description : "")
            : r;
    r = r == 0 ? describe_hints(object, action) : r;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = action_config_load_schemas(action, &parameters, &outputs, err);
    if (r < 0) {
        return error_wrap(err, "action '%s'", action->name);
    }
    r = json_set_take(object, "parameters", TAKE_PTR(parameters));
    r = r == 0 ? json_set_take(object, "outputs", TAKE_PTR(outputs)) : r;
    return r == 0 ? 0 : error_set(err, r, "out of memory");
}

int method_actions_list(Request *request, Error *err)
{
    const AgentConfig *config = request->session->endpoint->config;
    _cleanup_json_ Json *result = json_new_object();
    Json *actions = json_new_array();
    int r = result ? json_set_take(result, "actions", actions) : -ENOMEM;

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    for (size_t i = 0; i < config->n_actions; i++) {
        r = describe_action(actions, &config->actions[i], err);
        if (r < 0) {
            return r;
        }
    }
    return request_answer_take(request, TAKE_PTR(result), err);
}
