/* SPDX-License-Identifier: MIT */
#include "plugin/client/client.h"

#include "tests/unit/client/fake-agent.h"
#include "tests/unit/scratch.h"

#include <errno.h>

/* All events in one text: "NAME CALL SEQ DATA|". */
typedef struct Seen {
    Buffer text;
    SlipwayEvent last; /* its pointers are dead */
    char json_text[512];
} Seen;

static void on_event(SlipwayClient *client, const SlipwayEvent *event, void *userdata)
{
    Seen *seen = userdata;

    assert_int_equal(buffer_append_format(&seen->text, "%s %s %llu", event->name,
                                          event->call ? event->call : "-",
                                          (unsigned long long)event->seq),
                     0);
    if (event->type == SLIPWAY_EVENT_LOG) {
        assert_int_equal(
            buffer_append_format(&seen->text, " %s@%lld:", event->stream, (long long)event->offset),
            0);
        assert_int_equal(buffer_append(&seen->text, event->data, event->data_len), 0);
        assert_null(event->json);
    } else {
        assert_non_null(event->json);
    }
    assert_int_equal(buffer_append_text(&seen->text, "|"), 0);
    assert_int_equal(strnlen(event->text, event->text_len), event->text_len);
    (void)snprintf(seen->json_text, sizeof(seen->json_text), "%.*s", (int)event->text_len,
                   event->text);
    seen->last = *event;
}

static void seen_done(Seen *seen)
{
    buffer_done(&seen->text);
}
#define _cleanup_seen_ _cleanup_(seen_done)

static void expect_seen(Seen *seen, const char *expected)
{
    assert_string_equal(buffer_text(&seen->text), expected);
    buffer_clear(&seen->text);
}

