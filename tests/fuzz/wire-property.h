/* SPDX-License-Identifier: MIT */
/* What must hold of the client's fast path for any line: where it understands one, the full parser
 * understands the same. Shared by the unit test, which makes lines up, and the fuzz target. */
#pragma once

#include "plugin/client/wire.h"
#include "protocol/base/text.h"
#include "protocol/message.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static inline bool wire_is_text(const Json *value, const char *text, size_t n)
{
    const char *found = json_as_string(value);

    return found && json_as_string_len(value) == n && memcmp(found, text, n) == 0;
}

/* The bytes that a message carries as `text` or `base64`. */
static inline void wire_require_data(const Json *object, const Buffer *data)
{
    const Json *base64 = json_get(object, "base64");
    _cleanup_buffer_ Buffer decoded = {0};

    if (!base64) {
        require(wire_is_text(json_get(object, "text"), buffer_text(data), data->len));
        return;
    }
    require(!json_has(object, "text"));
    require(text_decode_base64(&decoded, json_as_string(base64), json_as_string_len(base64)) == 0);
    require(decoded.len == data->len);
    require(memcmp(buffer_text(&decoded), buffer_text(data), decoded.len) == 0);
}

/* True if the fast path took the line as a log event. */
static inline bool wire_require_log(const char *line, size_t n)
{
    _cleanup_message_ Message m = {0};
    _cleanup_buffer_ Buffer data = {0};
    _cleanup_json_ Json *params = NULL;
    MessageErrorCode code;
    WireLog log;

    if (wire_scan_log(line, n, &log, &data) != 1) {
        return false;
    }
    require(message_parse(line, n, &m, &code, NULL) == 0);
    require(m.type == MESSAGE_NOTIFICATION && strcmp(m.method, "call/log") == 0);
    require(wire_is_text(json_get(m.params, "call"), log.call, log.call_len));
    require(wire_is_text(json_get(m.params, "time"), log.time, log.time_len));
    require(json_get_int(m.params, "seq", -1) == (int64_t)log.seq);
    require(json_get_int(m.params, "offset", -1) == log.offset);
    require(strcmp(json_get_string(m.params, "stream"), log.is_stderr ? "stderr" : "stdout") == 0);
    wire_require_data(m.params, &data);
    require(json_parse(log.params, log.params_len, &params, NULL) == 0);
    require(json_equal(params, m.params) && json_member_count(params) == 6);
    return true;
}

/* True if the fast path took the line as a piece of an artifact. */
static inline bool wire_require_chunk(const char *line, size_t n)
{
    _cleanup_message_ Message m = {0};
    _cleanup_buffer_ Buffer data = {0};
    MessageErrorCode code;
    WireChunk chunk;

    if (wire_scan_chunk(line, n, &chunk, &data) != 1) {
        return false;
    }
    require(message_parse(line, n, &m, &code, NULL) == 0);
    require(m.type == MESSAGE_RESULT && json_as_int(m.id, -1) == chunk.id);
    require(json_get_int(m.result, "offset", -1) == chunk.offset);
    require(json_get_bool(m.result, "isLast", !chunk.is_last) == chunk.is_last);
    require(json_member_count(m.result) == 3);
    wire_require_data(m.result, &data);
    return true;
}
