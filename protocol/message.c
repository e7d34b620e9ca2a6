/* SPDX-License-Identifier: MIT */
#include "protocol/message.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

void message_done(Message *m)
{
    (void)json_unref(m->root);
    *m = (Message){0};
}

static int invalid(MessageErrorCode *ret_code, Error *err, const char *text)
{
    *ret_code = MESSAGE_INVALID_REQUEST;
    return error_set(err, -EINVAL, "%s", text);
}

static int read_id(Message *m, MessageErrorCode *ret_code, Error *err)
{
    Json *id = json_get(m->root, "id");
    JsonType type = json_type_of(id);

    if (type == JSON_STRING && json_as_string_len(id) > TEXT_IDENTIFIER_MAX) {
        return invalid(ret_code, err, "\"id\" is longer than 128 bytes");
    }
    if (type == JSON_STRING || type == JSON_INTEGER) {
        m->id = id;
        return 0;
    }
    if (json_has(m->root, "id") && type != JSON_NULL) {
        return invalid(ret_code, err, "\"id\" must be a string or a whole number");
    }
    return 0;
}

static int read_request(Message *m, MessageErrorCode *ret_code, Error *err)
{
    if (!m->id && json_has(m->root, "id")) {
        return invalid(ret_code, err, "\"id\" of a request must not be null");
    }
    m->type = m->id ? MESSAGE_REQUEST : MESSAGE_NOTIFICATION;
    m->method = json_get_string(m->root, "method");
    if (!m->method) {
        return invalid(ret_code, err, "\"method\" must be a string");
    }
    m->params = json_get(m->root, "params");
    if (m->params && json_type_of(m->params) != JSON_OBJECT) {
        *ret_code = MESSAGE_INVALID_PARAMS;
        return error_set(err, -EINVAL, "\"params\" must be an object: parameters have names here");
    }
    return 0;
}

static int read_error(Message *m, MessageErrorCode *ret_code, Error *err)
{
    Json *error = json_get(m->root, "error");

    int64_t code = json_get_int(error, "code", INT64_MAX);

    m->type = MESSAGE_ERROR;
    m->error_text = json_get_string(error, "message");
    m->error_data = json_get(error, "data");
    if (!m->error_text || code < INT_MIN || code > INT_MAX) {
        return invalid(ret_code, err, "\"error\" needs a code and a message");
    }
    m->error_code = (int)code;
    return 0;
}

int message_parse(const char *line, size_t n, Message *m, MessageErrorCode *ret_code, Error *err)
{
    const char *version;
    int r;

    *m = (Message){0};
    *ret_code = MESSAGE_PARSE_ERROR;
    r = json_parse(line, n, &m->root, err);
    if (r < 0) {
        return r;
    }
    if (json_type_of(m->root) == JSON_ARRAY) {
        return invalid(ret_code, err, "batches are not supported: send one object a line");
    }
    if (json_type_of(m->root) != JSON_OBJECT) {
        return invalid(ret_code, err, "a message must be a JSON object");
    }
    r = read_id(m, ret_code, err);
    if (r < 0) {
        return r;
    }
    version = json_get_string(m->root, "jsonrpc");
    if (!version || strcmp(version, "2.0") != 0) {
        return invalid(ret_code, err, "\"jsonrpc\" must be \"2.0\"");
    }
    if (json_has(m->root, "method")) {
        return read_request(m, ret_code, err);
    }
    if (json_has(m->root, "error")) {
        return read_error(m, ret_code, err);
    }
    if (json_has(m->root, "result") && m->id) {
        m->type = MESSAGE_RESULT;
        m->result = json_get(m->root, "result");
        return 0;
    }
    return invalid(ret_code, err,
                   "a message needs \"method\", or \"id\" with \"result\" or \"error\"");
}

/* Undoes a half-written line, so that the buffer holds whole lines only. */
static int finish_line(Buffer *out, size_t start, int r)
{
    if (r == 0) {
        r = buffer_append(out, "}\n", 2);
    }
    if (r < 0) {
        buffer_truncate(out, start);
    }
    return r;
}

/* The method may be what a person typed. */
static int append_method(Buffer *out, const char *method, const Json *params)
{
    int r = buffer_append_text(out, "\"method\":");

    r = r == 0 ? text_append_json(out, method, strlen(method)) : r;
    if (r == 0 && params) {
        r = buffer_append_text(out, ",\"params\":");
        r = r == 0 ? json_format(params, out) : r;
    }
    return r;
}

int message_append_request(Buffer *out, int64_t id, const char *method, const Json *params)
{
    size_t start = out->len;
    int r = buffer_append_format(out, "{\"jsonrpc\":\"2.0\",\"id\":%lld,", (long long)id);

    r = r == 0 ? append_method(out, method, params) : r;
    return finish_line(out, start, r);
}

int message_append_notification(Buffer *out, const char *method, const Json *params)
{
    size_t start = out->len;
    int r = buffer_append_text(out, "{\"jsonrpc\":\"2.0\",");

    r = r == 0 ? append_method(out, method, params) : r;
    return finish_line(out, start, r);
}

static int append_head(Buffer *out, const Json *id)
{
    int r = buffer_append_text(out, "{\"jsonrpc\":\"2.0\",\"id\":");

    return r == 0 ? json_format(id, out) : r;
}

int message_append_result(Buffer *out, const Json *id, const Json *result)
{
    size_t start = out->len;
    int r = append_head(out, id);

    r = r == 0 ? buffer_append_text(out, ",\"result\":") : r;
    r = r == 0 ? json_format(result, out) : r;
    return finish_line(out, start, r);
}

int message_append_error(Buffer *out, const Json *id, MessageErrorCode code, const char *text,
                         const Json *data)
{
    size_t start = out->len;
    int r = append_head(out, id);

    r = r == 0 ? buffer_append_format(out, ",\"error\":{\"code\":%d,\"message\":", (int)code) : r;
    r = r == 0 ? text_append_json(out, text, strlen(text)) : r;
    if (r == 0 && data) {
        r = buffer_append_text(out, ",\"data\":");
        r = r == 0 ? json_format(data, out) : r;
    }
    r = r == 0 ? buffer_append_text(out, "}") : r;
    return finish_line(out, start, r);
}