static void say_event(FakeAgent *agent, const char *name, const char *call, unsigned seq,
                      const char *more)
{
    fake_agent_say(agent,
                   "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":{\"call\":\"%s\",\"seq\":%u,"
                   "\"time\":\"2026-01-01T00:00:00.000000Z\"%s%s}}",
                   name, call, seq, *more ? "," : "", more);
}

static void say_log(FakeAgent *agent, const char *call, unsigned seq, const char *text)
{
    _cleanup_free_ char *more = NULL;

    assert_true(
        asprintf(&more, "\"stream\":\"stdout\",\"offset\":%u,\"text\":\"%s\"", seq * 10, text) > 0);
    say_event(agent, "call/log", call, seq, more);
}

static void attach(FakePair *pair, Seen *seen, const char *call, uint64_t after)
{
    _cleanup_json_ Json *request = NULL;

    slipway_client_set_event_callback(pair->client, on_event, seen);
    assert_int_equal(slipway_call_attach(pair->client, call, after, NULL, NULL), 0);
    request = fake_agent_expect(&pair->agent, pair->client, "calls/attach");
    assert_string_equal(json_as_string(json_pointer(request, "/params/call")), call);
    assert_int_equal(json_as_int(json_pointer(request, "/params/after"), 0), after);
    fake_agent_answer(&pair->agent, request, "{\"call\":\"%s\",\"state\":\"running\"}", call);
}

static int settle(FakePair *pair)
{
    return fake_agent_settle(&pair->agent, pair->client);
}

static void test_events(void **state)
{
    FakePair *pair = *state;
    _cleanup_seen_ Seen seen = {0};

    attach(pair, &seen, "c1", 0);
    say_event(&pair->agent, "call/started", "c1", 1, "\"pid\":5");
    say_log(&pair->agent, "c1", 2, "a\\nb");
    /* The same by the full parser: members in another order, an escape that the fast path does not
     * know, bytes that are no text. */
    fake_agent_say(&pair->agent,
                   "{\"method\":\"call/log\",\"jsonrpc\":\"2.0\",\"params\":{\"offset\":3,\"text\":"
                   "\"\\u00e4\",\"seq\":3,\"stream\":\"stderr\",\"call\":\"c1\",\"time\":\"t\"}}");
    say_event(&pair->agent, "call/log", "c1", 4,
              "\"stream\":\"stdout\",\"offset\":5,\"base64\":\"eHl6\"");
    say_event(&pair->agent, "call/log", "c1", 5,
              "\"stream\":\"stdout\",\"offset\":8,\"new\":1,\"base64\":\"eHl6\"");
    say_event(&pair->agent, "call/progress", "c1", 6, "\"done\":1");
    say_event(&pair->agent, "call/output", "c1", 7, "\"name\":\"n\",\"value\":1");
    say_event(&pair->agent, "call/artifact", "c1", 8, "\"name\":\"a\"");
    say_event(&pair->agent, "call/weather", "c1", 9, "");
    assert_int_equal(settle(pair), 0);
    expect_seen(&seen,
                "call/started c1 1|call/log c1 2 stdout@20:a\nb|call/log c1 3 stderr@3:\u00e4|"
                "call/log c1 4 stdout@5:xyz|call/log c1 5 stdout@8:xyz|call/progress c1 6|"
                "call/output c1 7|call/artifact c1 8|call/weather c1 9|");
    assert_int_equal(seen.last.type, SLIPWAY_EVENT_OTHER);
    assert_int_equal(slipway_call_get_last_seq(pair->client, "c1"), 9);
    assert_int_equal(slipway_call_get_last_seq(pair->client, "c2"), 0);

    say_event(&pair->agent, "call/finished", "c1", 10, "\"result\":{\"status\":\"succeeded\"}");
    assert_int_equal(settle(pair), 0);
    expect_seen(&seen, "call/finished c1 10|");
    assert_string_equal(seen.json_text,
                        "{\"call\":\"c1\",\"seq\":10,\"time\":\"2026-01-01T00:00:00.000000Z\","
                        "\"result\":{\"status\":\"succeeded\"}}");
    assert_int_equal(slipway_call_get_last_seq(pair->client, "c1"), 0); /* followed no longer */
}

/* The text of a log event is the same JSON, whichever parser read it. */
static void test_texts(void **state)
{
    FakePair *pair = *state;
    _cleanup_seen_ Seen seen = {0};
    char fast[512];

    attach(pair, &seen, "c1", 0);
    say_log(&pair->agent, "c1", 1, "x\\n");
    assert_int_equal(settle(pair), 0);
    (void)strcpy(fast, seen.json_text);
    fake_agent_say(
        &pair->agent,
        "{\"jsonrpc\":\"2.0\",\"method\":\"call/log\", \"params\":{\"call\":\"c1\",\"seq\":2,"
        "\"time\":\"2026-01-01T00:00:00.000000Z\",\"stream\":\"stdout\",\"offset\":10,"
        "\"text\":\"x\\n\"}}");
    assert_int_equal(settle(pair), 0);
    *strchr(seen.json_text, '2') = '1'; /* the seq */
    assert_string_equal(seen.json_text, fast);
}

static void test_seen_before(void **state)
{
    FakePair *pair = *state;
    _cleanup_seen_ Seen seen = {0};

    attach(pair, &seen, "c1", 2);
    say_log(&pair->agent, "c1", 1, "old");
    say_event(&pair->agent, "call/progress", "c1", 2, "");
    say_log(&pair->agent, "c1", 3, "new");
    say_log(&pair->agent, "c1", 3, "again");
    assert_int_equal(settle(pair), 0);
    expect_seen(&seen, "call/log c1 3 stdout@30:new|");
}

static void test_gap(void **state)
{
    FakePair *pair = *state;
    _cleanup_seen_ Seen seen = {0};

    attach(pair, &seen, "c1", 0);
    say_log(&pair->agent, "c1", 1, "a");
    say_log(&pair->agent, "c1", 4, "b");
    assert_int_equal(settle(pair), -ENOTCONN);
    expect_seen(&seen, "call/log c1 1 stdout@10:a|");
    assert_non_null(strstr(slipway_client_get_error(pair->client),
                           "the agent left out events 2 to 3 of call 'c1'"));
}

static void test_broken_events(void **state)
{
    static const char *const events[] = {
        "\"offset\":1,\"text\":\"x\"",
        "\"stream\":\"stdout\",\"text\":\"x\"",
        "\"stream\":\"stdout\",\"offset\":1",
        "\"stream\":\"stdout\",\"offset\":1,\"base64\":\"?\"",
        "\"stream\":\"stdout\",\"offset\":-1,\"text\":\"x\"",
    };

    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        void *inner = NULL;

        assert_int_equal(fake_pair_setup(&inner), 0);
        say_event(&((FakePair *)inner)->agent, "call/log", "c1", 1, events[i]);
        assert_int_equal(settle(inner), -ENOTCONN);
        assert_int_equal(fake_pair_teardown(&inner), 0);
    }
}

