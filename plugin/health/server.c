/* SPDX-License-Identifier: MIT */
#include "plugin/health/server.h"

#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

/* In one turn of the loop; what is left has events for the next. */
#define RUNS_MAX 32

typedef struct Exchange {
    LIST_ENTRY(Exchange) entry; /* of server->waiting */
    struct MHD_Connection *connection;
    bool is_waiting;
} Exchange;

struct Server {
    struct MHD_Daemon *daemon;
    int epoll_fd;
    ServerHandler handler;
    void *userdata;
    LIST_HEAD(, Exchange) waiting;
    bool is_woken; /* libmicrohttpd has something to do that no descriptor tells of */
};

/* ---- answers ----------------------------------------------------------------------------------
 */

/* Nothing of this is to be kept, framed, or taken for anything but what it says it is. */
static const char *const headers[][2] = {
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
};

static enum MHD_Result answer_take(struct MHD_Connection *connection, ServerReply *reply)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->len, reply->body, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result r;

    if (!response) {
        free(reply->body);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", reply->type);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        (void)MHD_add_response_header(response, headers[i][0], headers[i][1]);
    }
    if (reply->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        (void)MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    r = MHD_queue_response(connection, reply->status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
    ServerReply reply = {
        .status = status, .type = "text/plain; charset=utf-8", .body = strdup(text)};

    reply.len = reply.body ? strlen(reply.body) : 0;
    return answer_take(connection, &reply);
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static void set_waiting(Server *server, Exchange *exchange)
{
    LIST_INSERT_HEAD(&server->waiting, exchange, entry);
    exchange->is_waiting = true;
    MHD_suspend_connection(exchange->connection);
}

static void stop_waiting(Exchange *exchange)
{
    if (exchange->is_waiting) {
        LIST_REMOVE(exchange, entry);
        exchange->is_waiting = false;
    }
}

/* Called for the head, for each piece of a body (there is to be none), at the end, and again after
 * a wait. */
static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *data, size_t *n, void **state)
{
    Server *server = userdata;
    Exchange *exchange = *state;
    ServerReply reply = {0};

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    if (!exchange) {
        exchange = calloc(1, sizeof(*exchange));
        if (!exchange) {
            return MHD_NO;
        }
        exchange->connection = connection;
        *state = exchange;
        return MHD_YES;
    }
    if (*n > 0) {
        return MHD_NO; /* hung up on: a GET has no body that anybody would read */
    }
    if (server->handler(server->userdata, path, &reply) == SERVER_LATER) {
        set_waiting(server, exchange);
        return MHD_YES;
    }
    return answer_take(connection, &reply);
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode how)
{
    Exchange *exchange = *state;

    if (exchange) {
        stop_waiting(exchange);
        free(exchange);
        *state = NULL;
    }
}

void server_wake(Server *server)
{
    Exchange *exchange;

    server->is_woken = true;
    while ((exchange = LIST_FIRST(&server->waiting))) {
        stop_waiting(exchange);
        MHD_resume_connection(exchange->connection);
    }
}

/* ---- in the loop ------------------------------------------------------------------------------
 */

int server_get_fd(const Server *server)
{
    return server->epoll_fd;
}

int server_get_timeout_ms(const Server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;

    if (server->is_woken) {
        return 0;
    }
    if (MHD_get_timeout(server->daemon, &timeout_ms) != MHD_YES) {
        return -1;
    }
    return timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
}

static unsigned count_connections(const Server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

    return info ? info->num_connections : 0;
}

/* At its limit of connections libmicrohttpd watches its listening socket no longer, and does so
 * again at the beginning of a run, while connections go at the end of one. So it has to be run
 * until a run had nothing to do. */
void server_process(Server *server)
{
    struct pollfd events = {.fd = server->epoll_fd, .events = POLLIN};
    bool had_events = true;
    unsigned n = 0;

    for (int i = 0; i < RUNS_MAX && (had_events || n != count_connections(server)); i++) {
        n = count_connections(server);
        had_events = poll(&events, 1, 0) > 0 || server->is_woken;
        server->is_woken = false;
        (void)MHD_run(server->daemon);
    }
}

static void say_nothing(void *userdata, const char *format, va_list arguments)
{
}

Server *server_new_take(int fd, ServerHandler handler, void *userdata)
{
    Server *server = calloc(1, sizeof(*server));
    const union MHD_DaemonInfo *info;

    if (!server) {
        (void)close(fd);
        return NULL;
    }
    *server = (Server){.handler = handler, .userdata = userdata};
    LIST_INIT(&server->waiting);
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, server,
        MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, SERVER_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        SERVER_MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, SERVER_IDLE_SECONDS,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (!server->daemon) {
        (void)close(fd);
        free(server);
        return NULL;
    }
    info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    server->epoll_fd = info ? info->epoll_fd : -1;
    return server->epoll_fd >= 0 ? server : server_free(server);
}

Server *server_free(Server *server)
{
    if (server) {
        server_wake(server); /* libmicrohttpd wants none suspended at its end */
        MHD_stop_daemon(server->daemon);
        free(server);
    }
    return NULL;
}
