/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/session.h"

#include "agent/endpoint/dispatch.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* How long a client that hung up or shut down may take to read the last lines. */
#define DRAIN_MS 10000
/* The same when the agent itself goes. */
#define STOP_MS 2000
/* An idle session keeps no more than this of its line buffer. */
#define IDLE_LINE_SIZE ((size_t)16 << 10)

/* ---- states -----------------------------------------------------------------------------------
 */

static void set_state(Session *s, SessionState state)
{
    static const char *const names[_SESSION_STATE_MAX] = {
        [SESSION_NEW] = "new",
        [SESSION_READY] = "ready",
        [SESSION_DRAINING] = "draining",
        [SESSION_CLOSED] = "closed",
    };
    static const unsigned allowed[_SESSION_STATE_MAX] = {
        [SESSION_NEW] = 1u << SESSION_READY | 1u << SESSION_DRAINING | 1u << SESSION_CLOSED,
        [SESSION_READY] = 1u << SESSION_DRAINING | 1u << SESSION_CLOSED,
        [SESSION_DRAINING] = 1u << SESSION_CLOSED,
    };

    assert(allowed[s->state] & 1u << state);
    log_debug("connection %d: %s → %s", s->channel.input.fd, names[s->state], names[state]);
    s->state = state;
}

static bool is_open(const Session *s)
{
    return s->state == SESSION_NEW || s->state == SESSION_READY;
}

/* The two things with handles of the loop, channel and timer, are closed: now it can go. */
static void on_part_closed(Session *s)
{
    if (--s->n_open > 0) {
        return;
    }
    ndjson_reader_done(&s->reader);
    open_artifact_done(&s->artifact);
    s->ended(s, s->userdata);
    free(s);
}

static void on_channel_closed(void *userdata)
{
    on_part_closed(userdata);
}

static void on_timer_closed(uv_handle_t *timer)
{
    on_part_closed(timer->data);
}

static void close_now(Session *s)
{
    set_state(s, SESSION_CLOSED);
    subscriptions_done(&s->subscriptions);
    waiting_done(&s->waiting);
    channel_close(&s->channel);
    uv_close((uv_handle_t *)&s->drain_timer, on_timer_closed);
}

static void on_drain_timer(uv_timer_t *timer)
{
    Session *s = timer->data;

    log_debug("connection %d: it does not read, closing", s->channel.input.fd);
    close_now(s);
}

static void start_draining(Session *s, uint64_t timeout_ms)
{
    set_state(s, SESSION_DRAINING);
    subscriptions_done(&s->subscriptions);
    waiting_done(&s->waiting);
    (void)uv_timer_start(&s->drain_timer, on_drain_timer, timeout_ms, 0);
}

void session_set_initialized(Session *s)
{
    if (s->state == SESSION_NEW) {
        set_state(s, SESSION_READY);
    }
}

void session_drain(Session *s)
{
    start_draining(s, DRAIN_MS);
}

/* ---- progress ---------------------------------------------------------------------------------
 */

/* An error about the connection as a whole has no id. */
static int say_problem(Session *s, MessageErrorCode code, const char *text)
{
    return message_append_error(&s->channel.out, NULL, code, text, NULL);
}

static int refuse_long_line(Session *s)
{
    _cleanup_error_ Error problem = {0};

    (void)error_set(&problem, -EMSGSIZE, "a line of more than %zu bytes was dropped",
                    SESSION_LINE_MAX);
    return say_problem(s, MESSAGE_TOO_LARGE, problem.text);
}

static bool has_room(const Session *s)
{
    return channel_backlog(&s->channel) <= CHANNEL_WINDOW;
}

static int take_lines(Session *s)
{
    s->has_lines = false;
    while (is_open(s)) {
        const char *line;
        size_t n;
        int r;

        if (!has_room(s)) {
            s->has_lines = true;
            return 0;
        }
        r = ndjson_reader_next(&s->reader, &line, &n);
        if (r == 0) {
            break;
        }
        r = r == -EMSGSIZE ? refuse_long_line(s) : r < 0 ? r : dispatch_line(s, line, n);
        if (r < 0) {
            return r;
        }
    }
    if (s->is_input_over && is_open(s)) {
        start_draining(s, DRAIN_MS); /* a line that a hang-up cut is no line */
    }
    return 0;
}

static int read_result(Session *s, const char *name, Json **ret, Error *err)
{
    Call *call = calls_find(s->endpoint->calls, name);

    return call ? call_read_result(call, ret, err)
                : error_set(err, -ENOENT, "call '%s' is not kept any more", name);
}

