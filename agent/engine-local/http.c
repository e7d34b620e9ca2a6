/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/http.h"

#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define KNOCKS_MAX 20
#define KNOCK_STEP_MS 5
#define ANSWER_BYTES_MAX ((size_t)32 << 20)

struct Http {
    Loop *loop;
    struct MHD_Daemon *daemon;
    LoopSource source;
    LoopTimer timer;
    HttpHandler handler;
    void *userdata;
    char *path;
};

/* A request that is coming in. */
typedef struct Exchange {
    Buffer body;
    bool is_too_large;
} Exchange;

unsigned http_error(Buffer *body, unsigned status, const char *format, ...)
{
    char *text = NULL;
    va_list ap;
    int r;

    va_start(ap, format);
    r = vasprintf(&text, format, ap);
    va_end(ap);
    buffer_clear(body);
    if (r < 0 || buffer_append_text(body, "{\"error\":") < 0 ||
        text_append_json(body, text, (size_t)r) < 0 || buffer_append_text(body, "}\n") < 0) {
        buffer_clear(body);
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (r >= 0) {
        free(text);
    }
    return status;
}

const char *http_query(const HttpRequest *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, Buffer *body)
{
    size_t n = body->len;
    char *text = buffer_take_text(body);
    struct MHD_Response *response;
    enum MHD_Result r;

    response = text ? MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE) : NULL;
    if (!response) {
        free(text);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", "application/json");
    r = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
    _cleanup_buffer_ Buffer body = {0};

    return answer(connection, http_error(&body, status, "%s", text), &body);
}

static bool is_allowed(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred peer;
    socklen_t n = sizeof(peer);

    return info && getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static const char too_large[] = "the body is larger than 262144 bytes";
_Static_assert(HTTP_BODY_BYTES_MAX == 262144, "the sentence says so");

/* libmicrohttpd calls this once for the head, then for each piece of the body, then at its end. */
static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *data, size_t *n, void **state)
{
    Http *http = userdata;
    Exchange *exchange = *state;
    _cleanup_buffer_ Buffer body = BUFFER_INIT(ANSWER_BYTES_MAX);
    HttpRequest request;

    if (!exchange) {
        if (!is_allowed(connection)) {
            return refuse(connection, MHD_HTTP_FORBIDDEN,
                          "only root and the engine's own user may ask it");
        }
        exchange = calloc(1, sizeof(*exchange));
        if (!exchange) {
            return MHD_NO;
        }
        exchange->body = BUFFER_INIT(HTTP_BODY_BYTES_MAX);
        *state = exchange;
        return MHD_YES;
    }
    if (*n > 0) { /* read to its end: who is cut off while it writes may never read the answer */
        exchange->is_too_large |= buffer_append(&exchange->body, data, *n) < 0;
        *n = 0;
        return MHD_YES;
    }
    if (exchange->is_too_large) {
        return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, too_large);
    }
    request = (HttpRequest){
        .method = method,
        .path = path,
        .body = buffer_text(&exchange->body),
        .body_len = exchange->body.len,
        .connection = connection,
    };
    return answer(connection, http->handler(http->userdata, &request, &body), &body);
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode how)
{
    Exchange *exchange = *state;

    if (exchange) {
        buffer_done(&exchange->body);
        free(exchange);
        *state = NULL;
    }
}

/* ---- in our loop ------------------------------------------------------------------------------
 */

static void run(Http *http);

static void on_timer(void *userdata)
{
    run(userdata);
}

static void on_events(void *userdata, uint32_t events)
{
    run(userdata);
}

static void run(Http *http)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;

    (void)MHD_run(http->daemon);
    if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES) {
        loop_timer_start(http->loop, &http->timer, (int64_t)wait_ms, on_timer, http);
    } else {
        loop_timer_stop(&http->timer);
    }
}

/* ---- the socket -------------------------------------------------------------------------------
 */

/* 0: somebody listens. One that was killed may still seem to, for as long as a child that it was
 * starting has not come to its exec. */
static int knock(const struct sockaddr_un *address)
{
    const struct timespec step = {.tv_nsec = KNOCK_STEP_MS * 1000000L};
    int r = 0;

    for (int i = 0; i < KNOCKS_MAX && r == 0; i++) {
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
            r = -errno;
        } else if (i + 1 < KNOCKS_MAX) {
            (void)nanosleep(&step, NULL);
        }
    }
    return r;
}

static int listen_unix(const char *path, Error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;
    mode_t mask;
    int r;

    if (strlen(path) >= sizeof(address.sun_path)) {
        return error_set(err, -ENAMETOOLONG, "the socket's path '%s' is longer than %zu bytes",
                         path, sizeof(address.sun_path) - 1);
    }
    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot make a socket");
    }
    memcpy(address.sun_path, path, strlen(path));
    r = knock(&address);
    if (r == 0) {
        return error_set(err, -EADDRINUSE, "another engine listens on '%s'", path);
    }
    if (r == -ECONNREFUSED && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        (void)unlink(path); /* left by one that was killed */
    }
    mask = umask(0177);
    r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
                listen(fd, HTTP_CONNECTIONS_MAX) < 0
            ? -errno
            : 0;
    (void)umask(mask);
    return r < 0 ? error_set_errno(err, r, "cannot listen on '%s'", path) : TAKE_FD(fd);
}

static int start_daemon(Http *http, int fd, Error *err)
{
    const union MHD_DaemonInfo *info;
    int r;

    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        HTTP_IDLE_SECONDS, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (!http->daemon) {
        (void)fd_close(fd);
        return error_set(err, -EIO, "cannot start the HTTP server");
    }
    info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    r = info ? loop_add(http->loop, &http->source, info->epoll_fd, EPOLLIN, on_events, http) : -EIO;
    return r < 0 ? error_set_errno(err, r, "cannot serve HTTP in the loop") : 0;
}

int http_new(Loop *loop, const char *path, HttpHandler handler, void *userdata, Http **ret,
             Error *err)
{
    _cleanup_(http_freep) Http *http = calloc(1, sizeof(*http));
    int fd, r;

    if (!http) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *http = (Http){.loop = loop, .handler = handler, .userdata = userdata};
    fd = listen_unix(path, err);
    if (fd < 0) {
        return fd;
    }
    http->path = strdup(path);
    r = start_daemon(http, fd, err);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(http);
    return 0;
}

Http *http_free(Http *http)
{
    if (http) {
        loop_remove(&http->source);
        loop_timer_stop(&http->timer);
        if (http->daemon) {
            MHD_stop_daemon(http->daemon);
        }
        if (http->path) {
            (void)unlink(http->path);
        }
        free(http->path);
        free(http);
    }
    return NULL;
}
