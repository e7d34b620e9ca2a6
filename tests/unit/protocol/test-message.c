/* SPDX-License-Identifier: MIT */
#include "protocol/base/text.h"
#include "protocol/message.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define V "\"jsonrpc\":\"2.0\","

static const struct {
    const char *line;
    MessageType type;
    const char *id; /* as JSON; NULL: none */
    const char *method;
    const char *params; /* as JSON, of a request; the result or the error's data otherwise */
    int error_code;
    const char *error_text;
} good[] = {
    {"{" V "\"id\":1,\"method\":\"ping\"}", MESSAGE_REQUEST, "1", "ping", NULL, 0, NULL},
    {"{" V "\"id\":-7,\"method\":\"x\",\"params\":{\"a\":[1]}}", MESSAGE_REQUEST, "-7", "x",
     "{\"a\":[1]}", 0, NULL},
    {"{" V "\"id\":\"a b\",\"method\":\"x\",\"params\":{}}", MESSAGE_REQUEST, "\"a b\"", "x", "{}",
     0, NULL},
    {"{" V "\"id\":\"\",\"method\":\"\"}", MESSAGE_REQUEST, "\"\"", "", NULL, 0, NULL},
    {"{" V "\"id\":9223372036854775807,\"method\":\"x\"}", MESSAGE_REQUEST, "9223372036854775807",
     "x", NULL, 0, NULL},
    {"{" V "\"id\":1,\"method\":\"x\",\"params\":null}", MESSAGE_REQUEST, "1", "x", NULL, 0, NULL},
    {"{" V "\"method\":\"x\",\"params\":{\"a\":1}}", MESSAGE_NOTIFICATION, NULL, "x", "{\"a\":1}",
     0, NULL},
    {"{" V "\"id\":1,\"method\":\"x\",\"later\":true}", MESSAGE_REQUEST, "1", "x", NULL, 0, NULL},
    {"{" V "\"id\":1,\"result\":{\"a\":1}}", MESSAGE_RESULT, "1", NULL, "{\"a\":1}", 0, NULL},
    {"{" V "\"id\":\"k\",\"result\":null}", MESSAGE_RESULT, "\"k\"", NULL, NULL, 0, NULL},
    {"{" V "\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\",\"data\":[2]}}", MESSAGE_ERROR,
     "1", NULL, "[2]", -32601, "no"},
    {"{" V "\"id\":null,\"error\":{\"code\":-32700,\"message\":\"\"}}", MESSAGE_ERROR, NULL, NULL,
     NULL, -32700, ""},
    {"{" V "\"error\":{\"code\":2147483647,\"message\":\"x\"}}", MESSAGE_ERROR, NULL, NULL, NULL,
     2147483647, "x"},
};

static void assert_json_or_absent(const Json *value, const char *expected)
{
    _cleanup_buffer_ Buffer b = {0};

    if (!expected) {
        assert_null(value);
        return;
    }
    assert_int_equal(json_format(value, &b), 0);
    assert_string_equal(buffer_text(&b), expected);
}

static void assert_text_or_absent(const char *text, const char *expected)
{
    if (!expected) {
        assert_null(text);
    } else {
        assert_non_null(text);
        assert_string_equal(text, expected);
    }
}

static void reads_each_kind(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        _cleanup_message_ Message m;
        _cleanup_error_ Error err = {0};
        MessageErrorCode code;

        if (message_parse(good[i].line, strlen(good[i].line), &m, &code, &err) < 0) {
            fail_msg("%s: %s", good[i].line, error_text(&err));
        }
        assert_int_equal(m.type, good[i].type);
        assert_json_or_absent(m.id, good[i].id);
        assert_text_or_absent(m.method, good[i].method);
        assert_json_or_absent(m.method                   ? m.params
                              : m.type == MESSAGE_RESULT ? m.result
                                                         : m.error_data,
                              good[i].params);
        assert_int_equal(m.error_code, good[i].error_code);
        assert_text_or_absent(m.error_text, good[i].error_text);
    }
}

#define WHAT_IS_NEEDED "a message needs \"method\", or \"id\" with \"result\" or \"error\""

