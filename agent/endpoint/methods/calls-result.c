/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include <errno.h>

int method_calls_result(Request *request, Error *err)
{
    Call *call = request_find_call(request, err);
    Json *result = NULL;
    int r;

    if (!call) {
        return -ENOENT;
    }
    if (call_state(call) != CALL_FINISHED) {
        if (json_get_bool(request->params, "wait", false)) {
            r = waiting_add(&request->session->waiting, request->id, call, err);
            return r < 0 ? r : REQUEST_WAITS;
        }
        request->code = MESSAGE_CONFLICT;
        return error_set(err, -EBUSY, "call '%s' is %s; its result comes when it is finished",
                         call_id(call), call_state_name(call_state(call)));
    }
    r = call_read_result(call, &result, err);
    return r < 0 ? r : request_answer_take(request, result, err);
}
