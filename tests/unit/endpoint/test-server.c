/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/server.h"
#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/endpoint/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n"

typedef struct Fixture {
    Talk talk; /* for its loop, configuration and calls */
    Server *server;
    char directory[32];
    char path[64];
    bool is_stopped;
    bool has_ended;
} Fixture;

static int set_up(void **state)
{
    static Fixture f;

    f = (Fixture){.directory = "/tmp/slipway-test-XXXXXX"};
    talk_begin_endpoint(&f.talk);
    assert_non_null(mkdtemp(f.directory));
    (void)snprintf(f.path, sizeof(f.path), "%s/agent.sock", f.directory);
    *state = &f;
    return 0;
}

static void on_stopped(void *userdata)
{
    ((Fixture *)userdata)->is_stopped = true;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    if (f->server) {
        server_stop(f->server, on_stopped, f);
        (void)uv_run(&f->talk.loop, UV_RUN_DEFAULT);
        assert_true(f->is_stopped);
        f->server = server_free(f->server);
    }
    assert_int_equal(access(f->path, F_OK), -1); /* the socket's file goes, too */
    talk_end_endpoint(&f->talk);
    return rmdir(f->directory);
}

static void start(Fixture *f)
{
    assert_int_equal(server_new(&f->talk.loop, &f->talk.config, f->talk.calls, &f->server, NULL),
                     0);
    assert_int_equal(server_listen(f->server, f->path, NULL), 0);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* What comes first on the descriptor, after the loop had its turns. */
static const char *hear(Fixture *f, int fd)
{
    static char line[4096];
    ssize_t n;

    talk_turn_deaf(&f->talk);
    n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
    line[n > 0 ? n : 0] = '\0';
    return line;
}

static void clients_come_and_go_beside_each_other(void **state)
{
    Fixture *f = *state;
    int first, second;

    start(f);
    first = connect_to(f->path);
    second = connect_to(f->path);
    assert_int_equal(write(first, "\xff\n", 2), 2);
    assert_non_null(strstr(hear(f, first), "-32700"));
    (void)close(first);
    assert_int_equal(write(second, PING, strlen(PING)), (ssize_t)strlen(PING));
    assert_non_null(strstr(hear(f, second), "\"result\""));
    (void)close(second);
}

static void one_connection_too_many_is_told_so(void **state)
{
    Fixture *f = *state;
    static int fds[SERVER_CONNECTIONS_MAX];
    int more;

    start(f);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = connect_to(f->path);
        talk_turn_deaf(&f->talk);
    }
    more = connect_to(f->path);
    assert_non_null(strstr(hear(f, more), "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":"
                                          "-32002,"));
    assert_int_equal(recv(more, &(char){0}, 1, 0), 0);
    (void)close(more);
    (void)close(fds[0]);
    talk_turn_deaf(&f->talk);
    fds[0] = connect_to(f->path);
    assert_int_equal(write(fds[0], PING, strlen(PING)), (ssize_t)strlen(PING));
    assert_non_null(strstr(hear(f, fds[0]), "\"result\""));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        (void)close(fds[i]);
    }
}

