/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/session.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/endpoint/talk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"

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

static void attach(Talk *t, const char *call)
{
    char line[128];

    talk_send(t, line,
              (size_t)snprintf(line, sizeof(line),
                               "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"calls/attach\","
                               "\"params\":{\"call\":\"%s\"}}\n",
                               call));
}

static void the_answer_comes_before_the_events(void **state)
{
    Talk *t = *state;
    Call *call = fake_calls_add(t->calls, "c1");

    fake_call_log(call, "stdout", "early", 5);
    talk_initialize(t);
    attach(t, "c1");
    expect(t, "\"id\":2,\"result\":{\"call\":\"c1\",\"state\":\"running\"}");
    expect(t, "\"text\":\"early\"");
    fake_call_log(call, "stdout", "late", 4);
    expect(t, "\"text\":\"late\"");
    fake_call_finish(call);
    expect(t, "call/finished");
    assert_int_equal(t->session->subscriptions.n, 0);
}

static void no_event_comes_after_a_detach(void **state)
{
    Talk *t = *state;
    Call *call = fake_calls_add(t->calls, "c1");

    talk_initialize(t);
    attach(t, "c1");
    expect(t, "\"id\":2");
    fake_call_log(call, "stdout", "lost", 4);
    talk_say(t, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"calls/detach\",\"params\":{\"call\":"
                "\"c1\"}}");
    talk_turn(t);
    fake_call_log(call, "stdout", "gone", 4);
    for (const char *line = talk_hear(t); *line; line = talk_hear(t)) {
        assert_null(strstr(line, "gone"));
    }
}

static void a_line_that_is_too_long_costs_only_itself(void **state)
{
    Talk *t = *state;
    static char half[(SESSION_LINE_MAX + 2) / 2];

    memset(half, 'x', sizeof(half));
    talk_send(t, half, sizeof(half));
    talk_send(t, half, sizeof(half));
    expect(t, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32003,\"message\":\"a line of "
              "more than 1048576 bytes was dropped\"}}");
    talk_say(t, "the rest of it");
    talk_say(t, PING);
    expect(t, "\"result\":{\"time\":");
    assert_true(t->session->reader.buffer.allocated <= 65536);
}

