/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include <errno.h>

int method_calls_detach(Request *request, Error *err)
{
    Call *call = request_find_call(request, err);

    if (!call) {
        return -ENOENT;
    }
    subscriptions_remove(&request->session->subscriptions, call_id(call));
    return request_answer_take(request, json_new_object(), err);
}
