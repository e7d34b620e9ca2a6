/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include <errno.h>
#include <string.h>

#define LIMIT_DEFAULT 100

static unsigned read_states(const Json *names)
{
    unsigned mask = 0;

    for (size_t i = 0; i < json_length(names); i++) {
        for (CallState state = 0; state < _CALL_STATE_MAX; state++) {
            if (strcmp(json_as_string(json_at(names, i)), call_state_name(state)) == 0) {
                mask |= 1u << state;
            }
        }
    }
    return mask;
}

int method_calls_list(Request *request, Error *err)
{
    const Json *params = request->params;
    _cleanup_json_ Json *result = json_new_object();
    Json *calls = NULL;
    int r = calls_list(request->session->endpoint->calls, read_states(json_get(params, "states")),
                       json_get_string(params, "run"),
                       (size_t)json_get_int(params, "limit", LIMIT_DEFAULT), &calls, err);

    if (r < 0) {
        return r;
    }
    r = json_set_take(result, "calls", calls);
    return r == 0 ? request_answer_take(request, TAKE_PTR(result), err)
                  : error_set(err, r, "out of memory");
}
