/* SPDX-License-Identifier: MIT */
/* Any line: message_parse takes it or names a JSON-RPC code to answer with. What it takes can be
 * written again and means the same. */
#include "protocol/message.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_refusal(const Message *m, MessageErrorCode code, const Error *err)
{
    _cleanup_buffer_ Buffer answer = {0};
    _cleanup_message_ Message read = {0};
    MessageErrorCode unused;

    require(err->code < 0 && err->text);
    require(code == MESSAGE_PARSE_ERROR || code == MESSAGE_INVALID_REQUEST ||
            code == MESSAGE_INVALID_PARAMS);
    require(message_append_error(&answer, m->id, code, error_text(err), NULL) == 0);
    require(message_parse(answer.data, answer.len - 1, &read, &unused, NULL) == 0);
    require(read.type == MESSAGE_ERROR && read.error_code == (int)code);
    require(json_equal(read.id, m->id));
}

/* Writes the message again; false for one that our writers never write. */
static bool write_again(const Message *m, Buffer *out)
{
    switch (m->type) {
    case MESSAGE_REQUEST:
        if (json_type_of(m->id) != JSON_INTEGER) {
            return false;
        }
        require(message_append_request(out, json_as_int(m->id, 0), m->method, m->params) == 0);
        return true;
    case MESSAGE_NOTIFICATION:
        require(message_append_notification(out, m->method, m->params) == 0);
        return true;
    case MESSAGE_RESULT:
        require(message_append_result(out, m->id, m->result) == 0);
        return true;
    case MESSAGE_ERROR:
        require(message_append_error(out, m->id, (MessageErrorCode)m->error_code, m->error_text,
                                     m->error_data) == 0);
        return true;
    }
    return false;
}

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_message_ Message m = {0}, again = {0};
    _cleanup_buffer_ Buffer line = {0};
    _cleanup_error_ Error err = {0};
    MessageErrorCode code;

    if (message_parse((const char *)data, size, &m, &code, &err) < 0) {
        check_refusal(&m, code, &err);
        return 0;
    }
    require(json_type_of(m.root) == JSON_OBJECT);
    require((m.type == MESSAGE_REQUEST || m.type == MESSAGE_NOTIFICATION) == (m.method != NULL));
    if (!write_again(&m, &line)) {
        return 0;
    }
    require(memchr(line.data, '\n', line.len) == line.data + line.len - 1);
    require(message_parse(line.data, line.len - 1, &again, &code, NULL) == 0);
    require(again.type == m.type && json_equal(again.id, m.id));
    require(is_same_text(again.method, m.method) && json_equal(again.params, m.params));
    require(json_equal(again.result, m.result) && again.error_code == m.error_code);
    require(is_same_text(again.error_text, m.error_text));
    require(json_equal(again.error_data, m.error_data));
    return 0;
}
