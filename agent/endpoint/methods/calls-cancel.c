/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include <errno.h>

int method_calls_cancel(Request *request, Error *err)
{
    _cleanup_json_ Json *result = json_new_object();
    Call *call = request_find_call(request, err);
    int r = call ? calls_cancel(request->session->endpoint->calls, call, err) : -ENOENT;

    if (r < 0) {
        return r;
    }
    if (!result || json_set_string(result, "call", call_id(call)) < 0 ||
        json_set_string(result, "state", call_state_name(call_state(call))) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return request_answer_take(request, TAKE_PTR(result), err);
}
