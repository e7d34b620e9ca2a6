/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"
#include "protocol/schema.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/endpoint/talk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REQUEST(method, params) \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"

static int set_up(void **state)
{
    static Talk t;

    talk_begin(&t);
    *state = &t;
    return 0;
}

static int tear_down(void **state)
{
    talk_end(*state);
    return 0;
}

static void expect(Talk *t, const char *part)
{
    const char *line = talk_hear(t);

    if (!strstr(line, part)) {
        fail_msg("'%s' is not in '%s'", part, line);
    }
}

static void expect_code(Talk *t, int code)
{
    char part[64];

    (void)snprintf(part, sizeof(part), "\"id\":1,\"error\":{\"code\":%d,", code);
    expect(t, part);
}

static void every_method_has_a_schema_for_both_ways(void **state)
{
    _cleanup_json_ Json *names = dispatch_list_methods();

    assert_int_equal(json_length(names), 15);
    for (size_t i = 0; i < json_length(names); i++) {
        _cleanup_free_ char *name = strdup(json_as_string(json_at(names, i)));
        _cleanup_json_ Json *schema = NULL;

        if (strchr(name, '/')) {
            *strchr(name, '/') = '-';
        }
        assert_int_equal(schema_load(name, &schema, NULL), 0);
        assert_non_null(json_pointer(schema, "/$defs/params/type"));
        assert_non_null(json_pointer(schema, "/$defs/result/type"));
    }
}

static void only_two_methods_may_come_first(void **state)
{
    Talk *t = *state;

    talk_say(t, REQUEST("ping", "{}"));
    expect(t, "\"result\":{\"time\":\"2");
    talk_say(t, REQUEST("health", "{}"));
    expect_code(t, MESSAGE_NOT_INITIALIZED);
    talk_say(t, REQUEST("initialize", "{}"));
    expect(t, "\"protocol\":1");
    talk_say(t, REQUEST("health", "{}"));
    expect(t, "\"status\":\"ok\"");
}

static void an_unknown_method_is_told_which_there_are(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    talk_say(t, REQUEST("calls/stat", "{}"));
    expect(t,
           "\"code\":-32601,\"message\":\"there is no method 'calls/stat'\",\"data\":{\"methods\":"
           "[\"initialize\",");
}

static void each_mistake_in_the_parameters_has_its_line(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    talk_say(t, REQUEST("calls/start", "{\"action\":3,\"run\":\"..\",\"terminal\":1,\"later\":2}"));
    expect(t, "\"code\":-32602,\"message\":\"(top): \\\"idempotencyKey\\\" is missing\\n"
              "/action: must be string, not integer\\n/run: does not match");
    talk_say(t, REQUEST("calls/list", "{\"limit\":1001,\"states\":[\"over\"]}"));
    expect(t, "/limit: must be at most 1000\\n/states/0: must be one of");
    talk_say(t, REQUEST("calls/list", "[]"));
    expect_code(t, MESSAGE_INVALID_PARAMS);
}

static void what_the_rooms_below_say_has_a_code(void **state)
{
    static const struct {
        int r;
        MessageErrorCode code;
    } rows[] = {{-EINVAL, MESSAGE_INVALID_PARAMS},
                {-ENOENT, MESSAGE_NOT_FOUND},
                {-EBUSY, MESSAGE_BUSY},
                {-EMFILE, MESSAGE_BUSY},
                {-EEXIST, MESSAGE_CONFLICT},
                {-EILSEQ, MESSAGE_CONFLICT},
                {-EFBIG, MESSAGE_TOO_LARGE},
                {-ENOSPC, MESSAGE_STORAGE},
                {-EIO, MESSAGE_STORAGE},
                {-ENOMEM, MESSAGE_INTERNAL_ERROR},
                {-EPERM, MESSAGE_NOT_ALLOWED},
                {-ENOTSUP, MESSAGE_INTERNAL_ERROR}};
    Talk *t = *state;

    talk_initialize(t);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(dispatch_code_of(rows[i].r), rows[i].code);
        fake_calls_fail_next(t->calls, rows[i].r);
        talk_say(t, REQUEST("calls/start", "{\"action\":\"a\",\"idempotencyKey\":\"k\"}"));
        expect_code(t, rows[i].code);
    }
}

