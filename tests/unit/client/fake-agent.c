/* SPDX-License-Identifier: MIT */
#include "tests/unit/client/fake-agent.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* Far more than anything here takes; who waits so long has failed. */
#define PATIENCE_MS 10000
#define LINE_MAX_BYTES ((size_t)2 << 20)

void fake_agent_hang_up(FakeAgent *agent)
{
    agent->fd = fd_close(agent->fd);
    ndjson_reader_done(&agent->reader);
    ndjson_reader_init(&agent->reader, LINE_MAX_BYTES);
}

void fake_agent_done(FakeAgent *agent)
{
    fake_agent_hang_up(agent);
    ndjson_reader_done(&agent->reader);
    agent->listener = fd_close(agent->listener);
}

SlipwayClient *fake_agent_connect(FakeAgent *agent)
{
    SlipwayClient *client = slipway_client_new("test", "1");
    int pair[2];

    assert_non_null(client);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *agent = (FakeAgent){.fd = pair[0], .listener = -1, .client = client};
    ndjson_reader_init(&agent->reader, LINE_MAX_BYTES);
    assert_int_equal(slipway_client_connect_fd_take(client, pair[1]), 0);
    return client;
}

void fake_agent_listen(FakeAgent *agent, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *agent = FAKE_AGENT_EMPTY;
    ndjson_reader_init(&agent->reader, LINE_MAX_BYTES);
    assert_true(strlen(path) < sizeof(address.sun_path));
    (void)strcpy(address.sun_path, path);
    agent->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(agent->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(agent->listener, 8), 0);
}

/* Until one of the two descriptors has something, or the client's own time has come. */
static void wait_for_something(int fd, SlipwayClient *client, int64_t deadline)
{
    struct pollfd wait[2] = {
        {.fd = fd, .events = POLLIN},
        {.fd = slipway_client_get_fd(client), .events = slipway_client_get_events(client)},
    };
    int64_t left = deadline - clock_monotonic_ms();
    int own = slipway_client_get_timeout_ms(client);

    if (left <= 0) {
        fail_msg("nothing happened; the client says: %s", slipway_client_get_error(client));
    }
    (void)poll(wait, 2, own >= 0 && own < left ? own : (int)left);
}

void fake_agent_accept(FakeAgent *agent, SlipwayClient *client)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

    fake_agent_hang_up(agent);
    agent->client = client;
    for (;;) {
        agent->fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);
        if (agent->fd >= 0) {
            return;
        }
        (void)slipway_client_process(client);
        wait_for_something(agent->listener, client, deadline);
    }
}

/* 1 and the message, 0 when there is none, -ENOTCONN when the client hung up. */
static int next_message(FakeAgent *agent, Json **ret)
{
    const char *line;
    char chunk[65536];
    ssize_t n;
    size_t len;
    int r;

    for (;;) {
        r = ndjson_reader_next(&agent->reader, &line, &len);
        if (r > 0) {
            assert_int_equal(json_parse(line, len, ret, NULL), 0);
            return 1;
        }
        assert_int_equal(r, 0);
        n = recv(agent->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            return 0;
        }
        if (n <= 0) {
            return -ENOTCONN;
        }
        assert_int_equal(ndjson_reader_feed(&agent->reader, chunk, (size_t)n), 0);
    }
}

Json *fake_agent_expect(FakeAgent *agent, SlipwayClient *client, const char *method)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    Json *message = NULL;
    int r;

    for (;;) {
        (void)slipway_client_process(client);
        r = next_message(agent, &message);
        if (r < 0) {
            fail_msg("waiting for %s, the client hung up: %s", method,
                     slipway_client_get_error(client));
        }
        if (r > 0) {
            break;
        }
        wait_for_something(agent->fd, client, deadline);
    }
    assert_string_equal(json_get_string(message, "jsonrpc"), "2.0");
    assert_string_equal(json_get_string(message, "method"), method);
    return message;
}

void fake_agent_expect_silence(FakeAgent *agent, SlipwayClient *client)
{
    Json *message = NULL;

    (void)slipway_client_process(client);
    (void)slipway_client_process(client);
    if (next_message(agent, &message) > 0) {
        fail_msg("the client said %s", json_get_string(message, "method"));
    }
}

/* A line that is larger than the socket holds goes in turns. */
static void write_line(FakeAgent *agent, const Buffer *line)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    size_t sent = 0;

    while (sent < line->len) {
        ssize_t n =
            send(agent->fd, line->data + sent, line->len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            assert_true(clock_monotonic_ms() < deadline);
            (void)slipway_client_process(agent->client);
            continue;
        }
        assert_true(n > 0);
        sent += (size_t)n;
    }
}

void fake_agent_say(FakeAgent *agent, const char *format, ...)
{
    _cleanup_buffer_ Buffer line = {0};
    _cleanup_free_ char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    assert_true(vasprintf(&text, format, arguments) >= 0);
    va_end(arguments);
    assert_int_equal(buffer_append_format(&line, "%s\n", text), 0);
    write_line(agent, &line);
}

void fake_agent_answer(FakeAgent *agent, const Json *request, const char *format, ...)
{
    _cleanup_buffer_ Buffer line = {0};
    _cleanup_free_ char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    assert_true(vasprintf(&text, format, arguments) >= 0);
    va_end(arguments);
    assert_int_equal(buffer_append_format(&line,
                                          "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":%s}\n",
                                          (long long)json_get_int(request, "id", -1), text),
                     0);
    write_line(agent, &line);
}

void fake_agent_refuse(FakeAgent *agent, const Json *request, int code, const char *message)
{
    fake_agent_say(agent,
                   "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"error\":{\"code\":%d,\"message\":\"%s\"}}",
                   (long long)json_get_int(request, "id", -1), code, message);
}

void fake_agent_greet(FakeAgent *agent, SlipwayClient *client)
{
    _cleanup_json_ Json *request = fake_agent_expect(agent, client, "initialize");

    fake_agent_answer(agent, request,
                      "{\"agent\":{\"name\":\"fake\",\"version\":\"1\"},\"protocol\":1,"
                      "\"methods\":[],\"events\":[],\"slots\":1,\"limits\":{"
                      "\"maxLineBytes\":1048576,\"maxChunkBytes\":262144,"
                      "\"maxPendingRequests\":64}}");
    assert_int_equal(fake_agent_settle(agent, client), 0);
    assert_non_null(slipway_client_get_agent(client));
}

/* Each turn takes all that is in the socket; a hang-up may need one more. */
int fake_agent_settle(FakeAgent *agent, SlipwayClient *client)
{
    int r = slipway_client_process(client);

    return r == 0 ? slipway_client_process(client) : r;
}

int fake_pair_setup(void **state)
{
    FakePair *pair = calloc(1, sizeof(*pair));

    assert_non_null(pair);
    pair->client = fake_agent_connect(&pair->agent);
    fake_agent_greet(&pair->agent, pair->client);
    *state = pair;
    return 0;
}

int fake_pair_teardown(void **state)
{
    FakePair *pair = *state;

    pair->client = slipway_client_free(pair->client);
    fake_agent_done(&pair->agent);
    free(pair);
    return 0;
}