/* Two calls at once; the seq is each one's own. */
static void test_two_calls(void **state)
{
    FakePair *pair = *state;
    _cleanup_seen_ Seen seen = {0};

    attach(pair, &seen, "c1", 0);
    attach(pair, &seen, "c11", 0);
    say_log(&pair->agent, "c1", 1, "a");
    say_log(&pair->agent, "c11", 1, "b");
    say_log(&pair->agent, "c1", 2, "c");
    assert_int_equal(settle(pair), 0);
    expect_seen(&seen, "call/log c1 1 stdout@10:a|call/log c11 1 stdout@10:b|"
                       "call/log c1 2 stdout@20:c|");
    assert_int_equal(slipway_call_get_last_seq(pair->client, "c1"), 2);
    assert_int_equal(slipway_call_get_last_seq(pair->client, "c11"), 1);
}

static void test_start(void **state)
{
    FakePair *pair = *state;
    SlipwayJson *params = slipway_json_new_object();
    _cleanup_json_ Json *request = NULL;
    _cleanup_seen_ Seen seen = {0};

    slipway_client_set_event_callback(pair->client, on_event, &seen);
    assert_int_equal(slipway_json_set_bool(params, "/attach", true), 0);
    assert_int_equal(slipway_call_start(pair->client, params, NULL, NULL), 0);
    (void)slipway_json_unref(params);
    request = fake_agent_expect(&pair->agent, pair->client, "calls/start");
    fake_agent_answer(&pair->agent, request, "{\"call\":\"c9\",\"state\":\"running\"}");
    say_log(&pair->agent, "c9", 1, "a");
    assert_int_equal(settle(pair), 0);
    expect_seen(&seen, "call/log c9 1 stdout@10:a|");
    assert_int_equal(slipway_call_get_last_seq(pair->client, "c9"), 1);
}

static void test_detach_and_cancel(void **state)
{
    FakePair *pair = *state;
    _cleanup_json_ Json *detach = NULL, *cancel = NULL;
    _cleanup_seen_ Seen seen = {0};

    attach(pair, &seen, "c1", 0);
    assert_int_equal(slipway_call_detach(pair->client, "c1", NULL, NULL), 0);
    assert_int_equal(slipway_call_cancel(pair->client, "c1", NULL, NULL), 0);
    detach = fake_agent_expect(&pair->agent, pair->client, "calls/detach");
    cancel = fake_agent_expect(&pair->agent, pair->client, "calls/cancel");
    say_log(&pair->agent, "c1", 1, "still counted");
    fake_agent_answer(&pair->agent, detach, "{}");
    fake_agent_answer(&pair->agent, cancel, "{\"call\":\"c1\",\"state\":\"running\"}");
    assert_int_equal(settle(pair), 0);
    expect_seen(&seen, "call/log c1 1 stdout@10:still counted|");
    assert_int_equal(slipway_call_get_last_seq(pair->client, "c1"), 0);
}

/* ---- over an outage ----------------------------------------------------------------------------
 */

