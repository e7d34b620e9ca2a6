/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-connect.h"

#include "protocol/base/fd.h"
#include "protocol/ssh/ssh-session.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

static int listen_anywhere(int family, uint16_t *ret_port, int backlog)
{
    struct sockaddr_in six_or_four = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(six_or_four);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&six_or_four, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&six_or_four, &size), 0);
    assert_int_equal(listen(fd, backlog), 0);
    *ret_port = ntohs(six_or_four.sin_port);
    return fd;
}

static void test_connects(void **state)
{
    _cleanup_fd_ int listener = -1, fd = -1, theirs = -1;
    int no_delay = 0;
    socklen_t size = sizeof(no_delay);
    uint16_t port;

    listener = listen_anywhere(AF_INET, &port, 4);
    /* "localhost" may be ::1 first, where nobody listens: the next address is tried. */
    assert_int_equal(ssh_connect("localhost", port, AF_UNSPEC, 10000, &fd, NULL), 0);
    theirs = accept(listener, NULL, NULL);
    assert_true(theirs >= 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
    assert_int_equal(no_delay, 1);
}

static void expect(const char *host, uint16_t port, int family, int code, const char *words)
{
    _cleanup_error_ Error err = {0};
    int fd = -1, r = ssh_connect(host, port, family, 300, &fd, &err);

    if (r != code || !strstr(error_text(&err), words)) {
        fail_msg("%d: %s", r, error_text(&err));
    }
    assert_int_equal(fd, -1);
}

static void test_each_failure_has_its_code(void **state)
{
    uint16_t port;
    int listener = listen_anywhere(AF_INET, &port, 1);

    (void)fd_close(listener);
    expect("127.0.0.1", port, AF_UNSPEC, SSH_REFUSED, "but no SSH server at its port");
    /* RFC 6761: it never resolves, whatever the name server is; without any, that is said. */
    {
        _cleanup_error_ Error err = {0};
        int fd = -1, r = ssh_connect("no-such-host.invalid", 22, AF_UNSPEC, 300, &fd, &err);

        assert_true(r == SSH_NAME_NOT_FOUND || r == -EHOSTUNREACH);
        assert_non_null(strstr(error_text(&err), "no-such-host.invalid"));
    }
    expect("127.0.0.1", port, AF_INET6, SSH_NAME_NOT_FOUND, "there is no host '127.0.0.1'");
}

/* A full queue of connections swallows the next one, as a network that drops packets does. */
static void test_times_out(void **state)
{
    _cleanup_fd_ int listener = -1;
    int taken[4] = {-1, -1, -1, -1};
    uint16_t port;
    int r = 0;

    listener = listen_anywhere(AF_INET, &port, 0);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(taken); i++) {
        r = ssh_connect("127.0.0.1", port, AF_INET, 200, &taken[i], NULL);
    }
    assert_int_equal(r, SSH_TIMED_OUT);
    expect("127.0.0.1", port, AF_INET, SSH_TIMED_OUT, "no answer from '127.0.0.1' port");
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        (void)fd_close(taken[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connects),
        cmocka_unit_test(test_each_failure_has_its_code),
        cmocka_unit_test(test_times_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
