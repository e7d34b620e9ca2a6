/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/bridge.h"
#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The bridge in a child; the client's and the agent's ends here. */
typedef struct Fixture {
    int to_bridge;
    int from_bridge;
    int agent;
    pid_t pid;
} Fixture;

static int set_up(void **state)
{
    static Fixture f;
    int up[2], down[2], pair[2];

    assert_int_equal(pipe2(up, O_CLOEXEC), 0);
    assert_int_equal(pipe2(down, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f = (Fixture){.to_bridge = up[1], .from_bridge = down[0], .agent = pair[0]};
    f.pid = fork();
    if (f.pid == 0) {
        (void)close(up[1]);
        (void)close(down[0]);
        (void)close(pair[0]);
        _exit(bridge_run_take(up[0], down[1], pair[1], NULL) < 0);
    }
    (void)close(up[0]);
    (void)close(down[1]);
    (void)close(pair[1]);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    int status;

    f->to_bridge = fd_close(f->to_bridge);
    f->from_bridge = fd_close(f->from_bridge);
    f->agent = fd_close(f->agent);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    return status;
}

static void expect(int fd, const char *wanted)
{
    char got[64] = "";

    assert_int_equal(fd_read_full(fd, got, strlen(wanted)), (ssize_t)strlen(wanted));
    assert_string_equal(got, wanted);
}

static void bytes_go_both_ways(void **state)
{
    Fixture *f = *state;

    assert_int_equal(fd_write_all(f->to_bridge, "question", 8), 0);
    expect(f->agent, "question");
    assert_int_equal(fd_write_all(f->agent, "answer", 6), 0);
    expect(f->from_bridge, "answer");
}

static void the_last_answer_comes_after_the_input_has_ended(void **state)
{
    Fixture *f = *state;
    char rest;

    assert_int_equal(fd_write_all(f->to_bridge, "last", 4), 0);
    f->to_bridge = fd_close(f->to_bridge);
    expect(f->agent, "last");
    assert_int_equal(read(f->agent, &rest, 1), 0);
    assert_int_equal(fd_write_all(f->agent, "answer", 6), 0);
    f->agent = fd_close(f->agent);
    expect(f->from_bridge, "answer");
    assert_int_equal(read(f->from_bridge, &rest, 1), 0);
}

/* It says why and hangs up, while the client still talks. */
static void what_the_agent_said_before_it_hung_up_arrives(void **state)
{
    Fixture *f = *state;
    char rest;

    assert_int_equal(fd_write_all(f->agent, "no", 2), 0);
    f->agent = fd_close(f->agent);
    (void)!write(f->to_bridge, "hello", 5);
    expect(f->from_bridge, "no");
    assert_int_equal(read(f->from_bridge, &rest, 1), 0);
}

static void a_client_that_is_gone_ends_it(void **state)
{
    Fixture *f = *state;
    char rest;

    f->from_bridge = fd_close(f->from_bridge);
    assert_int_equal(read(f->agent, &rest, 1), 0);
}

/* 8 MB each way at once, through a bridge that holds 128 KiB. */
static void much_goes_both_ways_at_once(void **state)
{
    const size_t total = 8 << 20;
    Fixture *f = *state;
    static char data[65536], got[65536];
    size_t up_sent = 0, up_got = 0, down_sent = 0, down_got = 0;

    memset(data, 'd', sizeof(data));
    assert_int_equal(fd_set_nonblock(f->to_bridge, true), 0);
    assert_int_equal(fd_set_nonblock(f->from_bridge, true), 0);
    assert_int_equal(fd_set_nonblock(f->agent, true), 0);
    while (up_got < MAX(up_sent, total) || down_got < MAX(down_sent, total)) {
        struct pollfd fds[] = {
            {.fd = up_sent < total ? f->to_bridge : -1, .events = POLLOUT},
            {.fd = f->agent, .events = (short)(POLLIN | (down_sent < total ? POLLOUT : 0))},
            {.fd = f->from_bridge, .events = POLLIN},
        };
        ssize_t n;

        assert_true(poll(fds, ARRAY_SIZE(fds), 10000) > 0);
        n = up_sent < total ? write(f->to_bridge, data, sizeof(data)) : 0;
        up_sent += n > 0 ? (size_t)n : 0;
        n = read(f->agent, got, sizeof(got));
        up_got += n > 0 ? (size_t)n : 0;
        n = down_sent < total ? write(f->agent, data, sizeof(data)) : 0;
        down_sent += n > 0 ? (size_t)n : 0;
        n = read(f->from_bridge, got, sizeof(got));
        down_got += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(up_got, up_sent);
    assert_int_equal(down_got, down_sent);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_both_ways),
        TEST(the_last_answer_comes_after_the_input_has_ended),
        TEST(what_the_agent_said_before_it_hung_up_arrives),
        TEST(a_client_that_is_gone_ends_it),
        TEST(much_goes_both_ways_at_once),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