static SlipwayClient *connect_by_path(FakeAgent *agent, void **state, Seen *seen)
{
    SlipwayClient *client = slipway_client_new(NULL, NULL);
    char address[160];

    (void)snprintf(address, sizeof(address), "unix:%s/agent.sock", SCRATCH_PATH);
    fake_agent_listen(agent, address + 5);
    slipway_client_set_reconnect(client, 10000);
    slipway_client_set_event_callback(client, on_event, seen);
    assert_int_equal(slipway_client_connect(client, address), 0);
    fake_agent_accept(agent, client);
    fake_agent_greet(agent, client);
    return client;
}

/* C → A: attach c1 · A → C: 1, 2 and half a line, then nothing · C → A: attach c1 after 2 · A → C:
 * 2 (once too often), 3 */
static void test_goes_on(void **state)
{
    _cleanup_fake_agent_ FakeAgent agent = FAKE_AGENT_EMPTY;
    _cleanup_seen_ Seen seen = {0};
    SlipwayClient *client = connect_by_path(&agent, state, &seen);
    _cleanup_json_ Json *before = NULL, *again = NULL;

    assert_int_equal(slipway_call_attach(client, "c1", 0, NULL, NULL), 0);
    before = fake_agent_expect(&agent, client, "calls/attach");
    fake_agent_answer(&agent, before, "{}");
    say_log(&agent, "c1", 1, "a");
    say_log(&agent, "c1", 2, "b");
    assert_int_equal(fd_write_all(agent.fd, "{\"jsonrpc\":\"2.0\",\"meth", 22), 0);
    assert_int_equal(fake_agent_settle(&agent, client), 0);

    fake_agent_accept(&agent, client); /* hangs up first */
    fake_agent_greet(&agent, client);
    again = fake_agent_expect(&agent, client, "calls/attach");
    assert_int_equal(json_as_int(json_pointer(again, "/params/after"), -1), 2);
    fake_agent_answer(&agent, again, "{}");
    say_log(&agent, "c1", 2, "b");
    say_log(&agent, "c1", 3, "c");
    assert_int_equal(fake_agent_settle(&agent, client), 0);
    expect_seen(&seen, "call/log c1 1 stdout@10:a|call/log c1 2 stdout@20:b|"
                       "call/log c1 3 stdout@30:c|");
    (void)slipway_client_free(client);
}

/* A start that was not answered is asked again and leads to the same call. */
static void test_start_goes_on(void **state)
{
    _cleanup_fake_agent_ FakeAgent agent = FAKE_AGENT_EMPTY;
    _cleanup_seen_ Seen seen = {0};
    SlipwayClient *client = connect_by_path(&agent, state, &seen);
    SlipwayJson *params = slipway_json_new_object();
    _cleanup_json_ Json *before = NULL, *again = NULL;

    assert_int_equal(slipway_json_set_bool(params, "/attach", true), 0);
    assert_int_equal(slipway_json_set_string(params, "/idempotencyKey", "k"), 0);
    assert_int_equal(slipway_call_start(client, params, NULL, NULL), 0);
    (void)slipway_json_unref(params);
    before = fake_agent_expect(&agent, client, "calls/start");
    fake_agent_accept(&agent, client);
    fake_agent_greet(&agent, client);
    again = fake_agent_expect(&agent, client, "calls/start");
    assert_true(json_equal(before, again));
    fake_agent_answer(&agent, again, "{\"call\":\"c1\",\"isExisting\":true}");
    say_log(&agent, "c1", 1, "a");
    assert_int_equal(fake_agent_settle(&agent, client), 0);
    expect_seen(&seen, "call/log c1 1 stdout@10:a|");
    (void)slipway_client_free(client);
}

/* More calls than requests that may wait: attaching again takes several rounds, and what is not
 * followed any more is not attached again. */
