/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/health.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of an answer's body, which nobody reads. */
#define BODY_BYTES_MAX ((size_t)1 << 20)

struct Health {
    Loop *loop;
    CURLM *multi;
    LoopTimer timer;
};

/* A socket of libcurl's in our loop. */
typedef struct Socket {
    LoopSource source;
    Health *health;
    curl_socket_t fd;
} Socket;

struct HealthCheck {
    Health *health;
    CURL *easy;
    size_t body_bytes;
    int64_t timeout_ms;
    char *path;
    HealthFunction done;
    void *userdata;
    char error[CURL_ERROR_SIZE];
};

HealthCheck *health_cancel(HealthCheck *check)
{
    if (check) {
        if (check->easy) {
            (void)curl_multi_remove_handle(check->health->multi, check->easy);
            curl_easy_cleanup(check->easy);
        }
        free(check->path);
        free(check);
    }
    return NULL;
}

static void tell(HealthCheck *check, CURLcode result)
{
    HealthFunction done = check->done;
    void *userdata = check->userdata;
    char problem[512];
    long status = 0;

    (void)curl_easy_getinfo(check->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result == CURLE_OPERATION_TIMEDOUT) {
        (void)snprintf(problem, sizeof(problem), "GET %s: no answer within %g s", check->path,
                       (double)check->timeout_ms / 1000);
    } else if (result == CURLE_COULDNT_CONNECT) {
        (void)snprintf(problem, sizeof(problem), "GET %s: nothing listens on its PORT",
                       check->path);
    } else if (result != CURLE_OK) {
        (void)snprintf(problem, sizeof(problem), "GET %s: %s", check->path,
                       check->error[0] ? check->error : curl_easy_strerror(result));
    } else {
        (void)snprintf(problem, sizeof(problem), "GET %s: answered %ld", check->path, status);
    }
    (void)health_cancel(check);
    done(userdata, result == CURLE_OK && status >= 200 && status < 300 ? NULL : problem);
}

/* A callback may cancel other checks, whose messages are then gone, too: one at a time. */
static void take_messages(Health *health)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(health->multi, &left))) {
        HealthCheck *check = NULL;

        if (message->msg == CURLMSG_DONE) {
            CURLcode result = message->data.result;

            (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&check);
            tell(check, result);
        }
    }
}

static void on_socket(void *userdata, uint32_t events)
{
    Socket *socket = userdata;
    Health *health = socket->health;
    int action = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                 (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                 (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    int running;

    (void)curl_multi_socket_action(health->multi, socket->fd, action, &running);
    take_messages(health); /* `socket` may be gone by now */
}

static void on_timer(void *userdata)
{
    Health *health = userdata;
    int running;

    (void)curl_multi_socket_action(health->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_messages(health);
}

static int set_timer(CURLM *multi, long timeout_ms, void *userdata)
{
    Health *health = userdata;

    if (timeout_ms < 0) {
        loop_timer_stop(&health->timer);
    } else {
        loop_timer_start(health->loop, &health->timer, timeout_ms, on_timer, health);
    }
    return 0;
}

static void forget_socket(Socket *socket)
{
    if (socket) {
        loop_remove(&socket->source);
        free(socket);
    }
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *known)
{
    Health *health = userdata;
    Socket *socket = known;
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    int r;

    if (what == CURL_POLL_REMOVE) {
        forget_socket(socket);
        (void)curl_multi_assign(health->multi, fd, NULL);
        return 0;
    }
    if (socket) {
        return loop_modify(&socket->source, events) < 0 ? -1 : 0;
    }
    socket = calloc(1, sizeof(*socket));
    if (!socket) {
        return -1;
    }
    *socket = (Socket){.health = health, .fd = fd};
    r = loop_add(health->loop, &socket->source, fd, events, on_socket, socket);
    if (r < 0 || curl_multi_assign(health->multi, fd, socket) != CURLM_OK) {
        forget_socket(socket);
        return -1;
    }
    return 0;
}

int health_new(Loop *loop, Health **ret)
{
    _cleanup_(health_freep) Health *health = calloc(1, sizeof(*health));

    if (!health || curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK) {
        return -ENOMEM;
    }
    health->loop = loop;
    health->multi = curl_multi_init();
    if (!health->multi ||
        curl_multi_setopt(health->multi, CURLMOPT_SOCKETFUNCTION, watch_socket) != CURLM_OK ||
        curl_multi_setopt(health->multi, CURLMOPT_SOCKETDATA, health) != CURLM_OK ||
        curl_multi_setopt(health->multi, CURLMOPT_TIMERFUNCTION, set_timer) != CURLM_OK ||
        curl_multi_setopt(health->multi, CURLMOPT_TIMERDATA, health) != CURLM_OK) {
        return -ENOMEM;
    }
    *ret = TAKE_PTR(health);
    return 0;
}

Health *health_free(Health *health)
{
    if (health) {
        if (health->multi) {
            (void)curl_multi_cleanup(health->multi);
        }
        loop_timer_stop(&health->timer);
        free(health);
    }
    return NULL;
}

static size_t drop_body(char *data, size_t size, size_t n, void *userdata)
{
    HealthCheck *check = userdata;

    check->body_bytes += size * n;
    return check->body_bytes > BODY_BYTES_MAX ? 0 : size * n;
}

/* A new connection each time, so that it is seen whether the instance still accepts. */
static int set_options(HealthCheck *check, const char *url)
{
    CURL *easy = check->easy;
    CURLcode r = CURLE_OK;

#define SET(option, value) r = r == CURLE_OK ? curl_easy_setopt(easy, option, value) : r
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, "http");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)check->timeout_ms);
    SET(CURLOPT_USERAGENT, "slipway-engine-local");
    SET(CURLOPT_WRITEFUNCTION, drop_body);
    SET(CURLOPT_WRITEDATA, check);
    SET(CURLOPT_ERRORBUFFER, check->error);
    SET(CURLOPT_PRIVATE, check);
#undef SET
    return r == CURLE_OK ? 0 : -ENOMEM;
}

int health_check(Health *health, uint16_t port, const char *path, int64_t timeout_ms,
                 HealthFunction done, void *userdata, HealthCheck **ret)
{
    _cleanup_free_ char *url = NULL;
    HealthCheck *check = calloc(1, sizeof(*check));
    CURLMcode r;

    if (!check) {
        return -ENOMEM;
    }
    *check = (HealthCheck){
        .health = health, .timeout_ms = timeout_ms, .done = done, .userdata = userdata};
    check->path = strdup(path);
    check->easy = curl_easy_init();
    if (!check->path || !check->easy || asprintf(&url, "http://127.0.0.1:%u%s", port, path) < 0 ||
        set_options(check, url) < 0) {
        (void)health_cancel(check);
        return -ENOMEM;
    }
    r = curl_multi_add_handle(health->multi, check->easy);
    if (r != CURLM_OK) {
        (void)health_cancel(check);
        return -ENOMEM;
    }
    *ret = check;
    return 0;
}
