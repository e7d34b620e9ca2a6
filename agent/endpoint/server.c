/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/server.h"

#include "agent/endpoint/admission.h"
#include "agent/endpoint/dispatch.h"
#include "agent/endpoint/session.h"
#include "agent/endpoint/unix-socket.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections taken in one turn of the loop. */
#define ACCEPTS_MAX 16

typedef struct Listener {
    TAILQ_ENTRY(Listener) link;
    Server *server;
    UnixSocket socket;
    uv_poll_t poll;
} Listener;

struct Server {
    Endpoint endpoint;
    Admission admission;
    TAILQ_HEAD(, Listener) listeners;
    TAILQ_HEAD(, Session) sessions;
    size_t n_sessions;
    Session *served; /* of server_serve_take */
    void (*served_ended)(void *userdata);
    void *served_userdata;
    void (*stopped)(void *userdata);
    void *stopped_userdata;
    uid_t refused_uid; /* whose refusal was logged last */
    bool has_refused;
    int spare_fd; /* given up for a moment to tell somebody that descriptors are short */
};

static void check_stopped(Server *server)
{
    if (server->stopped && TAILQ_EMPTY(&server->listeners) && TAILQ_EMPTY(&server->sessions)) {
        void (*stopped)(void *) = server->stopped;

        server->stopped = NULL;
        stopped(server->stopped_userdata);
    }
}

/* ---- sessions ---------------------------------------------------------------------------------
 */

static void on_session_ended(Session *session, void *userdata)
{
    Server *server = userdata;

    TAILQ_REMOVE(&server->sessions, session, link);
    server->n_sessions--;
    if (session == server->served) {
        server->served = NULL;
        server->served_ended(server->served_userdata);
    }
    check_stopped(server);
}

static int add_session(Server *server, int in_fd, int out_fd, Session **ret, Error *err)
{
    Session *session = NULL;
    int r = session_open_take(&server->endpoint, in_fd, out_fd, on_session_ended, server, &session,
                              err);

    if (session) { /* also one that failed: it ends by itself */
        TAILQ_INSERT_TAIL(&server->sessions, session, link);
        server->n_sessions++;
    }
    *ret = session;
    return r;
}

int server_serve_take(Server *server, int in_fd, int out_fd, void (*ended)(void *userdata),
                      void *userdata, Error *err)
{
    assert(!server->served);
    server->served_ended = ended;
    server->served_userdata = userdata;
    return add_session(server, in_fd, out_fd, &server->served, err);
}

/* ---- letting in -------------------------------------------------------------------------------
 */

/* The line fits into the socket's empty buffer, so nobody has to wait for it to be read. */
static void refuse_take(int fd, MessageErrorCode code, const char *text)
{
    _cleanup_buffer_ Buffer line = {0};

    if (message_append_error(&line, NULL, code, text, NULL) == 0 &&
        send(fd, line.data, line.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        log_debug("telling a client that it is refused: %s", strerror(errno));
    }
    (void)fd_close(fd);
}

static bool is_admitted(Server *server, int fd)
{
    PeerIdentity peer;
    bool is_allowed;
    int r = peer_identity_read(fd, &peer);

    if (r < 0) {
        log_error_errno(r, "asking who connected, refusing");
        return false;
    }
    is_allowed = admission_allows(&server->admission, &peer);
    if (!is_allowed && !(server->has_refused && server->refused_uid == peer.uid)) {
        log_warning("refusing user %u: agent.json does not allow it (\"allow\")",
                    (unsigned)peer.uid);
        server->refused_uid = peer.uid;
        server->has_refused = true;
    }
    peer_identity_done(&peer);
    return is_allowed;
}

static void let_in_take(Server *server, int fd)
{
    _cleanup_error_ Error problem = {0};
    Session *session;

    if (!is_admitted(server, fd)) {
        refuse_take(fd, MESSAGE_NOT_ALLOWED,
                    "you may not use this agent: its agent.json has to name your user or a group "
                    "of yours under \"allow\"");
    } else if (server->n_sessions >= SERVER_CONNECTIONS_MAX) {
        refuse_take(fd, MESSAGE_BUSY, "the agent has as many connections as it takes");
    } else if (add_session(server, fd, fd, &session, &problem) < 0) {
        log_warning("a new connection: %s, closing it", error_text(&problem));
    }
}

/* Without this a connection that cannot be accepted would wake the loop for ever. */
static void refuse_for_want_of_descriptors(Server *server, int listen_fd)
{
    int fd;

    log_warning("no descriptor is left for a new connection, refusing it (see ulimit -n)");
    server->spare_fd = fd_close(server->spare_fd);
    fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        refuse_take(fd, MESSAGE_BUSY, "the agent has no descriptor left");
    }
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    Listener *listener = poll->data;

    for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listener->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            let_in_take(listener->server, fd);
        } else if (errno == EMFILE || errno == ENFILE) {
            refuse_for_want_of_descriptors(listener->server, listener->socket.fd);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            if (errno != EAGAIN) {
                log_error_errno(-errno, "accepting a connection");
            }
            return;
        }
    }
}

