/* SPDX-License-Identifier: MIT */
#include "agent/shim/spawn.h"

#include "protocol/base/buffer.h"
#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/shim/call-dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int wait_for_exit(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* All there is to read once every writer is gone; a terminal ends with EIO. */
static char *read_all(int fd)
{
    _cleanup_buffer_ Buffer b = {0};
    char block[512];
    ssize_t got;

    assert_int_equal(fd_set_nonblock(fd, false), 0);
    while ((got = read(fd, block, sizeof(block))) > 0) {
        assert_int_equal(buffer_append(&b, block, (size_t)got), 0);
    }
    return buffer_take_text(&b);
}

static Cgroup no_cgroup = CGROUP_INIT;

static void assert_reads(int fd, const char *wanted)
{
    char *text = read_all(fd);

    assert_string_equal(text, wanted);
    free(text);
}

static void run_shell(Spawn *spawn, bool is_terminal, const char *script)
{
    char *argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};

    *spawn = SPAWN_INIT;
    assert_int_equal(spawn_prepare(spawn, &no_cgroup, is_terminal, argv, NULL), 0);
    assert_int_equal(spawn_release(spawn, argv[0], NULL), 0);
}

static void test_three_ways_out(void **state)
{
    _cleanup_(spawn_done) Spawn spawn;

    run_shell(&spawn, false, "echo out; echo err >&2; echo report >&3; exit 5");
    assert_int_equal(wait_for_exit(spawn.pid), 5);
    assert_reads(spawn.out_fd, "out\n");
    assert_reads(spawn.err_fd, "err\n");
    assert_reads(spawn.reports_fd, "report\n");
}

static void test_a_terminal(void **state)
{
    _cleanup_(spawn_done) Spawn spawn;

    run_shell(&spawn, true, "test -t 1 && test -t 2 && stty size </dev/tty; echo err >&2");
    assert_int_equal(spawn.err_fd, -1);
    assert_int_equal(wait_for_exit(spawn.pid), 0);
    assert_reads(spawn.out_fd, "40 132\nerr\n");
}

static void test_a_group_of_its_own_and_no_signal_ignored(void **state)
{
    _cleanup_(spawn_done) Spawn spawn;

    (void)signal(SIGPIPE, SIG_IGN);
    run_shell(&spawn, false, "kill -PIPE $$");
    (void)signal(SIGPIPE, SIG_DFL);
    assert_int_equal(wait_for_exit(spawn.pid), -SIGPIPE);
    spawn_done(&spawn);
    run_shell(&spawn, false, "kill -KILL 0"); /* its whole group, and not us */
    assert_int_equal(wait_for_exit(spawn.pid), -SIGKILL);
}

static void test_it_waits_for_its_release(void **state)
{
    Spawn spawn = SPAWN_INIT;
    char *argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"exit 0"}, NULL};

    assert_int_equal(spawn_prepare(&spawn, &no_cgroup, false, argv, NULL), 0);
    assert_int_equal(waitpid(spawn.pid, NULL, WNOHANG), 0);
    spawn_done(&spawn); /* nobody will come */
    assert_int_equal(wait_for_exit(spawn.pid), 127);
}

static void assert_cannot_start(const char *name, int code, const char *why)
{
    _cleanup_(spawn_done) Spawn spawn = SPAWN_INIT;
    _cleanup_error_ Error err = {0};
    char path[128], wanted[256];
    char *argv[] = {path, NULL};

    (void)snprintf(path, sizeof(path), "%s/%s", call_dir_path, name);
    (void)snprintf(wanted, sizeof(wanted), "cannot start '%s': %s", path, why);
    assert_int_equal(spawn_prepare(&spawn, &no_cgroup, false, argv, &err), 0);
    assert_int_equal(spawn_release(&spawn, path, &err), code);
    assert_string_equal(error_text(&err), wanted);
    assert_int_equal(wait_for_exit(spawn.pid), 127);
}

static void test_why_it_cannot_be_started(void **state)
{
    call_dir_write("plain", "#!/bin/sh\n");
    call_dir_write("text", "echo\n");
    call_dir_write("lost", "#!/no/such/interpreter\n");
    assert_int_equal(fchmodat(call_dir_fd, "text", 0755, 0), 0);
    assert_int_equal(fchmodat(call_dir_fd, "lost", 0755, 0), 0);
    assert_cannot_start("none", -ENOENT, "there is no such file");
    assert_cannot_start("plain/below", -ENOTDIR, "Not a directory");
    assert_cannot_start("plain", -EACCES, "it is not executable");
    assert_cannot_start("lost", -ENOENT, "it is there, but not its interpreter");
    assert_cannot_start("text", -ENOEXEC, "its format is not executable (a script begins with #!)");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, call_dir_make, call_dir_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_three_ways_out),
        TEST(test_a_terminal),
        TEST(test_a_group_of_its_own_and_no_signal_ignored),
        TEST(test_it_waits_for_its_release),
        TEST(test_why_it_cannot_be_started),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
