/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

/* Where a call's bytes are: the piece goes from the file into the output as base64, and the answer
 * has its members in one fixed order, which a client may scan for instead of parsing JSON. */
static int append_answer(Buffer *out, const OpenArtifact *artifact, const Json *id, int64_t offset,
                         size_t length, bool *ret_is_last, Error *err)
{
    int r = buffer_append_text(out, "{\"jsonrpc\":\"2.0\",\"id\":");

    r = r == 0 ? json_format(id, out) : r;
    r = r == 0 ? buffer_append_format(out, ",\"result\":{\"offset\":%lld,\"base64\":\"",
                                      (long long)offset)
               : r;
    if (r < 0) {
        return error_set_errno(err, r, "the answer");
    }
    r = open_artifact_append(artifact, offset, length, out, ret_is_last, err);
    if (r < 0) {
        return r;
    }
    r = buffer_append_format(out, "\",\"isLast\":%s}}\n", *ret_is_last ? "true" : "false");
    return r < 0 ? error_set_errno(err, r, "the answer") : 0;
}

int method_artifacts_read(Request *request, Error *err)
{
    Session *session = request->session;
    const Json *params = request->params;
    Buffer *out = &session->channel.out;
    size_t start = out->len;
    bool is_last = false;
    int r = open_artifact_switch(&session->artifact, session->endpoint->calls,
                                 json_get_string(params, "artifact"), err);

    if (r < 0) {
        return r;
    }
    r = append_answer(out, &session->artifact, request->id, json_get_int(params, "offset", 0),
                      (size_t)json_get_int(params, "length", 0), &is_last, err);
    if (r < 0 && out->data) { /* an error is answered instead of half a line */
        buffer_truncate(out, start);
    }
    if (r < 0 || is_last) {
        open_artifact_done(&session->artifact);
    }
    return r;
}
