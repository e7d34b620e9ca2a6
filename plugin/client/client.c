/* SPDX-License-Identifier: MIT */
#include "plugin/client/client.h"

#include "plugin/client/version.h"
#include "plugin/client/wire.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* What one process() reads at most, so that a loop with other work gets its turn. */
#define READ_SIZE ((size_t)256 << 10)
#define READS_MAX 16

_public_ const char *slipway_version(void)
{
    return SLIPWAY_VERSION;
}

/* ---- errors and states ------------------------------------------------------------------------
 */

int client_fail(SlipwayClient *client, int code, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    return error_set(&client->error, code, "%s", text ? text : "out of memory");
}

static void set_state(SlipwayClient *client, ClientState state)
{
    static const unsigned allowed[_CLIENT_STATE_MAX] = {
        [CLIENT_IDLE] = 1u << CLIENT_INITIALIZING,
        [CLIENT_INITIALIZING] = 1u << CLIENT_READY | 1u << CLIENT_WAITING | 1u << CLIENT_BROKEN,
        [CLIENT_READY] = 1u << CLIENT_WAITING | 1u << CLIENT_BROKEN,
        [CLIENT_WAITING] = 1u << CLIENT_INITIALIZING | 1u << CLIENT_BROKEN,
    };

    assert(allowed[client->state] & 1u << state);
    client->state = state;
}

static void tell_connection(SlipwayClient *client, bool is_connected, const char *text)
{
    if (client->connection_callback) {
        client->connection_callback(client, is_connected, text, client->connection_userdata);
    }
}

int64_t client_piece_size(const SlipwayClient *client)
{
    int64_t limit = slipway_json_get_int(json_value_expose(client->agent), "/limits/maxChunkBytes",
                                         CLIENT_PIECE_MAX);

    return limit < 1 ? 1 : MIN(limit, CLIENT_PIECE_MAX);
}

/* ---- connections ------------------------------------------------------------------------------
 */

static void on_initialized(SlipwayClient *client, const SlipwayJson *result,
                           const SlipwayError *error, void *userdata)
{
    bool is_back = client->give_up_at > 0;
    int64_t limit;

    if (error) {
        if (error->code != SLIPWAY_ERROR_DISCONNECTED) {
            (void)client_fail(client, -EPROTO, "the agent refused: %s", error->message);
            client->is_abandoned = true;
        }
        return;
    }
    limit = slipway_json_get_int(result, "/limits/maxPendingRequests", CLIENT_PENDING_MAX);
    client->max_requests = limit > 0 && limit < 100000 ? (size_t)limit : CLIENT_PENDING_MAX;
    (void)json_unref(client->agent);
    client->agent = json_ref(json_value_inner(result));
    client->was_ready = true;
    client->give_up_at = 0;
    client->backoff_ms = CLIENT_BACKOFF_MIN_MS;
    set_state(client, CLIENT_READY);
    if (is_back) {
        tell_connection(client, true, "the connection stands again");
    }
}

static int send_initialize(SlipwayClient *client)
{
    _cleanup_json_ Json *params = json_new_object();
    Json *about = json_new_object();
    int r = params && about ? 0 : -ENOMEM;

    r = r == 0 ? json_set_string(about, "name", client->name ? client->name : "libslipway") : r;
    r = r == 0
            ? json_set_string(about, "version", client->version ? client->version : SLIPWAY_VERSION)
            : r;
    if (r < 0) {
        (void)json_unref(about);
        return r;
    }
    r = json_set_take(params, "client", about);
    return r == 0 ? client_send_connection(client, "initialize", params, on_initialized) : r;
}

