/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/health.h"

#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_MAX 512

/* A server in the same loop, which answers with one text and then closes. */
typedef struct Server {
    int fd, client_fd;
    uint16_t port;
    LoopSource source, client;
    const char *answer; /* NULL: it keeps silent */
    char request[REQUEST_MAX];
    unsigned answers;
} Server;

typedef struct Result {
    unsigned calls;
    char problem[256];
} Result;

static void on_request(void *userdata, uint32_t events)
{
    Server *server = userdata;
    ssize_t n = recv(server->client_fd, server->request, sizeof(server->request) - 1, 0);

    server->request[MAX(n, (ssize_t)0)] = '\0';
    (void)send(server->client_fd, server->answer, strlen(server->answer), MSG_NOSIGNAL);
    loop_remove(&server->client);
    server->client_fd = fd_close(server->client_fd);
    server->answers++;
}

static void on_connection(void *userdata, uint32_t events)
{
    Server *server = userdata;

    server->client_fd = accept(server->fd, NULL, NULL);
    if (server->answer) {
        assert_int_equal(loop_add(server->source.loop, &server->client, server->client_fd, EPOLLIN,
                                  on_request, server),
                         0);
    }
}

static void start_server(Place *place, Server *server, const char *answer)
{
    *server = (Server){.answer = answer, .client_fd = -1};
    server->fd = place_listen(&server->port);
    assert_int_equal(
        loop_add(place->loop, &server->source, server->fd, EPOLLIN, on_connection, server), 0);
}

static void end_server(Server *server)
{
    loop_remove(&server->source);
    (void)close(server->fd);
    (void)fd_close(server->client_fd);
}

static void on_done(void *userdata, const char *problem)
{
    Result *result = userdata;

    result->calls++;
    (void)snprintf(result->problem, sizeof(result->problem), "%s", problem ? problem : "");
}

static bool is_done(void *userdata)
{
    return ((Result *)userdata)->calls > 0;
}

static void assert_check(Place *place, uint16_t port, int64_t timeout_ms, const char *wanted)
{
    Result result = {0};
    HealthCheck *check = NULL;

    assert_int_equal(
        health_check(place->host.health, port, "/up?x=%20", timeout_ms, on_done, &result, &check),
        0);
    assert_true(place_wait(place, is_done, &result));
    assert_int_equal(result.calls, 1);
    assert_string_equal(result.problem, wanted);
}

static void answers_of_2xx_are_healthy_and_no_others(void **state)
{
    static const struct {
        const char *answer;
        const char *problem;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ""},
        {"HTTP/1.0 204 No Content\r\n\r\n", ""},
        {"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
         "GET /up?x=%20: answered 301"},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "GET /up?x=%20: answered 404"},
        {"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "GET /up?x=%20: answered 503"},
        {"", "GET /up?x=%20: Empty reply from server"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Server server;

        start_server(*state, &server, cases[i].answer);
        assert_check(*state, server.port, 30000, cases[i].problem);
        end_server(&server);
    }
}

static void says_who_asks_and_leaves_the_path_alone(void **state)
{
    Server server;

    start_server(*state, &server, "HTTP/1.0 200 OK\r\n\r\n");
    assert_check(*state, server.port, 30000, "");
    assert_non_null(strstr(server.request, "GET /up?x=%20 HTTP/1.1\r\n"));
    assert_non_null(strstr(server.request, "User-Agent: slipway-engine-local\r\n"));
    end_server(&server);
}

static void each_check_is_a_new_connection(void **state)
{
    Server server;

    start_server(*state, &server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_check(*state, server.port, 30000, "");
    assert_check(*state, server.port, 30000, "");
    assert_int_equal(server.answers, 2);
    end_server(&server);
}

static void nobody_listens(void **state)
{
    uint16_t port;
    int fd = place_listen(&port);

    (void)close(fd);
    assert_check(*state, port, 30000, "GET /up?x=%20: nothing listens on its PORT");
}

static void an_answer_that_does_not_come_is_not_waited_for(void **state)
{
    Server server;

    start_server(*state, &server, NULL);
    assert_check(*state, server.port, 50, "GET /up?x=%20: no answer within 0.05 s");
    end_server(&server);
}

static void an_endless_body_is_not_read(void **state)
{
    static char answer[(2 << 20) + 64] = "HTTP/1.0 200 OK\r\n\r\n";
    Result result = {0};
    HealthCheck *check = NULL;
    Place *place = *state;
    Server server;
    pid_t pid;

    memset(answer + strlen(answer), 'x', 2 << 20);
    server.fd = place_listen(&server.port);
    pid = fork(); /* it blocks while it writes, so it is a process of its own */
    if (pid == 0) {
        int fd = accept(server.fd, NULL, NULL);

        while (send(fd, answer, strlen(answer), MSG_NOSIGNAL) > 0) {
            continue;
        }
        _exit(0);
    }
    assert_int_equal(
        health_check(place->host.health, server.port, "/", 30000, on_done, &result, &check), 0);
    assert_true(place_wait(place, is_done, &result));
    assert_non_null(strstr(result.problem, "GET /: "));
    (void)close(server.fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_cancelled_check_does_not_call_back(void **state)
{
    Place *place = *state;
    Result cancelled = {0};
    HealthCheck *check = NULL;
    Server server;

    start_server(place, &server, NULL);
    assert_int_equal(
        health_check(place->host.health, server.port, "/", 20, on_done, &cancelled, &check), 0);
    assert_null(health_cancel(check));
    assert_null(health_cancel(NULL));
    end_server(&server);
    start_server(place, &server, NULL);
    assert_check(place, server.port, 50, "GET /up?x=%20: no answer within 0.05 s");
    assert_int_equal(cancelled.calls, 0);
    end_server(&server);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(answers_of_2xx_are_healthy_and_no_others),
        TEST(says_who_asks_and_leaves_the_path_alone),
        TEST(each_check_is_a_new_connection),
        TEST(nobody_listens),
        TEST(an_answer_that_does_not_come_is_not_waited_for),
        TEST(an_endless_body_is_not_read),
        TEST(a_cancelled_check_does_not_call_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
