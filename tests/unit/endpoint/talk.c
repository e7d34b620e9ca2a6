/* SPDX-License-Identifier: MIT */
#include "tests/unit/endpoint/talk.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Turns of the loop without anything to do before it counts as quiet. */
#define QUIET_TURNS 4

void talk_begin_endpoint(Talk *t)
{
    *t = (Talk){.client = -1};
    assert_int_equal(uv_loop_init(&t->loop), 0);
    t->action = (ActionConfig){.name = (char *)"greet"};
    t->config =
        (AgentConfig){.name = (char *)"talk", .slots = 2, .actions = &t->action, .n_actions = 1};
    t->calls = fake_calls_new();
    t->endpoint = (Endpoint){
        .loop = &t->loop,
        .config = &t->config,
        .calls = t->calls,
        .schemas = method_schemas_new(),
        .read_buffer = malloc(SESSION_READ_SIZE),
        .started_ms = clock_monotonic_ms(),
    };
    assert_non_null(t->endpoint.schemas);
    assert_non_null(t->endpoint.read_buffer);
}

static void on_ended(Session *session, void *userdata)
{
    Talk *t = userdata;

    t->session = NULL;
}

void talk_begin(Talk *t)
{
    int pair[2];

    talk_begin_endpoint(t);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    t->client = pair[0];
    assert_int_equal(
        session_open_take(&t->endpoint, pair[1], pair[1], on_ended, t, &t->session, NULL), 0);
}

void talk_end(Talk *t)
{
    talk_hang_up(t);
    talk_turn(t);
    assert_null(t->session);
    talk_end_endpoint(t);
}

void talk_end_endpoint(Talk *t)
{
    assert_int_equal(uv_loop_close(&t->loop), 0);
    t->calls = fake_calls_free(t->calls);
    t->endpoint.schemas = method_schemas_free(t->endpoint.schemas);
    free(t->endpoint.read_buffer);
    buffer_done(&t->heard);
}

void talk_send(Talk *t, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t sent = write(t->client, text, n);

        if (sent < 0) {
            assert_int_equal(errno, EAGAIN);
            talk_turn_deaf(t);
            continue;
        }
        text += sent;
        n -= (size_t)sent;
    }
}

void talk_hang_up(Talk *t)
{
    t->client = fd_close(t->client);
}

static bool hear_some(Talk *t)
{
    char data[65536];
    ssize_t n = t->client >= 0 ? read(t->client, data, sizeof(data)) : 0;

    if (n > 0) {
        assert_int_equal(buffer_append(&t->heard, data, (size_t)n), 0);
    }
    return n > 0;
}

void talk_turn(Talk *t)
{
    for (int quiet = 0; quiet < QUIET_TURNS;) {
        (void)uv_run(&t->loop, UV_RUN_NOWAIT);
        quiet = hear_some(t) ? 0 : quiet + 1;
    }
}

void talk_turn_deaf(Talk *t)
{
    for (int i = 0; i < QUIET_TURNS; i++) {
        (void)uv_run(&t->loop, UV_RUN_NOWAIT);
    }
}

const char *talk_hear(Talk *t)
{
    char *line, *end;

    talk_turn(t);
    if (t->heard.len == t->taken) {
        return "";
    }
    line = t->heard.data + t->taken;
    end = strchr(line, '\n');
    assert_non_null(end);
    *end = '\0';
    t->taken += (size_t)(end - line) + 1;
    return line;
}

void talk_initialize(Talk *t)
{
    talk_say(t, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\"}");
    assert_non_null(strstr(talk_hear(t), "\"protocol\":1"));
    assert_int_equal(t->session->state, SESSION_READY);
}