/* `initialize` first, then what was attached, then what was not answered, in its order. */
static int begin(SlipwayClient *client)
{
    ClientRequest *waiting = client->requests, **waiting_end = client->requests_end;
    int r;

    set_state(client, CLIENT_INITIALIZING);
    client->initialize_by =
        clock_monotonic_ms() + transport_get_patience_ms(&client->transport, CLIENT_INITIALIZE_MS);
    client->requests = NULL;
    client->requests_end = &client->requests;
    client->n_sent = 0;
    buffer_clear(&client->out);
    client->sent = 0;
    ndjson_reader_done(&client->reader);
    ndjson_reader_init(&client->reader, CLIENT_LINE_MAX);
    r = send_initialize(client);
    r = r == 0 ? client_follow_again(client) : r;
    if (waiting) {
        *client->requests_end = waiting;
        client->requests_end = waiting_end;
    }
    for (ClientRequest *request = waiting; request; request = request->next) {
        request->is_sent = false;
    }
    return r == 0 ? client_pump(client) : r;
}

/* The connection is gone; is there another attempt to be made? Returns what process() answers. */
static int connection_lost(SlipwayClient *client, const char *reason)
{
    int64_t now = clock_monotonic_ms();
    bool is_first = client->give_up_at == 0;
    ClientRequest **link = &client->requests;

    transport_close(&client->transport);
    if (is_first) {
        client->give_up_at = now + client->reconnect_ms;
    }
    if (client->was_ready && !client->is_abandoned && client->transport.address &&
        client->reconnect_ms > 0 && now + client->backoff_ms <= client->give_up_at) {
        while (*link) { /* what belonged to that connection is not repeated */
            if ((*link)->is_connection) {
                client_request_free(client_request_take(client, link));
            } else {
                link = &(*link)->next;
            }
        }
        client->retry_at = now + client->backoff_ms;
        client->backoff_ms = MIN(client->backoff_ms * 2, CLIENT_BACKOFF_MAX_MS);
        if (client->state != CLIENT_WAITING) {
            set_state(client, CLIENT_WAITING);
        }
        if (is_first) {
            tell_connection(client, false, reason);
        }
        return 0;
    }
    set_state(client, CLIENT_BROKEN);
    (void)client_fail(client, -ENOTCONN, "%s: %s", slipway_client_get_address(client), reason);
    client_fail_requests(client, error_text(&client->error));
    return -ENOTCONN;
}

static int try_again(SlipwayClient *client)
{
    _cleanup_error_ Error problem = {0};
    int r;

    if (clock_monotonic_ms() < client->retry_at) {
        return 0;
    }
    r = transport_reopen(&client->transport, &problem);
    if (r < 0) {
        return connection_lost(client, error_text(&problem));
    }
    return begin(client);
}

/* ---- what the agent says ----------------------------------------------------------------------
 */

/* The full parser's way to a piece: false when the answer is not one. */
static bool give_chunk(SlipwayClient *client, const ClientRequest *request, const Json *result)
{
    const Json *base64 = json_get(result, "base64");
    int64_t offset = json_get_int(result, "offset", -1);

    buffer_clear(&client->data);
    if (offset < 0 || !json_as_string(base64) ||
        text_decode_base64(&client->data, json_as_string(base64), json_as_string_len(base64)) < 0) {
        return false;
    }
    request->chunk(client, offset, buffer_text(&client->data), client->data.len,
                   json_get_bool(result, "isLast", false), request->userdata);
    return true;
}

static int take_answer(SlipwayClient *client, const Message *m)
{
    ClientRequest **link, *request;
    SlipwayError error = {
        .code = m->error_code,
        .message = m->error_text,
        .data = json_value_expose(m->error_data),
    };
    int r = 0;

    if (!m->id) { /* about the connection: too many of them, or a line that it did not like */
        r = m->error_code == SLIPWAY_ERROR_BUSY ? -EBUSY : -EPROTO;
        return client_fail(client, r, "the agent says: %s", m->error_text);
    }
    link = client_request_find(client, json_as_int(m->id, -1));
    if (!link) {
        return client_fail(client, -EPROTO, "the agent answered a request that was not made");
    }
    request = client_request_take(client, link);
    if (m->type == MESSAGE_ERROR) {
        if (request->callback) {
            request->callback(client, NULL, &error, request->userdata);
        }
    } else if (request->chunk) {
        if (!give_chunk(client, request, m->result)) {
            client_request_fail(client, request, SLIPWAY_ERROR_DISCONNECTED,
                                "a piece that is none");
            return client_fail(client, -EPROTO, "an answer that holds no piece");
        }
    } else {
        r = client_follow_answered(client, request, m->result);
        if (request->callback) {
            request->callback(client, json_value_expose(m->result), NULL, request->userdata);
        }
    }
    client_request_free(request);
    return r < 0 ? r : client_pump(client);
}