static void a_result_that_is_not_there_yet_is_a_conflict(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    (void)fake_calls_add(t->calls, "c1");
    talk_say(t, REQUEST("calls/result", "{\"call\":\"c1\"}"));
    expect_code(t, MESSAGE_CONFLICT);
    talk_say(t, REQUEST("calls/result", "{\"call\":\"c2\"}"));
    expect_code(t, MESSAGE_NOT_FOUND);
}

static void inputs_are_decoded_and_checked(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    talk_say(t, REQUEST("inputs/write", "{\"input\":\"i\",\"offset\":3,\"base64\":\"aGk=\"}"));
    expect(t, "\"result\":{\"input\":\"i\",\"size\":5,\"isComplete\":false}");
    assert_string_equal(fake_calls_last_input(t->calls), "i 3 hi 0 -");
    talk_say(t, REQUEST("inputs/write", "{\"input\":\"i\",\"offset\":0,\"base64\":\"aGk\"}"));
    expect(t, "/base64: is not base64");
    talk_say(t, REQUEST("inputs/write",
                        "{\"input\":\"i\",\"offset\":0,\"base64\":\"\",\"isLast\":true}"));
    expect(t, "/sha256: is needed");
}

static void the_audit_log_is_handed_on(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    talk_say(t, REQUEST("audit/read", "{\"offset\":0,\"length\":3}"));
    expect(t, "\"result\":{\"offset\":0,\"base64\":\"eyJz\",\"isLast\":false,\"size\":10}");
    talk_say(t, REQUEST("audit/read", "{\"offset\":9,\"length\":262144}"));
    expect(t, "\"base64\":\"Cg==\",\"isLast\":true,\"size\":10,\"head\":{}}");
    fake_calls_fail_next(t->calls, -EILSEQ);
    talk_say(t, REQUEST("audit/read", "{\"offset\":11,\"length\":1}"));
    expect_code(t, MESSAGE_CONFLICT);
}

/* The announced maximum is accepted, one byte more is not. */
static void the_chunk_limit_is_exact(void **state)
{
    static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"inputs/write\","
                               "\"params\":{\"input\":\"i\",\"offset\":0,\"base64\":\"";
    Talk *t = *state;

    talk_initialize(t);
    for (size_t more = 0; more < 2; more++) {
        size_t n = OPEN_ARTIFACT_PIECE_MAX + more, groups = (n + 2) / 3;
        _cleanup_free_ char *text = malloc(groups * 4 + 1);

        memset(text, 'A', groups * 4);
        text[groups * 4] = '\0';
        for (size_t i = 0; i < groups * 3 - n; i++) {
            text[groups * 4 - 1 - i] = '=';
        }
        talk_send(t, head, sizeof(head) - 1);
        talk_send(t, text, groups * 4);
        talk_say(t, "\"}}");
        if (more == 0) {
            expect(t, "\"size\":262144,");
        } else {
            expect(t, "/base64: decodes to more than 262144 bytes");
        }
    }
}

static void artifacts_are_read_in_the_order_that_clients_scan_for(void **state)
{
    Talk *t = *state;
    Call *call = fake_calls_add(t->calls, "c1");

    fake_call_set_artifact(call, "bin", "0123456789", 10);
    talk_initialize(t);
    talk_say(t, REQUEST("artifacts/read", "{\"artifact\":\"c1/bin\",\"offset\":0,\"length\":9}"));
    assert_string_equal(talk_hear(t),
                        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"offset\":0,\"base64\":"
                        "\"MDEyMzQ1Njc4\",\"isLast\":false}}");
    talk_say(t, REQUEST("artifacts/read", "{\"artifact\":\"c1/bin\",\"offset\":9,\"length\":9}"));
    expect(t, "\"base64\":\"OQ==\",\"isLast\":true}}");
    assert_int_equal(t->session->artifact.fd, -1);
    talk_say(t, REQUEST("artifacts/read", "{\"artifact\":\"c1/bin\",\"offset\":11,\"length\":1}"));
    expect_code(t, MESSAGE_CONFLICT);
    talk_say(t, REQUEST("artifacts/read", "{\"artifact\":\"c1/bin\",\"offset\":0,"
                                          "\"length\":262145}"));
    expect_code(t, MESSAGE_INVALID_PARAMS);
}