/* ---- listening --------------------------------------------------------------------------------
 */

static void on_listener_closed(uv_handle_t *handle)
{
    Listener *listener = handle->data;
    Server *server = listener->server;

    TAILQ_REMOVE(&server->listeners, listener, link);
    unix_socket_done(&listener->socket);
    free(listener);
    check_stopped(server);
}

/* The socket is consumed, also on failure. */
static int add_listener_take(Server *server, UnixSocket *socket, Error *err)
{
    Listener *listener = calloc(1, sizeof(*listener));
    int r = listener ? uv_poll_init(server->endpoint.loop, &listener->poll, socket->fd) : -ENOMEM;

    if (r < 0) {
        unix_socket_done(socket);
        free(listener);
        return error_set_errno(err, r, "watching a listening socket");
    }
    listener->server = server;
    listener->socket = *socket;
    listener->poll.data = listener;
    *socket = UNIX_SOCKET_EMPTY;
    TAILQ_INSERT_TAIL(&server->listeners, listener, link);
    (void)uv_poll_start(&listener->poll, UV_READABLE, on_connection); /* fails only while closing */
    return 0;
}

int server_listen(Server *server, const char *path, Error *err)
{
    /* Who may is decided by who connects: a mode knows one group, agent.json knows many. Without
     * others in agent.json nobody else can even try. */
    mode_t mode = admission_has_others(&server->admission) ? 0666 : 0600;
    UnixSocket socket = UNIX_SOCKET_EMPTY;
    int r = unix_socket_listen(path, mode, &socket, err);

    return r < 0 ? r : add_listener_take(server, &socket, err);
}

int server_listen_fd_take(Server *server, int fd, Error *err)
{
    UnixSocket socket = UNIX_SOCKET_EMPTY;
    int r = unix_socket_adopt_take(fd, &socket, err);

    return r < 0 ? r : add_listener_take(server, &socket, err);
}

/* ---- beginning and end ------------------------------------------------------------------------
 */

int server_new(uv_loop_t *loop, const AgentConfig *config, Calls *calls, Server **ret, Error *err)
{
    Server *server = calloc(1, sizeof(*server));
    int r;

    if (!server) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *server = (Server){
        .endpoint = {.loop = loop,
                     .config = config,
                     .calls = calls,
                     .schemas = method_schemas_new(),
                     .read_buffer = malloc(SESSION_READ_SIZE),
                     .started_ms = clock_monotonic_ms()},
        .spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
    };
    TAILQ_INIT(&server->listeners);
    TAILQ_INIT(&server->sessions);
    r = server->endpoint.schemas && server->endpoint.read_buffer
            ? admission_init(&server->admission, config->allowed_users, config->allowed_groups, err)
            : error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        (void)server_free(server);
        return r;
    }
    *ret = server;
    return 0;
}

void server_stop(Server *server, void (*stopped)(void *userdata), void *userdata)
{
    Session *session, *next_session;
    Listener *listener;

    server->stopped = stopped;
    server->stopped_userdata = userdata;
    TAILQ_FOREACH (listener, &server->listeners, link) {
        uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
    }
    for (session = TAILQ_FIRST(&server->sessions); session; session = next_session) {
        next_session = TAILQ_NEXT(session, link);
        session_stop(session);
    }
    check_stopped(server);
}

Server *server_free(Server *server)
{
    if (server) {
        assert(TAILQ_EMPTY(&server->listeners) && TAILQ_EMPTY(&server->sessions));
        admission_done(&server->admission);
        server->endpoint.schemas = method_schemas_free(server->endpoint.schemas);
        free(server->endpoint.read_buffer);
        (void)fd_close(server->spare_fd);
        free(server);
    }
    return NULL;
}
