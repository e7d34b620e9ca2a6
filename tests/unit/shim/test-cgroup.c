/* SPDX-License-Identifier: MIT */
/* What needs a hierarchy that this user may write is in tests/integration/test-shim.py, too; here
 * it is done where there is one, and the other half always. */
#include "agent/shim/cgroup.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/shim/call-dir.h"

#include <errno.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A name for a group below the mount of the v2 hierarchy; false if none can be made there. */
static bool find_place(char *path, size_t size)
{
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent *entry;
    bool is_found = false;

    while (mounts && !is_found && (entry = getmntent(mounts))) {
        if (strcmp(entry->mnt_type, "cgroup2") == 0 && access(entry->mnt_dir, W_OK) == 0) {
            (void)snprintf(path, size, "%s/slipway-test-%d", entry->mnt_dir, (int)getpid());
            is_found = mkdir(path, 0755) == 0 && rmdir(path) == 0;
        }
    }
    if (mounts) {
        (void)endmntent(mounts);
    }
    return is_found;
}

static void test_a_directory_of_another_kind(void **state)
{
    Cgroup cgroup = CGROUP_INIT;
    _cleanup_error_ Error err = {0};
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/group", call_dir_path);
    assert_int_equal(cgroup_open(&cgroup, path, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "is not in a cgroup v2 hierarchy"));
    assert_false(cgroup_is_open(&cgroup));
    assert_int_equal(access(path, F_OK), -1);
}

static void test_one_that_is_there_already(void **state)
{
    Cgroup cgroup = CGROUP_INIT;

    assert_int_equal(cgroup_open(&cgroup, call_dir_path, NULL), -EEXIST);
    assert_int_equal(access(call_dir_path, F_OK), 0);
}

static void test_what_cannot_be_known_is_not_empty(void **state)
{
    Cgroup cgroup = {.path = call_dir_path, .dir_fd = call_dir_fd};

    assert_true(cgroup_is_populated(&cgroup));
    call_dir_write("cgroup.events", "populated 1\nfrozen 0\n");
    assert_true(cgroup_is_populated(&cgroup));
    call_dir_write("cgroup.events", "populated 0\nfrozen 0\n");
    assert_false(cgroup_is_populated(&cgroup));
    assert_int_equal(cgroup_kill(&cgroup), -ENOENT);
}

static void test_a_life(void **state)
{
    Cgroup cgroup = CGROUP_INIT;
    char path[256], below[300];
    pid_t pid;
    int status;

    if (!find_place(path, sizeof(path))) {
        return; /* the fallback is what there is to test, and the other cases do */
    }
    assert_int_equal(cgroup_open(&cgroup, path, NULL), 0);
    assert_false(cgroup_is_populated(&cgroup));
    pid = cgroup_fork(&cgroup);
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    assert_true(pid > 0 && cgroup_is_open(&cgroup));
    assert_true(cgroup_is_populated(&cgroup));
    (void)snprintf(below, sizeof(below), "%s/below", path);
    assert_int_equal(mkdir(below, 0755), 0);
    assert_int_equal(cgroup_kill(&cgroup), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cgroup_remove(&cgroup);
    assert_int_equal(access(path, F_OK), -1);
    assert_false(cgroup_is_open(&cgroup));
}

static void test_a_child_without(void **state)
{
    Cgroup none = CGROUP_INIT;
    Cgroup unusable = {.path = strdup("/nonexistent"), .dir_fd = -1};
    Cgroup *const cgroups[] = {&none, &unusable};

    for (size_t i = 0; i < 2; i++) {
        pid_t pid = cgroup_fork(cgroups[i]);
        int status;

        if (pid == 0) {
            (void)pause();
            _exit(7);
        }
        assert_true(pid > 0);
        assert_false(cgroup_is_open(cgroups[i]));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, call_dir_make, call_dir_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_directory_of_another_kind),
        TEST(test_one_that_is_there_already),
        TEST(test_what_cannot_be_known_is_not_empty),
        TEST(test_a_life),
        TEST(test_a_child_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
