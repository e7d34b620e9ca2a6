/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"
#include "protocol/base/text.h"

#include <errno.h>

static int decode(const Json *params, Buffer *piece, Error *err)
{
    const Json *base64 = json_get(params, "base64");
    int r = text_decode_base64(piece, json_as_string(base64), json_as_string_len(base64));

    if (r == -ENOBUFS || (r == 0 && piece->len > OPEN_ARTIFACT_PIECE_MAX)) {
        return error_set(err, -EINVAL, "/base64: decodes to more than %zu bytes",
                         OPEN_ARTIFACT_PIECE_MAX);
    }
    return r < 0 ? error_set(err, r, "/base64: is not base64 (RFC 4648, with padding)") : 0;
}

static int answer(Request *request, int64_t size, bool is_complete, Error *err)
{
    _cleanup_json_ Json *result = json_new_object();
    int r = result ? json_set_string(result, "input", json_get_string(request->params, "input"))
                   : -ENOMEM;

    r = r == 0 ? json_set_int(result, "size", size) : r;
    r = r == 0 ? json_set_bool(result, "isComplete", is_complete) : r;
    return r == 0 ? request_answer_take(request, TAKE_PTR(result), err)
                  : error_set(err, r, "out of memory");
}

int method_inputs_write(Request *request, Error *err)
{
    const Json *params = request->params;
    int64_t offset = json_get_int(params, "offset", 0), size;
    bool is_last = json_get_bool(params, "isLast", false);
    const char *sha256 = json_get_string(params, "sha256");
    _cleanup_buffer_ Buffer piece = BUFFER_INIT(OPEN_ARTIFACT_PIECE_MAX + 2); /* with its padding */
    int r = decode(params, &piece, err);

    if (r == 0 && is_last && !sha256) {
        r = error_set(err, -EINVAL, "/sha256: is needed with isLast");
    }
    if (r < 0) {
        return r;
    }
    r = calls_write_input(request->session->endpoint->calls, json_get_string(params, "input"),
                          offset, buffer_text(&piece), piece.len, is_last, is_last ? sha256 : NULL,
                          &size, err);
    return r < 0 ? r : answer(request, size, is_last && size == offset + (int64_t)piece.len, err);
}