static void test_many_go_on(void **state)
{
    _cleanup_fake_agent_ FakeAgent agent = FAKE_AGENT_EMPTY;
    _cleanup_seen_ Seen seen = {0};
    SlipwayClient *client = connect_by_path(&agent, state, &seen);
    unsigned in_flight = 0;
    char call[16];

    for (unsigned i = 0; i < 200; i++) {
        _cleanup_json_ Json *request = NULL;

        (void)snprintf(call, sizeof(call), "c%u", i);
        assert_int_equal(slipway_call_attach(client, call, i, NULL, NULL), 0);
        request = fake_agent_expect(&agent, client, "calls/attach");
        fake_agent_answer(&agent, request, "{}");
        assert_int_equal(fake_agent_settle(&agent, client), 0);
    }
    say_event(&agent, "call/finished", "c0", 1, "\"result\":{}");
    assert_int_equal(fake_agent_settle(&agent, client), 0);

    fake_agent_accept(&agent, client);
    fake_agent_greet(&agent, client);
    for (unsigned i = 0; i < 199; i++) {
        Json *requests[64];

        for (in_flight = 0; in_flight < 64 && i + in_flight < 199; in_flight++) {
            requests[in_flight] = fake_agent_expect(&agent, client, "calls/attach");
        }
        fake_agent_expect_silence(&agent, client);
        for (unsigned k = 0; k < in_flight; k++) {
            fake_agent_answer(&agent, requests[k], "{}");
            (void)json_unref(requests[k]);
        }
        assert_int_equal(fake_agent_settle(&agent, client), 0);
        i += in_flight - 1;
    }
    fake_agent_expect_silence(&agent, client);
    assert_int_equal(slipway_call_get_last_seq(client, "c0"), 0);
    assert_int_equal(slipway_call_get_last_seq(client, "c199"), 199);
    (void)slipway_client_free(client);
}

/* Another agent is there now, which has never heard of the call: nothing will come any more, and
 * waiting would be for ever. */
static void test_forgotten_call(void **state)
{
    _cleanup_fake_agent_ FakeAgent agent = FAKE_AGENT_EMPTY;
    _cleanup_seen_ Seen seen = {0};
    SlipwayClient *client = connect_by_path(&agent, state, &seen);
    _cleanup_json_ Json *before = NULL, *again = NULL;

    assert_int_equal(slipway_call_attach(client, "c1", 0, NULL, NULL), 0);
    before = fake_agent_expect(&agent, client, "calls/attach");
    fake_agent_answer(&agent, before, "{}");
    assert_int_equal(fake_agent_settle(&agent, client), 0);
    fake_agent_accept(&agent, client);
    fake_agent_greet(&agent, client);
    again = fake_agent_expect(&agent, client, "calls/attach");
    fake_agent_refuse(&agent, again, SLIPWAY_ERROR_NOT_FOUND, "no such call");
    assert_int_equal(fake_agent_settle(&agent, client), -ENOTCONN);
    assert_non_null(strstr(slipway_client_get_error(client), "no such call"));
    (void)slipway_client_free(client);
}

static void test_limit(void **state)
{
    FakePair *pair = *state;
    _cleanup_seen_ Seen seen = {0};
    char call[16];

    for (unsigned i = 0; i < CLIENT_FOLLOWED_MAX; i++) {
        (void)snprintf(call, sizeof(call), "c%u", i);
        attach(pair, &seen, call, 0);
        assert_int_equal(slipway_client_process(pair->client), 0);
    }
    assert_int_equal(settle(pair), 0);
    assert_int_equal(slipway_call_attach(pair->client, "more", 0, NULL, NULL), -EBUSY);
    assert_non_null(strstr(slipway_client_get_error(pair->client), "1024 calls are followed"));
    say_event(&pair->agent, "call/finished", "c7", 1, "\"result\":{}");
    assert_int_equal(settle(pair), 0);
    attach(pair, &seen, "more", 0);
    assert_int_equal(settle(pair), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fake_pair_test(test_events),          fake_pair_test(test_texts),
        fake_pair_test(test_seen_before),     fake_pair_test(test_gap),
        cmocka_unit_test(test_broken_events), fake_pair_test(test_two_calls),
        fake_pair_test(test_start),           fake_pair_test(test_detach_and_cancel),
        scratch_test(test_goes_on),           scratch_test(test_start_goes_on),
        scratch_test(test_many_go_on),        scratch_test(test_forgotten_call),
        fake_pair_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
