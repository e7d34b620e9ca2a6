/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"
#include "protocol/base/text.h"

#include <errno.h>

int method_audit_read(Request *request, Error *err)
{
    int64_t offset = json_get_int(request->params, "offset", 0), size = 0;
    size_t length = (size_t)json_get_int(request->params, "length", 0), n = 0;
    _cleanup_json_ Json *result = json_new_object(), *head = NULL;
    _cleanup_free_ char *piece = malloc(length);
    _cleanup_buffer_ Buffer base64 = {0};
    int r;

    if (!result || !piece) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = calls_read_audit(request->session->endpoint->calls, offset, piece, length, &n, &size, &head,
                         err);
    if (r < 0) {
        return r;
    }
    r = text_append_base64(&base64, piece, n);
    r = r == 0 ? json_set_int(result, "offset", offset) : r;
    r = r == 0 ? json_set_string(result, "base64", buffer_text(&base64)) : r;
    r = r == 0 ? json_set_bool(result, "isLast", offset + (int64_t)n == size) : r;
    r = r == 0 ? json_set_int(result, "size", size) : r;
    if (r == 0 && head) {
        r = json_set_take(result, "head", TAKE_PTR(head));
    }
    return r == 0 ? request_answer_take(request, TAKE_PTR(result), err)
                  : error_set(err, r, "out of memory");
}
