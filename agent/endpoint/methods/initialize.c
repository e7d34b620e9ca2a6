/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"
#include "agent/endpoint/event-line.h"
#include "agent/endpoint/server.h"
#include "agent/endpoint/version.h"

#include <errno.h>

#define PROTOCOL_VERSION 1

static int describe_agent(Json *result, const AgentConfig *config)
{
    Json *agent = json_new_object();
    int r = json_set_take(result, "agent", agent);

    r = r == 0 ? json_set_string(agent, "name", config->name) : r;
    return r == 0 ? json_set_string(agent, "version", AGENT_VERSION) : r;
}

static Json *list_events(void)
{
    Json *names = json_new_array();

    for (CallEventType type = 0; names && type < _CALL_EVENT_TYPE_MAX; type++) {
        if (json_append_string(names, event_line_method(type)) < 0) {
            names = json_unref(names);
        }
    }
    return names;
}

static Json *list_limits(void)
{
    static const struct {
        const char *name;
        int64_t value;
    } limits[] = {
        {"maxLineBytes", SESSION_LINE_MAX},         {"maxDepth", JSON_DEPTH_MAX},
        {"maxChunkBytes", OPEN_ARTIFACT_PIECE_MAX}, {"maxPendingRequests", WAITING_MAX},
        {"maxAttachedCalls", SUBSCRIPTIONS_MAX},    {"maxConnections", SERVER_CONNECTIONS_MAX},
        {"maxQueuedCalls", CALLS_QUEUE_MAX},        {"maxInputBytes", CALLS_INPUT_MAX},
    };
    Json *object = json_new_object();

    for (size_t i = 0; object && i < ARRAY_SIZE(limits); i++) {
        if (json_set_int(object, limits[i].name, limits[i].value) < 0) {
            object = json_unref(object);
        }
    }
    return object;
}

int method_initialize(Request *request, Error *err)
{
    const AgentConfig *config = request->session->endpoint->config;
    _cleanup_json_ Json *result = json_new_object();
    int r = result ? describe_agent(result, config) : -ENOMEM;

    r = r == 0 ? json_set_int(result, "protocol", PROTOCOL_VERSION) : r;
    r = r == 0 ? json_set_take(result, "methods", dispatch_list_methods()) : r;
    r = r == 0 ? json_set_take(result, "events", list_events()) : r;
    r = r == 0 ? json_set_take(result, "limits", list_limits()) : r;
    r = r == 0 ? json_set_int(result, "slots", config->slots) : r;
    r = r == 0 ? request_answer_take(request, TAKE_PTR(result), err)
               : error_set(err, r, "out of memory");
    if (r == 0) {
        session_set_initialized(request->session);
    }
    return r;
}
