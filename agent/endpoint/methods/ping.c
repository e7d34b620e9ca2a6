/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"
#include "protocol/base/clock.h"

#include <errno.h>

int method_ping(Request *request, Error *err)
{
    _cleanup_json_ Json *result = json_new_object();
    char moment[CLOCK_TEXT_SIZE];

    if (!result || json_set_string(result, "time", clock_format(clock_wall_us(), moment)) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return request_answer_take(request, TAKE_PTR(result), err);
}