static void an_answer_or_a_notification_is_not_answered_as_a_request(void **state)
{
    Talk *t = *state;

    talk_say(t, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    expect(t, "\"id\":null,\"error\":{\"code\":-32600,");
    talk_say(t, "{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}");
    assert_string_equal(talk_hear(t), "");
}

static void problems_degrade_the_health(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    for (int i = 0; i < 3; i++) {
        (void)fake_calls_add(t->calls, "x");
    }
    talk_say(t, REQUEST("health", "{}"));
    expect(t, "\"status\":\"degraded\"");
}

static void health_waits_for_the_engines(void **state)
{
    Talk *t = *state;

    fake_calls_set_engines(t->calls);
    talk_initialize(t);
    talk_say(t, REQUEST("health", "{}"));
    talk_say(t, REQUEST("ping", "{}"));
    expect(t, "\"result\":{\"time\":\"2"); /* others do not */
    assert_true(fake_calls_tell_engines(t->calls));
    expect(t, "\"status\":\"ok\"");
    assert_false(fake_calls_tell_engines(t->calls));
}

static void a_missing_key_degrades_the_health_after_a_while(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    t->endpoint.started_ms -= 31000;
    talk_say(t, REQUEST("health", "{}"));
    expect(t, "\"problems\":[\"this host has no key");
}

static void an_answer_beyond_the_longest_line_is_an_error(void **state)
{
    Talk *t = *state;
    _cleanup_error_ Error err = {0};
    _cleanup_json_ Json *id = json_new_int(1);
    Request request = {.session = t->session, .id = id};
    char *text = malloc(CHANNEL_LINE_MAX);

    assert_non_null(text);
    memset(text, 'x', CHANNEL_LINE_MAX);
    assert_int_equal(request_answer_take(&request, json_new_string_n(text, CHANNEL_LINE_MAX), &err),
                     -ENOBUFS);
    assert_int_equal(channel_backlog(&t->session->channel), 0);
    assert_int_equal(dispatch_code_of(err.code), MESSAGE_TOO_LARGE);
    free(text);
}

static void what_cannot_be_followed_is_not_started(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    for (int i = 0; i < SUBSCRIPTIONS_MAX; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "x%d", i);
        assert_int_equal(
            subscriptions_add(&t->session->subscriptions, fake_calls_add(t->calls, id), 0, NULL),
            0);
    }
    talk_say(t,
             REQUEST("calls/start", "{\"action\":\"a\",\"idempotencyKey\":\"k\",\"attach\":true}"));
    expect_code(t, MESSAGE_BUSY);
    assert_null(calls_find(t->calls, "c1024"));
}

static void mistakes_in_parameters_point_to_where_they_were_sent(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    fake_calls_fail_next_with(t->calls, -EINVAL, "/size: must be integer\n(top): \"x\" is missing");
    talk_say(t, REQUEST("calls/start", "{\"action\":\"a\",\"idempotencyKey\":\"k\"}"));
    expect(t, "\"/parameters/size: must be integer\\n/parameters: \\\"x\\\" is missing\"");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_method_has_a_schema_for_both_ways),
        TEST(only_two_methods_may_come_first),
        TEST(an_unknown_method_is_told_which_there_are),
        TEST(each_mistake_in_the_parameters_has_its_line),
        TEST(what_the_rooms_below_say_has_a_code),
        TEST(a_result_that_is_not_there_yet_is_a_conflict),
        TEST(inputs_are_decoded_and_checked),
        TEST(the_audit_log_is_handed_on),
        TEST(the_chunk_limit_is_exact),
        TEST(artifacts_are_read_in_the_order_that_clients_scan_for),
        TEST(an_answer_or_a_notification_is_not_answered_as_a_request),
        TEST(problems_degrade_the_health),
        TEST(health_waits_for_the_engines),
        TEST(a_missing_key_degrades_the_health_after_a_while),
        TEST(what_cannot_be_followed_is_not_started),
        TEST(mistakes_in_parameters_point_to_where_they_were_sent),
        TEST(an_answer_beyond_the_longest_line_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