/* Whoever asks and does not read is not read from, and costs one window. */
static void a_deaf_client_is_not_read_from(void **state)
{
    Talk *t = *state;
    _cleanup_buffer_ Buffer pings = {0};
    size_t sent = 0;
    ssize_t n;

    while (pings.len < 4 << 20) {
        assert_int_equal(buffer_append_text(&pings, PING "\n"), 0);
    }
    do {
        n = send(t->client, pings.data + sent, MIN(pings.len - sent, 4096), MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        talk_turn_deaf(t);
        assert_true(channel_backlog(&t->session->channel) <= CHANNEL_WINDOW + 128);
    } while (n > 0 && sent < pings.len);
    assert_true(sent < pings.len);
    assert_int_equal(errno, EAGAIN);
    assert_true(channel_backlog(&t->session->channel) > CHANNEL_WINDOW);

    /* Once it reads, every whole request has its answer. */
    talk_turn(t);
    n = 0;
    for (size_t i = 0; i < t->heard.len; i++) {
        n += t->heard.data[i] == '\n';
    }
    assert_int_equal(n, sent / (sizeof(PING "\n") - 1));
    t->taken = t->heard.len;
}

static void a_deaf_follower_costs_one_window(void **state)
{
    Talk *t = *state;
    Call *call = fake_calls_add(t->calls, "c1");
    static char data[CALL_LOG_CHUNK_MAX];

    memset(data, 'y', sizeof(data));
    talk_initialize(t);
    attach(t, "c1");
    talk_turn(t);
    for (int i = 0; i < 64; i++) {
        fake_call_log(call, "stdout", data, sizeof(data));
        talk_turn_deaf(t);
        assert_true(channel_backlog(&t->session->channel) <=
                    CHANNEL_WINDOW + CALL_LOG_CHUNK_MAX + 256);
    }
    fake_call_finish(call);
    talk_turn(t);
    assert_true(t->heard.len > 64 * sizeof(data));
    assert_int_equal(t->session->subscriptions.n, 0);
    assert_int_equal(t->session->channel.out.allocated, 0); /* given back */
    t->taken = t->heard.len;
}

/* A log without end does not keep requests from their answers. */
static void requests_and_events_take_turns(void **state)
{
    Talk *t = *state;
    Call *call = fake_calls_add(t->calls, "c1");
    static char data[CALL_LOG_CHUNK_MAX];
    const char *answer;

    memset(data, 'y', sizeof(data));
    for (int i = 0; i < 256; i++) {
        fake_call_log(call, "stdout", data, sizeof(data));
    }
    talk_initialize(t);
    attach(t, "c1");
    talk_say(t, "{\"jsonrpc\":\"2.0\",\"id\":\"urgent\",\"method\":\"ping\"}");
    talk_turn(t);
    answer = strstr(t->heard.data + t->taken, "\"urgent\"");
    assert_non_null(answer);
    assert_true(answer - t->heard.data < (ptrdiff_t)(3 * CHANNEL_WINDOW));
    t->taken = t->heard.len;
}

static void a_result_that_was_waited_for_comes(void **state)
{
    Talk *t = *state;
    Call *call = fake_calls_add(t->calls, "c1");

    talk_initialize(t);
    talk_say(t,
             "{\"jsonrpc\":\"2.0\",\"id\":\"w\",\"method\":\"calls/result\",\"params\":{\"call\":"
             "\"c1\",\"wait\":true}}");
    assert_string_equal(talk_hear(t), "");
    talk_say(t, PING); /* others do not wait behind it */
    expect(t, "\"id\":1,");
    fake_call_finish(call);
    expect(t, "\"id\":\"w\",\"result\":{\"call\":\"c1\"}");
}

static void too_many_that_wait_are_refused(void **state)
{
    Talk *t = *state;

    (void)fake_calls_add(t->calls, "c1");
    talk_initialize(t);
    for (int i = 0; i <= WAITING_MAX; i++) {
        talk_say(t, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"calls/result\",\"params\":{"
                    "\"call\":\"c1\",\"wait\":true}}");
    }
    expect(t, "\"id\":5,\"error\":{\"code\":-32002,");
    assert_string_equal(talk_hear(t), "");
    session_stop(t->session);
    for (int i = 0; i < WAITING_MAX; i++) {
        expect(t, "\"id\":5,\"error\":{\"code\":-32007,");
    }
    assert_null(t->session);
}

static void shutdown_ends_it_after_the_answers(void **state)
{
    Talk *t = *state;

    talk_initialize(t);
    talk_say(t, PING);
    talk_say(t, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"shutdown\"}");
    talk_say(t, PING); /* too late */
    expect(t, "\"id\":1,");
    expect(t, "\"id\":2,\"result\":{}}");
    assert_string_equal(talk_hear(t), "");
    assert_null(t->session);
}

/* printf '…' | slipway-agent --stdio: the client's last word is not the agent's. */
static void what_came_before_the_hang_up_is_answered(void **state)
{
    Talk *t = *state;

    talk_say(t, PING);
    talk_send(t, "{\"jsonrpc\"", 10); /* a line that was cut is no line */
    assert_int_equal(shutdown(t->client, SHUT_WR), 0);
    expect(t, "\"id\":1,");
    assert_string_equal(talk_hear(t), "");
    assert_null(t->session);
}

static void a_hang_up_lets_go_of_the_calls(void **state)
{
    Talk *t = *state;
    Call *call = fake_calls_add(t->calls, "c1");

    talk_initialize(t);
    attach(t, "c1");
    talk_say(t,
             "{\"jsonrpc\":\"2.0\",\"id\":\"w\",\"method\":\"calls/result\",\"params\":{\"call\":"
             "\"c1\",\"wait\":true}}");
    talk_turn(t);
    assert_int_equal(fake_call_n_followers(call), 2);
    talk_hang_up(t);
    talk_turn(t);
    assert_null(t->session);
    assert_int_equal(fake_call_n_followers(call), 0);
    fake_call_finish(call);
}

static void events_that_cannot_be_read_end_it_with_a_reason(void **state)
{
    Talk *t = *state;
    Call *call = fake_calls_add(t->calls, "c1");

    talk_initialize(t);
    attach(t, "c1");
    expect(t, "\"id\":2");
    fake_call_log(call, "stdout", "x", 1);
    fake_calls_fail_next(t->calls, -EIO);
    expect(t, "\"id\":null,\"error\":{\"code\":-32008,\"message\":\"following call 'c1'");
    assert_null(t->session);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_answer_comes_before_the_events),
        TEST(no_event_comes_after_a_detach),
        TEST(a_line_that_is_too_long_costs_only_itself),
        TEST(a_deaf_client_is_not_read_from),
        TEST(a_deaf_follower_costs_one_window),
        TEST(requests_and_events_take_turns),
        TEST(a_result_that_was_waited_for_comes),
        TEST(too_many_that_wait_are_refused),
        TEST(shutdown_ends_it_after_the_answers),
        TEST(what_came_before_the_hang_up_is_answered),
        TEST(a_hang_up_lets_go_of_the_calls),
        TEST(events_that_cannot_be_read_end_it_with_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
