/* SPDX-License-Identifier: MIT */
#include "plugin/health/server.h"

#include "plugin/health/listen-address.h"
#include "tests/unit/health/some-facts.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define PATIENCE_MS 20000

typedef struct Fixture {
    Server *server;
    ListenAddress address;
    char path[64]; /* that was asked for last */
    unsigned n_asked;
    bool is_later;
} Fixture;

static int on_request(void *userdata, const char *path, ServerReply *ret)
{
    Fixture *f = userdata;

    (void)snprintf(f->path, sizeof(f->path), "%s", path);
    f->n_asked++;
    if (f->is_later) {
        return SERVER_LATER;
    }
    *ret = (ServerReply){.status = 200, .type = "text/plain", .body = strdup("hello\n"), .len = 6};
    return 0;
}

static int set_up(void **state)
{
    static Fixture f;
    socklen_t n = sizeof(f.address);
    int fd;

    f = (Fixture){0};
    assert_int_equal(listen_address_parse("0", &f.address), 0);
    fd = listen_address_open(&f.address);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, &f.address.any, &n), 0);
    f.server = server_new_take(fd, on_request, &f);
    assert_non_null(f.server);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    f->server = server_free(f->server);
    return 0;
}

static int open_connection(Fixture *f, const char *request)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, &f->address.any, sizeof(f->address.v4)), 0);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    return fd;
}

/* One turn of a loop of which `fd` is a part, too. */
static bool turn(Fixture *f, int fd)
{
    struct pollfd polls[] = {{.fd = server_get_fd(f->server), .events = POLLIN},
                             {.fd = fd, .events = POLLIN}};
    int timeout_ms = server_get_timeout_ms(f->server);

    assert_true(poll(polls, 2, timeout_ms < 0 ? PATIENCE_MS : timeout_ms) >= 0);
    server_process(f->server);
    return polls[1].revents != 0;
}

/* All that comes until the server hangs up. Closes `fd`. */
static char *read_answer(Fixture *f, int fd)
{
    char *text = calloc(1, 65536);
    size_t n = 0;
    ssize_t r = 1;

    assert_non_null(text);
    while (r > 0) {
        if (turn(f, fd)) {
            r = read(fd, text + n, 65535 - n);
            n += r > 0 ? (size_t)r : 0;
        }
    }
    (void)close(fd);
    return text;
}

static char *ask(Fixture *f, const char *request)
{
    return read_answer(f, open_connection(f, request));
}

#define HEAD " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void answers_get_and_head(void **state)
{
    Fixture *f = *state;
    char *text = ask(f, "GET /a%20b?c=d" HEAD);

    expect_in("HTTP/1.1 200 ", text);
    expect_in("X-Content-Type-Options: nosniff", text);
    expect_in("\r\n\r\nhello\n", text);
    assert_string_equal(f->path, "/a b");
    free(text);
    text = ask(f, "HEAD /" HEAD);
    expect_in("Content-Length: 6", text);
    expect_not_in("hello", text);
    free(text);
}

static void answers_nothing_else(void **state)
{
    Fixture *f = *state;
    char *text = ask(f, "DELETE /x" HEAD);

    expect_in(" 405 ", text);
    expect_in("Allow: GET, HEAD", text);
    free(text);
    text = ask(f, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    expect_not_in("hello", text);
    free(text);
    text = ask(f, "nonsense\r\n\r\n");
    expect_not_in("hello", text);
    free(text);
    assert_int_equal(f->n_asked, 0);
}

static void bounds_the_head(void **state)
{
    Fixture *f = *state;
    char *request = malloc(2 * SERVER_MEMORY_BYTES), *text;

    assert_non_null(request);
    memset(request, 'x', 2 * SERVER_MEMORY_BYTES);
    memcpy(request, "GET /", 5);
    request[SERVER_MEMORY_BYTES + 100] = '\0';
    text = ask(f, request);
    expect_not_in("hello", text);
    expect_not_in(" 200 ", text);
    free(text);
    free(request);
}

static void lets_wait_and_wakes(void **state)
{
    Fixture *f = *state;
    char *text;
    int fd;

    f->is_later = true;
    fd = open_connection(f, "GET /later" HEAD);
    while (f->n_asked == 0) {
        (void)turn(f, -1);
    }
    f->is_later = false;
    text = ask(f, "GET /now" HEAD); /* others do not wait for it */
    expect_in("hello", text);
    free(text);
    server_wake(f->server);
    text = read_answer(f, fd);
    expect_in("hello", text);
    assert_string_equal(f->path, "/later");
    free(text);
}

static void ends_with_one_that_waits(void **state)
{
    Fixture *f = *state;
    int fd;

    f->is_later = true;
    fd = open_connection(f, "GET /later" HEAD);
    while (f->n_asked == 0) {
        (void)turn(f, -1);
    }
    f->server = server_free(f->server);
    (void)close(fd);
}

/* At its limit no more are let in; when they have gone, others are. */
static void lives_through_a_crowd(void **state)
{
    Fixture *f = *state;
    int fds[SERVER_CONNECTIONS_MAX + 20];
    char *text;

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        fds[i] = open_connection(f, "GET / HTTP/1.1\r\n");
        server_process(f->server);
    }
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        (void)close(fds[i]);
    }
    text = ask(f, "GET /" HEAD);
    expect_in("hello", text);
    free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_get_and_head), TEST(answers_nothing_else),     TEST(bounds_the_head),
        TEST(lets_wait_and_wakes),  TEST(ends_with_one_that_waits), TEST(lives_through_a_crowd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
