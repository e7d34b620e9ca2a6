/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include <errno.h>

/* 0 where it is not given: then the configured limit counts. */
static int64_t milliseconds(const Json *params, const char *name)
{
    double seconds = json_as_number(json_get(params, name), 0);

    return seconds > 0 ? MAX((int64_t)(seconds * 1000), 1) : 0;
}

static int answer(Request *request, Call *call, bool is_existing, Error *err)
{
    _cleanup_json_ Json *result = json_new_object();
    int r = result ? json_set_string(result, "call", call_id(call)) : -ENOMEM;

    r = r == 0 ? call_describe_state(request->session->endpoint->calls, call, result) : r;
    r = r == 0 ? json_set_bool(result, "isExisting", is_existing) : r;
    return r == 0 ? request_answer_take(request, TAKE_PTR(result), err)
                  : error_set(err, r, "out of memory");
}

int method_calls_start(Request *request, Error *err)
{
    Session *session = request->session;
    const Json *params = request->params;
    CallRequest wanted = {
        .action = json_get_string(params, "action"),
        .idempotency_key = json_get_string(params, "idempotencyKey"),
        .run = json_get_string(params, "run"),
        .parameters = json_get(params, "parameters"),
        .origin = json_get(params, "origin"),
        .approval = json_get(params, "approval"),
        .traceparent = json_get_string(params, "traceparent"),
        .timeout_ms = milliseconds(params, "timeoutSeconds"),
        .silence_timeout_ms = milliseconds(params, "silenceTimeoutSeconds"),
        .grace_ms = milliseconds(params, "graceSeconds"),
        .is_terminal = json_get_bool(params, "terminal", false),
    };
    bool is_existing = false;
    Call *call;
    int r = calls_start(session->endpoint->calls, &wanted, &call, &is_existing, err);

    /* The events are read later, so they come after the answer. */
    if (r == 0 && json_get_bool(params, "attach", false)) {
        r = subscriptions_add(&session->subscriptions, call, 0, err);
    }
    return r < 0 ? r : answer(request, call, is_existing, err);
}
