/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include <errno.h>
#include <string.h>

/* 0 where it is not given: then the configured limit counts. */
static int64_t milliseconds(const Json *params, const char *name)
{
    double seconds = json_as_number(json_get(params, name), 0);

    return seconds > 0 ? MAX((int64_t)(seconds * 1000), 1) : 0;
}

/* The calls room checks `parameters` alone; here they are a member of what was sent. */
static int point_into_parameters(int r, Error *err)
{
    static const char top[] = "(top)";
    _cleanup_buffer_ Buffer text = {0};
    const char *at = error_text(err);

    while (*at) {
        size_t n = strcspn(at, "\n");
        bool is_top = strncmp(at, top, sizeof(top) - 1) == 0;
        size_t skip = is_top ? sizeof(top) - 1 : 0;

        if ((text.len > 0 && buffer_append_text(&text, "\n") < 0) ||
            ((is_top || *at == '/') && buffer_append_text(&text, "/parameters") < 0) ||
            buffer_append(&text, at + skip, n - skip) < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        at += n + (at[n] == '\n');
    }
    return error_set(err, r, "%s", buffer_text(&text));
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
    bool is_existing = false, is_attached = json_get_bool(params, "attach", false);
    Call *call;
    int r = 0;

    /* Better not started at all than started and not followed. */
    if (is_attached) {
        r = subscriptions_check_room(&session->subscriptions, err);
    }
    if (r < 0) {
        return r;
    }
    r = calls_start(session->endpoint->calls, &wanted, &call, &is_existing, err);
    if (r == -EINVAL) {
        return point_into_parameters(r, err);
    }
    /* The events are read later, so they come after the answer. */
    if (r == 0 && is_attached) {
        r = subscriptions_add(&session->subscriptions, call, 0, err);
    }
    return r < 0 ? r : answer(request, call, is_existing, err);
}
