/* SPDX-License-Identifier: MIT */
#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_keeps_errno_and_gives_an_empty_fd(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), number = fd;

    errno = ENOSPC;
    fd = fd_close(fd);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    errno = ENOSPC;
    assert_int_equal(fd_close(-1), -1);
    assert_int_equal(errno, ENOSPC);
}

static void cleanup_closes_once(void **state)
{
    int number, taken;
    {
        _cleanup_fd_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        number = fd;
    }
    assert_int_equal(fcntl(number, F_GETFD), -1);
    {
        _cleanup_fd_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        taken = TAKE_FD(fd);
    }
    assert_true(fcntl(taken, F_GETFD) >= 0);
    (void)fd_close(taken);
}

static void on_signal(int number)
{
}

/* More than a pipe holds, with signals that interrupt the writer: all of it arrives. */
static void writes_all_through_short_writes_and_signals(void **state)
{
    enum { SIZE = 1 << 20, PIECE = 50000 };
    struct sigaction action = {.sa_handler = on_signal};
    _cleanup_free_ char *sent = malloc(SIZE), *got = malloc(SIZE + PIECE);
    int ends[2], status;
    ssize_t n;
    pid_t pid;

    for (size_t i = 0; i < SIZE; i++) {
        sent[i] = (char)(i * 7 >> 3);
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    pid = fork();
    if (pid == 0) {
        int r;

        (void)close(ends[0]);
        r = fd_write_all(ends[1], sent, SIZE);
        _exit(r == 0 ? 0 : 1);
    }
    (void)close(ends[1]);
    for (n = 0; n + PIECE <= SIZE; n += PIECE) {
        assert_int_equal(fd_read_full(ends[0], got + n, PIECE), PIECE);
        (void)kill(pid, SIGUSR1);
    }
    n += fd_read_full(ends[0], got + n, PIECE); /* the rest, and the end */
    assert_int_equal(n, SIZE);
    assert_memory_equal(sent, got, SIZE);
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void errors_come_as_negative_errno(void **state)
{
    char byte = 0;
    int ends[2];

    assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
    assert_int_equal(fd_read_full(-1, &byte, 1), -EBADF);
    assert_int_equal(fd_pread_full(-1, &byte, 1, 0), -EBADF);
    assert_int_equal(fd_set_nonblock(-1, true), -EBADF);
    assert_int_equal(fd_write_all(-1, "x", 0), 0);

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fd_pread_full(ends[0], &byte, 1, 0), -ESPIPE);
    assert_int_equal(fd_set_nonblock(ends[0], true), 0);
    assert_int_equal(fd_read_full(ends[0], &byte, 1), -EAGAIN);
    assert_int_equal(fd_set_nonblock(ends[0], false), 0);
    assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)close(ends[0]);
    assert_int_equal(fd_write_all(ends[1], "x", 1), -EPIPE);
    (void)close(ends[1]);
}

static void pread_leaves_the_offset_alone(void **state)
{
    _cleanup_fd_ int fd = memfd_create("test", MFD_CLOEXEC);
    char text[8] = "";

    assert_int_equal(fd_write_all(fd, "0123456789", 10), 0);
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    assert_int_equal(fd_pread_full(fd, text, 4, 5), 4);
    assert_memory_equal(text, "5678", 4);
    assert_int_equal(fd_pread_full(fd, text, 4, 8), 2);
    assert_int_equal(fd_pread_full(fd, text, 4, 10), 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_keeps_errno_and_gives_an_empty_fd),
        cmocka_unit_test(cleanup_closes_once),
        cmocka_unit_test(writes_all_through_short_writes_and_signals),
        cmocka_unit_test(errors_come_as_negative_errno),
        cmocka_unit_test(pread_leaves_the_offset_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
