/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/event-line.h"
#include "protocol/base/text.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

#define HEAD                                                                                       \
    "{\"jsonrpc\":\"2.0\",\"method\":\"call/log\",\"params\":{\"call\":\"c1\",\"seq\":7,\"time\":" \
    "\"2023-11-14T22:13:20.000001Z\",\"stream\":\"stderr\",\"offset\":42,"

static const CallEvent log_event = {
    .type = CALL_EVENT_LOG,
    .seq = 7,
    .time_us = 1700000000000001,
    .stream = "stderr",
    .offset = 42,
};

static void expect_log(const char *data, size_t n, const char *wanted)
{
    _cleanup_buffer_ Buffer out = {0};
    CallEvent event = log_event;

    event.data = data;
    event.len = n;
    assert_int_equal(event_line_append(&out, "c1", &event), 0);
    assert_string_equal(buffer_text(&out), wanted);
}

static void a_log_line_has_its_members_in_one_order(void **state)
{
    expect_log("hi\n", 3, HEAD "\"text\":\"hi\\n\"}}\n");
    expect_log("", 0, HEAD "\"text\":\"\"}}\n");
    expect_log("\"q\\\x01\t\xc3\xa4", 7, HEAD "\"text\":\"\\\"q\\\\\\u0001\\t\xc3\xa4\"}}\n");
}

static void bytes_that_are_no_text_are_base64(void **state)
{
    expect_log("\xff\xfe", 2, HEAD "\"base64\":\"//4=\"}}\n");
    expect_log("a\xc3", 2, HEAD "\"base64\":\"YcM=\"}}\n");
    expect_log("\xed\xa0\x80", 3, HEAD "\"base64\":\"7aCA\"}}\n");
    /* Legal in JSON, but readers of JSON stumble over it. */
    expect_log("a\0b", 3, HEAD "\"base64\":\"YQBi\"}}\n");
}

static void other_events_carry_their_details(void **state)
{
    _cleanup_buffer_ Buffer out = {0};
    _cleanup_json_ Json *details = json_new_object();
    CallEvent event = {.type = CALL_EVENT_STARTED, .seq = 1, .details = details};

    assert_int_equal(json_set_int(details, "pid", 11), 0);
    assert_int_equal(json_set_string(details, "x", "}"), 0);
    assert_int_equal(event_line_append(&out, "c1", &event), 0);
    assert_string_equal(buffer_text(&out),
                        "{\"jsonrpc\":\"2.0\",\"method\":\"call/started\",\"params\":{\"call\":"
                        "\"c1\",\"seq\":1,\"time\":\"1970-01-01T00:00:00.000000Z\",\"pid\":11,"
                        "\"x\":\"}\"}}\n");
}

static void no_details_are_no_trouble(void **state)
{
    _cleanup_buffer_ Buffer out = {0};
    _cleanup_json_ Json *empty = json_new_object();
    CallEvent event = {.type = CALL_EVENT_PROGRESS, .seq = 1, .details = empty};
    static const char wanted[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"call/progress\",\"params\":{\"call\":\"c\",\"seq\":1,"
        "\"time\":\"1970-01-01T00:00:00.000000Z\"}}\n";

    assert_int_equal(event_line_append(&out, "c", &event), 0);
    assert_string_equal(buffer_text(&out), wanted);
    buffer_clear(&out);
    event.details = NULL;
    assert_int_equal(event_line_append(&out, "c", &event), 0);
    assert_string_equal(buffer_text(&out), wanted);
}

static void every_type_has_a_name(void **state)
{
    for (CallEventType type = 0; type < _CALL_EVENT_TYPE_MAX; type++) {
        assert_true(text_has_prefix(event_line_method(type), "call/"));
    }
}

static void what_does_not_fit_leaves_nothing_behind(void **state)
{
    for (size_t limit = 5; limit < 160; limit++) {
        _cleanup_buffer_ Buffer out = BUFFER_INIT(limit);
        CallEvent event = log_event;

        event.data = "some text";
        event.len = 9;
        assert_int_equal(buffer_append_text(&out, "kept\n"), 0);
        assert_int_equal(event_line_append(&out, "c1", &event), -ENOBUFS);
        assert_string_equal(buffer_text(&out), "kept\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_line_has_its_members_in_one_order),
        cmocka_unit_test(bytes_that_are_no_text_are_base64),
        cmocka_unit_test(other_events_carry_their_details),
        cmocka_unit_test(no_details_are_no_trouble),
        cmocka_unit_test(every_type_has_a_name),
        cmocka_unit_test(what_does_not_fit_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
