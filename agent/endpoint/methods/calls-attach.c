/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include <errno.h>

int method_calls_attach(Request *request, Error *err)
{
    Session *session = request->session;
    int64_t after = json_get_int(request->params, "after", 0);
    _cleanup_json_ Json *result = json_new_object();
    Call *call = request_find_call(request, err);
    int r = call ? subscriptions_add(&session->subscriptions, call, (uint64_t)after, err) : -ENOENT;

    if (r < 0) {
        return r;
    }
    if (!result || json_set_string(result, "call", call_id(call)) < 0 ||
        json_set_string(result, "state", call_state_name(call_state(call))) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return request_answer_take(request, TAKE_PTR(result), err);
}
