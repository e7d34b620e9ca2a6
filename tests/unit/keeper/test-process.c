/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/keeper/process.h"

#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child with a grandchild in a session of its own; both wait for ever, with `marker` in their
 * environment. Returns when both are there, and neither is in the middle of an exec, when its
 * environment cannot be read. */
static pid_t start_tree(const char *marker)
{
    int ends[2];
    char ready;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        const char *const environment[] = {marker, NULL};
        const char *const argv[] = {"sh", "-c", "setsid sh -c 'echo >&3; kill -STOP $$' & wait",
                                    NULL};

        (void)dup2(ends[1], 3);
        (void)execvpe("sh", (char *const *)argv, (char *const *)environment);
        _exit(127);
    }
    assert_true(pid > 0);
    (void)close(ends[1]);
    assert_int_equal(fd_read_full(ends[0], &ready, 1), 1);
    (void)close(ends[0]);
    return pid;
}

static int reap_all(void)
{
    int n = 0;

    while (waitpid(-1, NULL, 0) > 0) {
        n++;
    }
    return n;
}

static void descendants_are_found_whatever_their_session(void **state)
{
    assert_int_equal(process_signal_descendants(0), 0);
    (void)start_tree("A=b");
    assert_int_equal(process_signal_descendants(0), 2);
    assert_int_equal(process_signal_descendants(SIGKILL), 2);
    assert_int_equal(reap_all(), 2); /* this process is the reaper of what lost its parent */
    assert_int_equal(process_signal_descendants(0), 0);
}

static void zombies_do_not_count(void **state)
{
    siginfo_t info;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(process_signal_descendants(SIGKILL), 0);
    (void)reap_all();
}

static void marked_ones_are_found_and_no_others(void **state)
{
    char marker[64], longer[64];

    (void)snprintf(marker, sizeof(marker), "SLIPWAY_TEST=%d", (int)getpid());
    (void)snprintf(longer, sizeof(longer), "SLIPWAY_TEST=%d0", (int)getpid());
    (void)start_tree(longer);
    assert_int_equal(process_signal_marked(marker, SIGKILL), 0);
    (void)start_tree(marker);
    assert_int_equal(process_signal_marked(marker, SIGKILL), 2);
    assert_int_equal(process_signal_marked(longer, SIGKILL), 2);
    assert_int_equal(reap_all(), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descendants_are_found_whatever_their_session),
        cmocka_unit_test(zombies_do_not_count),
        cmocka_unit_test(marked_ones_are_found_and_no_others),
    };

    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