static void without_descriptors_somebody_is_told_and_nothing_spins(void **state)
{
    Fixture *f = *state;
    struct rlimit before, none;
    int client;

    start(f);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    client = connect_to(f->path);
    none = (struct rlimit){.rlim_cur = (rlim_t)client + 1, .rlim_max = before.rlim_max};
    for (int fd = 3; fd < client; fd++) { /* the numbers below are all in use */
        if (fcntl(fd, F_GETFD) < 0) {
            assert_int_equal(dup2(client, fd), fd);
        }
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_non_null(strstr(hear(f, client), "\"code\":-32002"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void)close(client);
}

static void the_mode_follows_who_is_allowed(void **state)
{
    Fixture *f = *state;
    char *nobody[] = {(char *)"54321", NULL};
    struct stat st;

    f->talk.config.allowed_users = nobody;
    start(f);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
}

static void for_oneself_alone_the_mode_is_closed(void **state)
{
    Fixture *f = *state;
    struct stat st;

    start(f);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Connects as another user; exits 0 if it heard that it may not. */
static pid_t connect_as(const char *path, uid_t uid)
{
    pid_t pid = fork();

    if (pid == 0) {
        char line[512] = "";
        int fd;

        if (setgid(uid) < 0 || setuid(uid) < 0) {
            _exit(2);
        }
        fd = connect_to(path);
        (void)!read(fd, line, sizeof(line) - 1);
        _exit(strstr(line, "\"id\":null,\"error\":{\"code\":-32006,") ? 0 : 1);
    }
    return pid;
}

static void a_stranger_is_refused(void **state)
{
    Fixture *f = *state;
    char *another[] = {(char *)"54322", NULL};
    int status = -1;
    pid_t pid;

    if (geteuid() != 0) {
        skip(); /* only root can be somebody else */
    }
    f->talk.config.allowed_users = another;
    assert_int_equal(chmod(f->directory, 0711), 0);
    start(f);
    for (int i = 0; i < 2; i++) {
        pid = connect_as(f->path, 54321);
        while (waitpid(pid, &status, WNOHANG) == 0) {
            (void)uv_run(&f->talk.loop, UV_RUN_NOWAIT);
        }
        assert_int_equal(status, 0);
    }
}

static void an_allowed_name_that_is_unknown_is_an_error(void **state)
{
    Fixture *f = *state;
    _cleanup_error_ Error err = {0};

    f->talk.config.allowed_users = (char *[]){(char *)"no-such-user-here", NULL};
    assert_int_equal(server_new(&f->talk.loop, &f->talk.config, f->talk.calls, &f->server, &err),
                     -ENOENT);
    assert_null(f->server);
}

static void a_taken_path_is_an_error(void **state)
{
    Fixture *f = *state;
    _cleanup_error_ Error err = {0};

    start(f);
    assert_int_equal(server_listen(f->server, f->path, &err), -EADDRINUSE);
    assert_int_equal(
        server_listen_fd_take(f->server, open("/dev/null", O_RDONLY | O_CLOEXEC), &err), -ENOTSOCK);
}

static void on_ended(void *userdata)
{
    ((Fixture *)userdata)->has_ended = true;
}

static void what_is_served_directly_tells_its_end(void **state)
{
    Fixture *f = *state;
    int pair[2];

    start(f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(server_serve_take(f->server, pair[1], pair[1], on_ended, f, NULL), 0);
    assert_int_equal(write(pair[0], PING, strlen(PING)), (ssize_t)strlen(PING));
    assert_non_null(strstr(hear(f, pair[0]), "\"result\""));
    assert_false(f->has_ended);
    (void)close(pair[0]);
    talk_turn_deaf(&f->talk);
    assert_true(f->has_ended);
}

static void stopping_hangs_up_on_everybody(void **state)
{
    Fixture *f = *state;
    int client;

    start(f);
    client = connect_to(f->path);
    talk_turn_deaf(&f->talk);
    server_stop(f->server, on_stopped, f);
    talk_turn_deaf(&f->talk);
    assert_true(f->is_stopped);
    assert_int_equal(recv(client, &(char){0}, 1, 0), 0);
    f->server = server_free(f->server);
    (void)close(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(clients_come_and_go_beside_each_other),
        TEST(one_connection_too_many_is_told_so),
        TEST(without_descriptors_somebody_is_told_and_nothing_spins),
        TEST(the_mode_follows_who_is_allowed),
        TEST(for_oneself_alone_the_mode_is_closed),
        TEST(a_stranger_is_refused),
        TEST(an_allowed_name_that_is_unknown_is_an_error),
        TEST(a_taken_path_is_an_error),
        TEST(what_is_served_directly_tells_its_end),
        TEST(stopping_hangs_up_on_everybody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
