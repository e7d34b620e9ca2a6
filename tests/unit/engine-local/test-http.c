/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/http.h"

#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Scene {
    Place *place;
    Http *http;
    char path[80];
    Buffer seen; /* "METHOD PATH QUERY BODY" of the last request */
} Scene;

static unsigned handle(void *userdata, const HttpRequest *request, Buffer *body)
{
    Scene *scene = userdata;
    const char *query = http_query(request, "x");

    buffer_clear(&scene->seen);
    assert_int_equal(buffer_append_format(&scene->seen, "%s %s %s %zu:%.20s", request->method,
                                          request->path, query ? query : "-", request->body_len,
                                          request->body),
                     0);
    if (strcmp(request->path, "/bad") == 0) {
        return http_error(body, 418, "it's a \"%s\"\n", "teapot");
    }
    assert_int_equal(buffer_append_text(body, "{}\n"), 0);
    return 200;
}

static int set_up(void **state)
{
    Scene *scene = calloc(1, sizeof(*scene));
    int r = place_set_up(state);

    scene->place = *state;
    (void)snprintf(scene->path, sizeof(scene->path), "%s/socket", scene->place->path);
    r = r || http_new(scene->place->loop, scene->path, handle, scene, &scene->http, NULL) < 0;
    *state = scene;
    return r;
}

static int tear_down(void **state)
{
    Scene *scene = *state;

    (void)http_free(scene->http);
    buffer_done(&scene->seen);
    *state = scene->place;
    free(scene);
    return place_tear_down(state);
}

static int connect_to(const Scene *scene)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)strcpy(address.sun_path, scene->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fd_set_nonblock(fd, true), 0);
    return fd;
}

/* Sends `n` bytes and returns all that comes back before the server closes. */
static char *ask_bytes(Scene *scene, const char *request, size_t n)
{
    _cleanup_buffer_ Buffer answer = {0};
    _cleanup_fd_ int fd = connect_to(scene);
    char data[4096];

    for (;;) {
        ssize_t sent = n > 0 ? send(fd, request, n, MSG_NOSIGNAL) : 0;
        ssize_t got = recv(fd, data, sizeof(data), 0);

        request += MAX(sent, (ssize_t)0);
        n -= (size_t)MAX(sent, (ssize_t)0);
        if (got == 0) {
            return buffer_take_text(&answer);
        }
        if (got > 0) {
            assert_int_equal(buffer_append(&answer, data, (size_t)got), 0);
        } else {
            assert_int_equal(errno, EAGAIN);
        }
        assert_true(loop_step(scene->place->loop, 1) >= 0);
    }
}

static char *ask(Scene *scene, const char *request)
{
    return ask_bytes(scene, request, strlen(request));
}

static void a_request_is_whole_and_decoded(void **state)
{
    Scene *scene = *state;
    _cleanup_free_ char *answer = ask(scene, "PUT /a%20b?x=%31 HTTP/1.1\r\nHost: e\r\nConnection: "
                                             "close\r\nContent-Length: 5\r\n\r\nhello");

    assert_string_equal(buffer_text(&scene->seen), "PUT /a b 1 5:hello");
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\n{}\n"));
}

static void without_a_body_it_is_empty(void **state)
{
    Scene *scene = *state;
    _cleanup_free_ char *answer = ask(scene, "GET / HTTP/1.0\r\n\r\n");

    assert_non_null(answer);
    assert_string_equal(buffer_text(&scene->seen), "GET / - 0:");
}

static void an_error_is_json(void **state)
{
    _cleanup_free_ char *answer = ask(*state, "GET /bad HTTP/1.0\r\n\r\n");

    assert_non_null(strstr(answer, " 418 "));
    assert_non_null(strstr(answer, "\r\n\r\n{\"error\":\"it's a \\\"teapot\\\"\\n\"}\n"));
}

static void a_body_of_the_limit_is_taken_and_one_byte_more_is_not(void **state)
{
    Scene *scene = *state;

    for (size_t more = 0; more < 2; more++) {
        size_t n = HTTP_BODY_BYTES_MAX + more;
        _cleanup_free_ char *request = malloc(n + 128), *answer = NULL;
        int head = sprintf(request,
                           "PUT /x HTTP/1.1\r\nHost: e\r\nConnection: close\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           n);

        memset(request + head, 'x', n);
        answer = ask_bytes(scene, request, (size_t)head + n);
        assert_non_null(strstr(answer, more ? " 413 " : " 200 "));
    }
}

static void the_socket_is_private_and_goes_with_the_server(void **state)
{
    Scene *scene = *state;
    struct stat st;

    assert_int_equal(stat(scene->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    scene->http = http_free(scene->http);
    assert_int_equal(stat(scene->path, &st), -1);
}

static void a_socket_in_use_is_left_alone_and_a_dead_one_is_replaced(void **state)
{
    Scene *scene = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_error_ Error err = {0};
    Http *other = NULL;
    int fd;

    assert_int_equal(http_new(scene->place->loop, scene->path, handle, scene, &other, &err),
                     -EADDRINUSE);
    assert_non_null(strstr(error_text(&err), "another engine listens on"));
    scene->http = http_free(scene->http);

    (void)strcpy(address.sun_path, scene->path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd); /* its file stays: as after kill -9 */
    assert_int_equal(http_new(scene->place->loop, scene->path, handle, scene, &scene->http, NULL),
                     0);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    Scene *scene = *state;
    Http *other = NULL;
    char path[80];

    (void)snprintf(path, sizeof(path), "%s/file", scene->place->path);
    assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
    assert_true(http_new(scene->place->loop, path, handle, scene, &other, NULL) < 0);
    assert_int_equal(access(path, F_OK), 0);
}

static void a_path_that_is_too_long_is_an_error(void **state)
{
    Scene *scene = *state;
    char path[200];
    Http *other = NULL;

    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(http_new(scene->place->loop, path, handle, scene, &other, NULL),
                     -ENAMETOOLONG);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_whole_and_decoded),
        TEST(without_a_body_it_is_empty),
        TEST(an_error_is_json),
        TEST(a_body_of_the_limit_is_taken_and_one_byte_more_is_not),
        TEST(the_socket_is_private_and_goes_with_the_server),
        TEST(a_socket_in_use_is_left_alone_and_a_dead_one_is_replaced),
        TEST(a_file_that_is_no_socket_is_left_alone),
        TEST(a_path_that_is_too_long_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
