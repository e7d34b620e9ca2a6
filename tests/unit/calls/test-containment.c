/* SPDX-License-Identifier: MIT */
#include "agent/calls/containment.h"

#include "tests/unit/scratch.h"

#include <signal.h>
#include <sys/wait.h>

#define HYBRID                                                    \
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"           \
    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw\n" \
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"

#define UNIFIED "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void finds_its_own_cgroup(void **state)
{
    static const struct {
        const char *mounts, *cgroups, *expected;
    } rows[] = {
        {HYBRID, "9:name=systemd:/a\n0::/\n", "/sys/fs/cgroup/unified"},
        {HYBRID, "0::/user.slice/x\n", "/sys/fs/cgroup/unified/user.slice/x"},
        {UNIFIED, "0::/system.slice/slipway.service\n",
         "/sys/fs/cgroup/system.slice/slipway.service"},
        {UNIFIED, "4:memory:/a\n", NULL}, /* version 1 alone */
        {UNIFIED, "", NULL},
        {"", "0::/a\n", NULL},
        {"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", "0::/a\n", NULL},
        /* a container sees a part of the hierarchy as the whole */
        {"41 31 0:38 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/box/a\n",
         "/sys/fs/cgroup/a"},
        {"41 31 0:38 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/box\n", "/sys/fs/cgroup"},
        {"41 31 0:38 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/boxes/a\n", NULL},
        {"41 31 0:38 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n" UNIFIED, "0::/other\n",
         "/sys/fs/cgroup/other"},
        {"41 31 0:38 / /mnt/my\\040cgroup rw - cgroup2 cgroup2 rw\n", "0::/a\n",
         "/mnt/my cgroup/a"},
        {"garbage\n\n - cgroup2 \n" UNIFIED, "0::/a\n", "/sys/fs/cgroup/a"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_free_ char *found = NULL;

        assert_int_equal(containment_locate(rows[i].mounts, rows[i].cgroups, &found), 0);
        if (!rows[i].expected) {
            assert_null(found);
        } else {
            assert_string_equal(found, rows[i].expected);
        }
    }
}

static void names_what_a_call_gets(void **state)
{
    Containment none = {0}, some = {.directory = strdup("/sys/x")};
    char *path;

    assert_string_equal(containment_mode(&none), "subreaper");
    assert_int_equal(containment_path(&none, "c", &path), 0);
    assert_null(path);
    assert_string_equal(containment_mode(&some), "cgroup");
    assert_int_equal(containment_path(&some, "c", &path), 0);
    assert_string_equal(path, "/sys/x/slipway-c");
    free(path);
    containment_done(&some);
    assert_null(some.directory);
}

/* Starts one that lives until it is killed, with SLIPWAY_CALL as told. */
static pid_t start(const char *mark)
{
    char *const argv[] = {(char *)"sleep", (char *)"60", NULL};
    char *const environment[] = {(char *)"OTHER=1", (char *)mark, NULL};
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execve("/bin/sleep", argv, environment);
        _exit(127);
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 0); /* it has been executed */
    (void)close(ready[0]);
    return pid;
}

static void ends_what_is_left_of_a_call(void **state)
{
    Containment none = {0};
    char mark[80], other[80], call[40];
    pid_t ours, theirs;
    int status;

    (void)snprintf(call, sizeof(call), "test-%d", (int)getpid());
    (void)snprintf(mark, sizeof(mark), "SLIPWAY_CALL=%s", call);
    (void)snprintf(other, sizeof(other), "SLIPWAY_CALL=%s0", call);
    assert_int_equal(containment_sweep(&none, call), 0);
    ours = start(mark);
    theirs = start(other);
    assert_int_equal(containment_sweep(&none, call), 1);
    assert_int_equal(waitpid(ours, &status, 0), ours);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(containment_sweep(&none, call), 0);
    assert_int_equal(waitpid(theirs, &status, WNOHANG), 0); /* another call's lives on */
    assert_int_equal(kill(theirs, SIGKILL), 0);
    assert_int_equal(waitpid(theirs, &status, 0), theirs);
}

static void looks_at_this_host(void **state)
{
    Containment here;
    const char *mode;

    assert_int_equal(containment_init(&here), 0);
    mode = containment_mode(&here);
    assert_true(strcmp(mode, "cgroup") == 0 || strcmp(mode, "subreaper") == 0);
    assert_true(!here.directory || file_exists(AT_FDCWD, here.directory));
    containment_done(&here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_its_own_cgroup),
        cmocka_unit_test(names_what_a_call_gets),
        cmocka_unit_test(ends_what_is_left_of_a_call),
        cmocka_unit_test(looks_at_this_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
