/* SPDX-License-Identifier: MIT */
#include "agent/shim/tree.h"

#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Everything that a case starts holds the write end; its end of file means that nothing lives. */
static int alive_fd = -1;

typedef void (*Body)(int ready_fd);

static _noreturn_ void stay(int ready_fd)
{
    (void)!write(ready_fd, "r", 1);
    for (;;) {
        (void)pause();
    }
}

/* Starts a child and waits until `n` processes are ready. */
static pid_t start(Body body, size_t n)
{
    char ready[16];
    int pipes[2], alive[2];
    pid_t pid;

    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(pipe(alive), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(alive[0]);
        (void)close(pipes[0]);
        body(pipes[1]);
        _exit(0);
    }
    (void)close(pipes[1]);
    (void)close(alive[1]);
    (void)fd_close(alive_fd);
    alive_fd = alive[0];
    assert_int_equal(fd_read_full(pipes[0], ready, n), n);
    (void)close(pipes[0]);
    return pid;
}

static void assert_nothing_lives(void)
{
    char byte;

    assert_int_equal(read(alive_fd, &byte, 1), 0);
}

/* Reaps until there is no child: what the supervisor does with SIGCHLD, without a signal. */
static void reap_all(void)
{
    int status;

    while (waitpid(-1, &status, 0) > 0) {
    }
}

static void leave_parent_session_and_group(int ready_fd)
{
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {
            (void)signal(SIGTERM, SIG_IGN);
            stay(ready_fd);
        }
        _exit(0);
    }
    stay(ready_fd);
}

static void test_the_list_has_all_and_only_ours(void **state)
{
    _cleanup_tree_list_ TreeList list = {0};
    pid_t pid = start(leave_parent_session_and_group, 2);
    bool has_child = false;

    assert_int_equal(tree_list(getpid(), &list), 0);
    for (size_t k = 0; k < list.n; k++) {
        assert_true(list.processes[k].is_ours);
        assert_int_not_equal(list.processes[k].pid, getpid());
        has_child = has_child || list.processes[k].pid == pid;
    }
    assert_true(has_child);
    assert_int_equal(tree_count(), 2); /* the one between them has ended */
    tree_kill();
    reap_all();
    assert_int_equal(tree_count(), 0);
    assert_nothing_lives();
}

static void test_nobody_can_leave(void **state)
{
    int status = 0;
    bool has_ended = false;
    pid_t pid = start(leave_parent_session_and_group, 2);

    tree_terminate(); /* ends the first, not the one that ignores it */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_true(tree_reap(pid, &status, &has_ended));
    assert_false(has_ended);
    assert_int_equal(tree_count(), 1);
    tree_kill();
    reap_all();
    assert_false(tree_reap(pid, &status, &has_ended));
    assert_nothing_lives();
}

static void stop_itself(int ready_fd)
{
    (void)!write(ready_fd, "r", 1);
    (void)raise(SIGSTOP);
    stay(ready_fd);
}

static void test_also_who_is_stopped_hears_sigterm(void **state)
{
    pid_t pid = start(stop_itself, 1);
    int status;

    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    tree_terminate();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void fork_and_fork(int ready_fd)
{
    bool is_told = false;

    for (;;) { /* each ends and leaves the next: always one, never the same */
        pid_t pid = fork();

        if (pid > 0) {
            _exit(0);
        }
        if (pid == 0 && !is_told) {
            (void)!write(ready_fd, "r", 1);
            is_told = true;
        }
    }
}

static void test_who_always_forks_is_caught(void **state)
{
    int status = 0, rounds = 0;
    bool has_ended = false;
    pid_t pid = start(fork_and_fork, 1);

    while (tree_reap(pid, &status, &has_ended)) {
        assert_true(rounds++ < 10000);
        tree_kill();
    }
    assert_true(has_ended);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_nothing_lives();
}

static void end_with_status(int ready_fd)
{
    _exit(7);
}

static void test_whose_status_is_whose(void **state)
{
    int status = 0;
    bool has_ended = false;
    pid_t other = start(end_with_status, 0);
    siginfo_t info;

    assert_int_equal(waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT), 0);
    assert_false(tree_reap(other + 1, &status, &has_ended));
    assert_false(has_ended);
    other = start(end_with_status, 0);
    assert_int_equal(waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(tree_count(), 0); /* a zombie does not live */
    assert_false(tree_reap(other, &status, &has_ended));
    assert_true(has_ended);
    assert_int_equal(WEXITSTATUS(status), 7);
}

static int end_all(void **state)
{
    tree_kill();
    reap_all();
    alive_fd = fd_close(alive_fd);
    return 0;
}

#define TEST(f) cmocka_unit_test_teardown(f, end_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_list_has_all_and_only_ours),
        TEST(test_nobody_can_leave),
        TEST(test_also_who_is_stopped_hears_sigterm),
        TEST(test_who_always_forks_is_caught),
        TEST(test_whose_status_is_whose),
    };

    if (tree_adopt() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