static int answer_waiting(Session *s)
{
    while (s->state == SESSION_READY && has_room(s)) {
        _cleanup_json_ Json *id = NULL, *result = NULL;
        _cleanup_free_ char *name = NULL;
        _cleanup_error_ Error problem = {0};
        int r = waiting_take(&s->waiting, false, &id, &name);

        if (r == 0) {
            break;
        }
        r = name ? read_result(s, name, &result, &problem)
                 : dispatch_describe_health(s->endpoint, &result, &problem);
        r = r == 0 ? message_append_result(&s->channel.out, id, result)
                   : message_append_error(&s->channel.out, id, dispatch_code_of(r),
                                          error_text(&problem), NULL);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int pull_events(Session *s)
{
    _cleanup_error_ Error problem = {0};
    int r;

    if (s->state != SESSION_READY) {
        return 0;
    }
    r = subscriptions_pull(&s->subscriptions, &s->channel.out, s->channel.sent + CHANNEL_WINDOW,
                           &problem);
    if (r < 0) {
        /* A gap in the events cannot be told in an event; whoever connects again may try again. */
        r = say_problem(s, MESSAGE_STORAGE, error_text(&problem));
        start_draining(s, DRAIN_MS);
    }
    return r;
}

/* Requests and events take turns in who may fill the window first, so that neither starves. */
static int advance(Session *s)
{
    bool is_turn_of_events = s->is_turn_of_events;
    int r = channel_flush(&s->channel);

    s->is_turn_of_events = !is_turn_of_events;
    if (r >= 0 && is_turn_of_events) {
        r = pull_events(s);
    }
    r = r < 0 ? r : answer_waiting(s);
    r = r < 0 ? r : take_lines(s);
    if (r >= 0 && !is_turn_of_events) {
        r = pull_events(s);
    }
    return r < 0 ? r : channel_flush(&s->channel);
}

static bool has_more_to_send(const Session *s)
{
    return channel_backlog(&s->channel) > 0 || s->has_lines ||
           subscriptions_has_ready(&s->subscriptions) || waiting_has_finished(&s->waiting);
}

static void trim(Session *s)
{
    channel_trim(&s->channel);
    if (ndjson_reader_pending(&s->reader) == 0 && !s->reader.is_skipping &&
        s->reader.buffer.allocated > IDLE_LINE_SIZE) {
        ndjson_reader_done(&s->reader);
        ndjson_reader_init(&s->reader, SESSION_LINE_MAX);
    }
}

static void run(Session *s)
{
    int r = advance(s);
    bool wants_output;

    if (r < 0) {
        log_debug("connection %d: %s, closing", s->channel.input.fd, strerror(-r));
        close_now(s);
        return;
    }
    if (s->state == SESSION_DRAINING && channel_backlog(&s->channel) == 0) {
        close_now(s);
        return;
    }
    wants_output = has_more_to_send(s);
    channel_want(&s->channel, is_open(s) && !s->is_input_over && !s->has_lines && has_room(s),
                 wants_output);
    if (!wants_output) {
        trim(s);
    }
}

/* ---- what may wake it -------------------------------------------------------------------------
 */

static void on_readable(void *userdata)
{
    Session *s = userdata;
    char *data = s->endpoint->read_buffer;
    ssize_t n = channel_read(&s->channel, data, SESSION_READ_SIZE);
    int r = 0;

    if (n == -EAGAIN) {
        return;
    }
    if (n > 0) {
        r = ndjson_reader_feed(&s->reader, data, (size_t)n);
    } else {
        s->is_input_over = true; /* for a connection that was reset, sending will tell */
    }
    if (r < 0) {
        log_error_errno(r, "connection %d: reading, closing", s->channel.input.fd);
        close_now(s);
        return;
    }
    run(s);
}

static void on_writable(void *userdata)
{
    run(userdata);
}

/* Not at once: this comes from inside the calls' own work. */
static void on_woken(void *userdata)
{
    Session *s = userdata;

    channel_want(&s->channel, s->channel.wants_input, true);
}

/* ---- beginning and end ------------------------------------------------------------------------
 */

static const ChannelEvents channel_events = {
    .readable = on_readable,
    .writable = on_writable,
    .closed = on_channel_closed,
};

int session_open_take(Endpoint *endpoint, int in_fd, int out_fd,
                      void (*ended)(Session *session, void *userdata), void *userdata,
                      Session **ret, Error *err)
{
    Session *s = calloc(1, sizeof(*s));
    int r;

    if (!s) {
        (void)fd_close(in_fd);
        (void)(out_fd != in_fd ? fd_close(out_fd) : 0);
        return error_set(err, -ENOMEM, "out of memory");
    }
    *s = (Session){
        .endpoint = endpoint,
        .artifact = OPEN_ARTIFACT_EMPTY,
        .n_open = 2,
        .ended = ended,
        .userdata = userdata,
    };
    ndjson_reader_init(&s->reader, SESSION_LINE_MAX);
    subscriptions_init(&s->subscriptions, on_woken, s);
    waiting_init(&s->waiting, endpoint->calls, on_woken, s);
    (void)uv_timer_init(endpoint->loop, &s->drain_timer); /* cannot fail */
    s->drain_timer.data = s;
    r = channel_open_take(&s->channel, endpoint->loop, in_fd, out_fd, &channel_events, s, err);
    *ret = s;
    if (r < 0) {
        close_now(s);
        return r;
    }
    channel_want(&s->channel, true, false);
    return 0;
}

void session_stop(Session *s)
{
    int r = 0;

    if (!is_open(s)) {
        return;
    }
    for (;;) {
        _cleanup_json_ Json *id = NULL;
        _cleanup_free_ char *call = NULL;

        if (r < 0 || waiting_take(&s->waiting, true, &id, &call) == 0) {
            break;
        }
        r = message_append_error(&s->channel.out, id, MESSAGE_SHUTTING_DOWN,
                                 call ? "the agent is shutting down; the call goes on"
                                      : "the agent is shutting down",
                                 NULL);
    }
    start_draining(s, STOP_MS);
    run(s);
}
