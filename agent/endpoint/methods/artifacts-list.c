/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include <errno.h>

int method_artifacts_list(Request *request, Error *err)
{
    _cleanup_json_ Json *result = json_new_object();
    Call *call = request_find_call(request, err);
    Json *artifacts = NULL;
    int r = call ? call_list_artifacts(call, &artifacts, err) : -ENOENT;

    if (r < 0) {
        return r;
    }
    r = json_set_take(result, "artifacts", artifacts);
    return r == 0 ? request_answer_take(request, TAKE_PTR(result), err)
                  : error_set(err, r, "out of memory");
}