static const struct {
    const char *line;
    MessageErrorCode code;
    const char *id; /* that could be read all the same */
    const char *problem;
} bad[] = {
    {"", MESSAGE_PARSE_ERROR, NULL, "line 1, column 1: the text ends where a value is expected"},
    {"{", MESSAGE_PARSE_ERROR, NULL,
     "line 1, column 2: a member name in double quotes is expected here"},
    {"{" V "\"id\":18446744073709551616,\"method\":\"x\"}", MESSAGE_PARSE_ERROR, NULL,
     "line 1, column 23: a whole number does not fit 64 bits; write it as a string"},
    {"\"hello\"", MESSAGE_INVALID_REQUEST, NULL, "a message must be a JSON object"},
    {"null", MESSAGE_INVALID_REQUEST, NULL, "a message must be a JSON object"},
    {"[]", MESSAGE_INVALID_REQUEST, NULL, "batches are not supported: send one object a line"},
    {"[{" V "\"id\":1,\"method\":\"x\"}]", MESSAGE_INVALID_REQUEST, NULL,
     "batches are not supported: send one object a line"},
    {"{}", MESSAGE_INVALID_REQUEST, NULL, "\"jsonrpc\" must be \"2.0\""},
    {"{\"id\":3,\"method\":\"x\"}", MESSAGE_INVALID_REQUEST, "3", "\"jsonrpc\" must be \"2.0\""},
    {"{\"jsonrpc\":\"1.0\",\"id\":3,\"method\":\"x\"}", MESSAGE_INVALID_REQUEST, "3",
     "\"jsonrpc\" must be \"2.0\""},
    {"{\"jsonrpc\":2.0,\"id\":3,\"method\":\"x\"}", MESSAGE_INVALID_REQUEST, "3",
     "\"jsonrpc\" must be \"2.0\""},
    {"{" V "\"id\":1.5,\"method\":\"x\"}", MESSAGE_INVALID_REQUEST, NULL,
     "\"id\" must be a string or a whole number"},
    {"{" V "\"id\":1.0,\"method\":\"x\"}", MESSAGE_INVALID_REQUEST, NULL,
     "\"id\" must be a string or a whole number"},
    {"{" V "\"id\":true,\"method\":\"x\"}", MESSAGE_INVALID_REQUEST, NULL,
     "\"id\" must be a string or a whole number"},
    {"{" V "\"id\":{},\"method\":\"x\"}", MESSAGE_INVALID_REQUEST, NULL,
     "\"id\" must be a string or a whole number"},
    {"{" V "\"id\":null,\"method\":\"x\"}", MESSAGE_INVALID_REQUEST, NULL,
     "\"id\" of a request must not be null"},
    {"{" V "\"id\":4}", MESSAGE_INVALID_REQUEST, "4", WHAT_IS_NEEDED},
    {"{" V "\"result\":1}", MESSAGE_INVALID_REQUEST, NULL, WHAT_IS_NEEDED},
    {"{" V "\"id\":null,\"result\":1}", MESSAGE_INVALID_REQUEST, NULL, WHAT_IS_NEEDED},
    {"{" V "\"id\":4,\"method\":7}", MESSAGE_INVALID_REQUEST, "4", "\"method\" must be a string"},
    {"{" V "\"id\":4,\"method\":null}", MESSAGE_INVALID_REQUEST, "4",
     "\"method\" must be a string"},
    {"{" V "\"id\":4,\"method\":\"x\",\"params\":[1]}", MESSAGE_INVALID_PARAMS, "4",
     "\"params\" must be an object: parameters have names here"},
    {"{" V "\"id\":4,\"method\":\"x\",\"params\":\"a\"}", MESSAGE_INVALID_PARAMS, "4",
     "\"params\" must be an object: parameters have names here"},
    {"{" V "\"id\":4,\"error\":\"x\"}", MESSAGE_INVALID_REQUEST, "4",
     "\"error\" needs a code and a message"},
    {"{" V "\"id\":4,\"error\":null}", MESSAGE_INVALID_REQUEST, "4",
     "\"error\" needs a code and a message"},
    {"{" V "\"id\":4,\"error\":{\"code\":1}}", MESSAGE_INVALID_REQUEST, "4",
     "\"error\" needs a code and a message"},
    {"{" V "\"id\":4,\"error\":{\"message\":\"x\"}}", MESSAGE_INVALID_REQUEST, "4",
     "\"error\" needs a code and a message"},
    {"{" V "\"id\":4,\"error\":{\"code\":\"1\",\"message\":\"x\"}}", MESSAGE_INVALID_REQUEST, "4",
     "\"error\" needs a code and a message"},
    {"{" V "\"id\":4,\"error\":{\"code\":4294967296,\"message\":\"x\"}}", MESSAGE_INVALID_REQUEST,
     "4", "\"error\" needs a code and a message"},
    {"{" V "\"id\":4,\"error\":{\"code\":-2147483649,\"message\":\"x\"}}", MESSAGE_INVALID_REQUEST,
     "4", "\"error\" needs a code and a message"},
};

static void says_what_is_wrong_and_keeps_the_id(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_message_ Message m;
        _cleanup_error_ Error err = {0};
        MessageErrorCode code = 0;

        if (message_parse(bad[i].line, strlen(bad[i].line), &m, &code, &err) != -EINVAL) {
            fail_msg("%s was taken", bad[i].line);
        }
        assert_string_equal(error_text(&err), bad[i].problem);
        assert_int_equal(code, bad[i].code);
        assert_json_or_absent(m.id, bad[i].id);
    }
}