/* 1: the fast path has dealt with the line. */
static int take_chunk_line(SlipwayClient *client, const char *line, size_t n)
{
    ClientRequest **link, *request;
    WireChunk chunk;
    int r = wire_scan_chunk(line, n, &chunk, &client->data);

    if (r <= 0) {
        return r;
    }
    link = client_request_find(client, chunk.id);
    if (!link || !(*link)->chunk) {
        return 0;
    }
    request = client_request_take(client, link);
    request->chunk(client, chunk.offset, buffer_text(&client->data), client->data.len,
                   chunk.is_last, request->userdata);
    client_request_free(request);
    r = client_pump(client);
    return r < 0 ? r : 1;
}

static int take_line(SlipwayClient *client, const char *line, size_t n)
{
    _cleanup_message_ Message m = {0};
    _cleanup_error_ Error problem = {0};
    MessageErrorCode code;
    int r = client_take_log_line(client, line, n);

    r = r == 0 ? take_chunk_line(client, line, n) : r;
    if (r != 0) {
        return r < 0 ? r : 0;
    }
    if (message_parse(line, n, &m, &code, &problem) < 0) {
        return client_fail(client, -EPROTO, "the agent sent a line that is no message: %s",
                           error_text(&problem));
    }
    switch (m.type) {
    case MESSAGE_NOTIFICATION:
        return client_take_event(client, &m);
    case MESSAGE_RESULT:
    case MESSAGE_ERROR:
        return take_answer(client, &m);
    case MESSAGE_REQUEST:
        break;
    }
    return client_fail(client, -EPROTO, "the agent sent a request; only a client does");
}

