/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

int method_shutdown(Request *request, Error *err)
{
    int r = request_answer_take(request, json_new_object(), err);

    if (r == 0) {
        session_drain(request->session);
    }
    return r;
}