static void an_id_has_a_limit(void **state)
{
    for (int n = TEXT_IDENTIFIER_MAX; n <= TEXT_IDENTIFIER_MAX + 1; n++) {
        _cleanup_message_ Message m;
        _cleanup_error_ Error err = {0};
        MessageErrorCode code;
        char line[400];
        int len = snprintf(line, sizeof(line), "{" V "\"id\":\"%0*d\",\"method\":\"x\"}", n, 0);

        if (n == TEXT_IDENTIFIER_MAX) {
            assert_int_equal(message_parse(line, (size_t)len, &m, &code, &err), 0);
        } else {
            assert_int_equal(message_parse(line, (size_t)len, &m, &code, &err), -EINVAL);
            assert_int_equal(code, MESSAGE_INVALID_REQUEST);
            assert_string_equal(error_text(&err), "\"id\" is longer than 128 bytes");
            assert_null(m.id);
        }
    }
}

static void writes_whole_lines(void **state)
{
    _cleanup_json_ Json *params = json_new_object(), *id = json_new_string("k\"1");
    _cleanup_buffer_ Buffer out = {0};

    assert_int_equal(json_set_string(params, "a", "x\ny"), 0);
    assert_int_equal(message_append_request(&out, 1, "ping", NULL), 0);
    assert_int_equal(message_append_request(&out, INT64_MIN, "calls/start", params), 0);
    assert_int_equal(message_append_notification(&out, "call/log", params), 0);
    assert_int_equal(message_append_notification(&out, "x", NULL), 0);
    assert_int_equal(message_append_result(&out, id, params), 0);
    assert_int_equal(message_append_result(&out, id, NULL), 0);
    assert_int_equal(message_append_error(&out, id, MESSAGE_BUSY, "a \"b\"\n", NULL), 0);
    assert_int_equal(message_append_error(&out, NULL, MESSAGE_PARSE_ERROR, "no", params), 0);
    assert_string_equal(
        buffer_text(&out),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n"
        "{\"jsonrpc\":\"2.0\",\"id\":-9223372036854775808,\"method\":\"calls/start\","
        "\"params\":{\"a\":\"x\\ny\"}}\n"
        "{\"jsonrpc\":\"2.0\",\"method\":\"call/log\",\"params\":{\"a\":\"x\\ny\"}}\n"
        "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n"
        "{\"jsonrpc\":\"2.0\",\"id\":\"k\\\"1\",\"result\":{\"a\":\"x\\ny\"}}\n"
        "{\"jsonrpc\":\"2.0\",\"id\":\"k\\\"1\",\"result\":null}\n"
        "{\"jsonrpc\":\"2.0\",\"id\":\"k\\\"1\",\"error\":{\"code\":-32002,"
        "\"message\":\"a \\\"b\\\"\\n\"}}\n"
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"no\","
        "\"data\":{\"a\":\"x\\ny\"}}}\n");
}

/* A method may be what a person typed; it cannot end the line or add members. */
static void a_method_is_written_as_text(void **state)
{
    static const char method[] = "x\",\"id\":9}\n{\xff";
    _cleanup_message_ Message request, notification;
    _cleanup_buffer_ Buffer out = {0};
    MessageErrorCode code;
    size_t first;

    assert_int_equal(message_append_request(&out, 1, method, NULL), 0);
    first = out.len;
    assert_int_equal(message_append_notification(&out, method, NULL), 0);
    assert_int_equal(message_parse(out.data, first - 1, &request, &code, NULL), 0);
    assert_string_equal(request.method, "x\",\"id\":9}\n{\xef\xbf\xbd");
    assert_int_equal(
        message_parse(out.data + first, out.len - first - 1, &notification, &code, NULL), 0);
    assert_string_equal(notification.method, request.method);
    assert_null(notification.id);
}

/* At whatever byte the room ends, there are only whole lines in the buffer. */
static void a_full_buffer_holds_whole_lines_only(void **state)
{
    _cleanup_json_ Json *value = json_new_object(), *id = json_new_int(12);

    assert_int_equal(json_set_int(value, "a", 1), 0);
    for (size_t room = 0; room < 80; room++) {
        for (int kind = 0; kind < 4; kind++) {
            _cleanup_buffer_ Buffer out = BUFFER_INIT(4 + room);
            int r = 0;

            assert_int_equal(buffer_append_text(&out, "{}\n"), 0);
            switch (kind) {
            case 0:
                r = message_append_request(&out, 12, "ping", value);
                break;
            case 1:
                r = message_append_notification(&out, "ping", value);
                break;
            case 2:
                r = message_append_result(&out, id, value);
                break;
            case 3:
                r = message_append_error(&out, id, MESSAGE_BUSY, "text", value);
                break;
            }
            assert_true(r == 0 || r == -ENOBUFS);
            if (r < 0) {
                assert_string_equal(buffer_text(&out), "{}\n");
                assert_int_equal(out.len, 3);
            } else {
                assert_string_equal(out.data + out.len - 2, "}\n");
            }
        }
    }
}

static void done_takes_an_empty_message(void **state)
{
    Message m = {0};

    message_done(&m);
    message_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_kind),
        cmocka_unit_test(says_what_is_wrong_and_keeps_the_id),
        cmocka_unit_test(an_id_has_a_limit),
        cmocka_unit_test(writes_whole_lines),
        cmocka_unit_test(a_method_is_written_as_text),
        cmocka_unit_test(a_full_buffer_holds_whole_lines_only),
        cmocka_unit_test(done_takes_an_empty_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