static int take_lines(SlipwayClient *client)
{
    const char *line;
    size_t n;
    int r;

    for (;;) {
        r = ndjson_reader_next(&client->reader, &line, &n);
        if (r == -EMSGSIZE) {
            return client_fail(client, -EPROTO, "the agent sent a line of more than %zu bytes",
                               CLIENT_LINE_MAX);
        }
        if (r <= 0) {
            return r;
        }
        r = take_line(client, line, n);
        if (r == 0 && client->is_abandoned) {
            return -EPROTO; /* the reason is recorded */
        }
        if (r < 0) {
            return r;
        }
    }
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

static int flush_out(SlipwayClient *client)
{
    while (client->sent < client->out.len) {
        ssize_t n = send(client->transport.fd, client->out.data + client->sent,
                         client->out.len - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EAGAIN ? 0 : -errno;
        }
        client->sent += (size_t)n;
    }
    buffer_clear(&client->out);
    client->sent = 0;
    return 0;
}

/* Reads straight into the reader's memory would save one copy; at 5 GB/s it is not worth a second
 * interface. 0: nothing more now. -ENOTCONN: the end. */
static int read_in(SlipwayClient *client)
{
    static _Thread_local char chunk[READ_SIZE];

    for (unsigned i = 0; i < READS_MAX; i++) {
        ssize_t n = recv(client->transport.fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        int r;

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return 0;
        }
        /* A reset is a hang-up with something of ours unread. */
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            return client_fail(client, -ENOTCONN, "the agent hung up");
        }
        if (n < 0) {
            return client_fail(client, -errno, "%s", strerror(errno));
        }
        r = ndjson_reader_feed(&client->reader, chunk, (size_t)n);
        r = r == 0 ? take_lines(client) : r;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* Sends what waits, takes what came. Everything below zero means that the connection is over. */
static int exchange(SlipwayClient *client)
{
    int r = flush_out(client);

    /* A peer that hung up may have said why before: read first what is there. */
    if (r == 0 || r == -EPIPE || r == -ECONNRESET) {
        int read = read_in(client);

        r = read < 0 ? read : r;
    }
    if (r == 0) {
        r = flush_out(client);
    }
    if (r == 0 && client->state == CLIENT_INITIALIZING &&
        clock_monotonic_ms() >= client->initialize_by) {
        r = client_fail(client, -ETIMEDOUT, "the agent did not answer within %d s",
                        transport_get_patience_ms(&client->transport, CLIENT_INITIALIZE_MS) / 1000);
    }
    return r;
}

/* Whoever carried the bytes may know better than "the agent hung up". */
static void take_reason(SlipwayClient *client)
{
    bool is_final = false;
    _cleanup_free_ char *text = transport_take_reason(&client->transport, &is_final);

    if (text) {
        (void)client_fail(client, -ENOTCONN, "%s", text);
        client->is_abandoned |= is_final;
    }
}

static int process(SlipwayClient *client)
{
    _cleanup_free_ char *reason = NULL;
    int r;

    if (client->state == CLIENT_IDLE || client->state == CLIENT_BROKEN) {
        return -ENOTCONN;
    }
    if (client->state == CLIENT_WAITING) {
        r = try_again(client);
        if (r < 0 || client->state == CLIENT_WAITING) {
            return r;
        }
    }
    r = exchange(client);
    if (r == 0) {
        return 0;
    }
    if (!client->error.code) {
        (void)client_fail(client, r, "%s", strerror(-r));
    }
    if (r != -EPROTO) {
        take_reason(client);
    }
    /* Whoever breaks the protocol will do so again. */
    client->is_abandoned |= r == -EPROTO;
    reason = strdup(error_text(&client->error));
    return connection_lost(client, reason ? reason : "out of memory");
}

/* ---- public -----------------------------------------------------------------------------------
 */

_public_ SlipwayClient *slipway_client_new(const char *name, const char *version)
{
    SlipwayClient *client = calloc(1, sizeof(*client));

    if (!client) {
        return NULL;
    }
    client->transport = TRANSPORT_EMPTY;
    client->requests_end = &client->requests;
    client->next_id = 1;
    client->max_requests = CLIENT_PENDING_MAX;
    client->backoff_ms = CLIENT_BACKOFF_MIN_MS;
    client->out = BUFFER_INIT(CLIENT_OUT_MAX);
    client->data = BUFFER_INIT(CLIENT_LINE_MAX);
    ndjson_reader_init(&client->reader, CLIENT_LINE_MAX);
    client->name = name ? strdup(name) : NULL;
    client->version = version ? strdup(version) : NULL;
    if ((name && !client->name) || (version && !client->version)) {
        return slipway_client_free(client);
    }
    return client;
}

_public_ SlipwayClient *slipway_client_free(SlipwayClient *client)
{
    if (!client) {
        return NULL;
    }
    assert(!client->is_processing);
    transport_done(&client->transport);
    if (client->state != CLIENT_IDLE && client->state != CLIENT_BROKEN) {
        set_state(client, CLIENT_BROKEN);
    }
    client_fail_requests(client, "the client was closed");
    client_follow_done(client);
    ndjson_reader_done(&client->reader);
    buffer_done(&client->out);
    buffer_done(&client->data);
    error_done(&client->error);
    (void)json_unref(client->agent);
    free(client->name);
    free(client->version);
    free(client);
    return NULL;
}

static int connected(SlipwayClient *client)
{
    int r = begin(client);

    if (r < 0) {
        return client_fail(client, r, "out of memory");
    }
    return 0;
}

_public_ int slipway_client_connect(SlipwayClient *client, const char *address)
{
    int r;

    if (client->state != CLIENT_IDLE) {
        return client_fail(client, -EISCONN, "this client was connected before");
    }
    r = transport_open(&client->transport, address, &client->error);
    if (r < 0) {
        transport_done(&client->transport);
        return r;
    }
    return connected(client);
}

_public_ int slipway_client_connect_fd_take(SlipwayClient *client, int fd)
{
    _cleanup_fd_ int owned = fd;
    int r;

    if (client->state != CLIENT_IDLE) {
        return client_fail(client, -EISCONN, "this client was connected before");
    }
    r = fd_set_nonblock(owned, true);
    if (r < 0) {
        return client_fail(client, r, "the given descriptor: %s", strerror(-r));
    }
    client->transport.fd = TAKE_FD(owned);
    return connected(client);
}

_public_ void slipway_client_set_reconnect(SlipwayClient *client, int64_t duration_ms)
{
    client->reconnect_ms = duration_ms;
}

_public_ void slipway_client_set_connection_callback(SlipwayClient *client,
                                                     SlipwayConnectionCallback callback,
                                                     void *userdata)
{
    client->connection_callback = callback;
    client->connection_userdata = userdata;
}

_public_ int slipway_client_get_fd(const SlipwayClient *client)
{
    return client->transport.fd;
}

_public_ short slipway_client_get_events(const SlipwayClient *client)
{
    return client->sent < client->out.len ? POLLIN | POLLOUT : POLLIN;
}

_public_ int slipway_client_get_timeout_ms(const SlipwayClient *client)
{
    int64_t until, left;

    if (client->state == CLIENT_WAITING) {
        until = client->retry_at;
    } else if (client->state == CLIENT_INITIALIZING) {
        until = client->initialize_by;
    } else {
        return -1;
    }
    left = until - clock_monotonic_ms();
    return left > 0 ? (int)left : 0;
}

_public_ int slipway_client_process(SlipwayClient *client)
{
    _cleanup_error_ Error before = client->error;
    int r;

    if (client->is_processing) {
        before = (Error){0};
        return -EDEADLK;
    }
    /* Empty, so that the reason of a failure cannot be that of an older one. */
    client->error = (Error){0};
    client->is_processing = true;
    r = process(client);
    client->is_processing = false;
    if (!client->error.code) {
        client->error = before;
        before = (Error){0};
    }
    return r;
}

_public_ int slipway_client_wait(SlipwayClient *client, int timeout_ms)
{
    struct pollfd wait;
    int own, n, r;

    if (client->is_processing) {
        return -EDEADLK;
    }
    if (client->state == CLIENT_IDLE || client->state == CLIENT_BROKEN) {
        return -ENOTCONN;
    }
    r = client->transport.fd >= 0 ? flush_out(client) : 0;
    wait = (struct pollfd){
        .fd = client->transport.fd,
        .events = slipway_client_get_events(client),
    };
    own = slipway_client_get_timeout_ms(client);
    n = r < 0 ? 1
              : poll(&wait, 1, own >= 0 && (timeout_ms < 0 || own < timeout_ms) ? own : timeout_ms);
    if (n < 0) {
        return -errno;
    }
    if (n == 0 && (own < 0 || slipway_client_get_timeout_ms(client) > 0)) {
        return 0;
    }
    r = slipway_client_process(client);
    return r < 0 ? r : 1;
}

_public_ const char *slipway_client_get_error(const SlipwayClient *client)
{
    return error_text(&client->error);
}

_public_ const char *slipway_client_get_address(const SlipwayClient *client)
{
    return client->transport.address ? client->transport.address : "the agent";
}

_public_ const SlipwayJson *slipway_client_get_agent(const SlipwayClient *client)
{
    return json_value_expose(client->agent);
}
