/* SPDX-License-Identifier: MIT */
#include "agent/source/process.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Everything is below the scratch directory: the way to `way/state`, what is beside it, and what is
 * in it. */
static void lay_out(int fd)
{
    static const char *const files[] = {
        "file",
        "beside/file",
        "way/file",
        "way/beside/file",
        "way/state/keys/agent.key",
        "way/state/runs/mine/workspace/file",
        "way/state/runs/mine/source.json",
        "way/state/runs/other/workspace/file",
        "way/state/cache/git/objects",
        "way/state/statement", /* its name begins like the way's next */
        "way/state2/file",
    };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        scratch_write_text(fd, files[i], "x");
    }
    assert_int_equal(symlinkat("beside", fd, "link"), 0);
    assert_int_equal(symlinkat("../way/state/keys", fd, "beside/keys"), 0);
}

static long landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
}

static int can_read(int fd, const char *path)
{
    char byte;
    _cleanup_fd_ int file = openat(fd, path, O_RDONLY | O_CLOEXEC);

    return file < 0 || read(file, &byte, 1) < 0 ? -errno : 0;
}

static int can_write(int fd, const char *path)
{
    _cleanup_fd_ int file = openat(fd, path, O_WRONLY | O_APPEND | O_CLOEXEC);

    return file < 0 ? -errno : 0;
}

static int can_list(int fd, const char *path)
{
    _cleanup_fd_ int dir = openat(fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return dir < 0 ? -errno : 0;
}

static int can_make(int fd, const char *path)
{
    _cleanup_fd_ int file = openat(fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return file < 0 ? -errno : 0;
}

static int can_make_dir(int fd, const char *path)
{
    return mkdirat(fd, path, 0700) < 0 ? -errno : 0;
}

static int can_remove(int fd, const char *path)
{
    return unlinkat(fd, path, 0) < 0 ? -errno : 0;
}

static int can_take_out(int fd, const char *path)
{
    return renameat(fd, path, fd, "beside/taken") < 0 ? -errno : 0;
}

static int can_link(int fd, const char *path)
{
    return linkat(fd, path, fd, "beside/linked", 0) < 0 ? -errno : 0;
}

static int can_truncate(int fd, const char *path)
{
    char whole[256];

    (void)snprintf(whole, sizeof(whole), "/proc/self/fd/%d/%s", fd, path);
    return landlock_version() < 3 ? -EACCES : truncate(whole, 0) < 0 ? -errno : 0;
}

static const struct {
    int (*can)(int fd, const char *path);
    const char *path;
    bool is_allowed;
} rows[] = {
    /* beside the way: all of it */
    {can_read, "file", true},
    {can_write, "file", true},
    {can_read, "beside/file", true},
    {can_make, "beside/new", true},
    {can_make_dir, "beside/new-dir", true},
    {can_make, "beside/new-dir/new", true},
    {can_read, "link/file", true},
    {can_write, "way/file", true},
    {can_make, "way/beside/new", true},
    {can_read, "way/state2/file", true},
    {can_make, "way/state2/new", true},
    {can_take_out, "way/beside/file", true},
    /* on the way: names, and nothing new */
    {can_list, ".", true},
    {can_list, "way", true},
    {can_make, "new", false},
    {can_make_dir, "way/new", false},
    {can_remove, "file", false},
    /* in the state directory */
    {can_list, "way/state", true},
    {can_make, "way/state/new", false},
    {can_read, "way/state/statement", false},
    {can_read, "way/state/keys/agent.key", false},
    {can_read, "beside/keys/agent.key", false},
    {can_write, "way/state/keys/agent.key", false},
    {can_truncate, "way/state/keys/agent.key", false},
    {can_remove, "way/state/keys/agent.key", false},
    {can_take_out, "way/state/keys/agent.key", false},
    {can_link, "way/state/keys/agent.key", false},
    {can_make, "way/state/keys/new", false},
    {can_read, "way/state/runs/other/workspace/file", false},
    {can_make, "way/state/runs/other/workspace/new", false},
    {can_write, "way/state/runs/mine/source.json", false},
    {can_make, "way/state/runs/mine/new", false},
    /* what is named */
    {can_write, "way/state/runs/mine/workspace/file", true},
    {can_make, "way/state/runs/mine/workspace/new", true},
    {can_link, "way/state/runs/mine/workspace/file", true},
    {can_remove, "way/state/runs/mine/workspace/file", true},
    {can_read, "way/state/cache/git/objects", true},
    {can_write, "way/state/cache/git/objects", false},
    {can_make, "way/state/cache/git/new", false},
};

static char *below(const char *directory, const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

/* With a trailing slash and through a link, as an operator may write it. */
static Confine open_confine(const char *directory, const char *state_name)
{
    _cleanup_free_ char *state = below(directory, state_name);
    _cleanup_free_ char *workspace = below(directory, "way/state/runs/mine/workspace");
    _cleanup_free_ char *mirrors = below(directory, "way/state/cache/git");
    _cleanup_free_ char *gone = below(directory, "way/state/gone");
    const char *const writable[] = {workspace, gone, NULL}, *const readable[] = {mirrors, NULL};
    _cleanup_error_ Error err = {0};
    Confine confine;

    if (confine_open(&(ConfineRequest){state, writable, readable}, &confine, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return confine;
}

static bool has_landlock(void)
{
    return landlock_version() >= 2;
}

/* Says the first row that is wrong by its number, from 1. */
static _noreturn_ void try_all(int fd, const Confine *confine)
{
    if (confine_enter(confine) < 0) {
        _exit(255);
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int r = rows[i].can(fd, rows[i].path);

        /* EXDEV: moving and linking away, as between file systems */
        if (rows[i].is_allowed ? r < 0 : r != -EACCES && r != -EXDEV) {
            _exit((int)i + 1);
        }
    }
    _exit(0);
}

static void expect_all(void **state, const char *state_name)
{
    Confine confine = open_confine(SCRATCH_PATH, state_name);
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        try_all(SCRATCH_FD, &confine);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 255) {
        fail_msg("it cannot be entered");
    }
    if (WEXITSTATUS(status) > 0) {
        fail_msg("row %d: '%s'", WEXITSTATUS(status), rows[WEXITSTATUS(status) - 1].path);
    }
    confine_done(&confine);
}

static void test_what_is_allowed(void **state)
{
    if (!has_landlock()) {
        skip();
    }
    lay_out(SCRATCH_FD);
    expect_all(state, "way/state");
}

static void test_another_name_for_it(void **state)
{
    if (!has_landlock()) {
        skip();
    }
    lay_out(SCRATCH_FD);
    assert_int_equal(symlinkat("way", SCRATCH_FD, "other-way"), 0);
    expect_all(state, "other-way/../other-way/state//");
}

static void expect_script(const Confine *confine, const char *script, int exit_code)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    _cleanup_buffer_ Buffer complaints = BUFFER_INIT(PROCESS_COMPLAINTS_MAX + 1);
    _cleanup_error_ Error err = {0};
    ProcessExit how;

    if (process_run(&(ProcessOptions){.argv = argv, .confine = confine, .complaints = &complaints},
                    &how, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    if (how.exit_code != exit_code) {
        fail_msg("%s: %d", script, how.exit_code);
    }
}

/* Programs work, and what they start is confined as they are. */
static void test_a_program(void **state)
{
    Confine confine;
    _cleanup_free_ char *script = NULL, *child = NULL;

    if (!has_landlock()) {
        skip();
    }
    lay_out(SCRATCH_FD);
    confine = open_confine(SCRATCH_PATH, "way/state");
    assert_true(asprintf(&script,
                         "ls / /proc/self >/dev/null && cat /etc/passwd >/dev/null && "
                         "cd %s && echo >beside/new && cd way/state/runs/mine/workspace && "
                         "echo >a && mv a b && cat b",
                         SCRATCH_PATH) > 0);
    expect_script(&confine, script, 0);
    assert_true(asprintf(&child, "(setsid sh -c '(cat %s/way/state/keys/agent.key) || exit 9')",
                         SCRATCH_PATH) > 0);
    expect_script(&confine, child, 9);
    expect_script(NULL, child, 0); /* only who was told to is confined */
    confine_done(&confine);
}

static void test_what_cannot_be_had(void **state)
{
    _cleanup_error_ Error err = {0};
    Confine confine = {.fd = STDIN_FILENO}; /* no ruleset */
    const char *const argv[] = {"true", NULL};
    ProcessExit how;

    assert_int_equal(confine_open(&(ConfineRequest){.state = "/nonexistent/state"}, &confine, &err),
                     -ENOENT);
    assert_non_null(strstr(error_text(&err), "/nonexistent/state"));
    error_done(&err);
    if (!has_landlock()) {
        skip();
    }
    assert_true(process_run(&(ProcessOptions){.argv = argv, .confine = &confine}, &how, &err) < 0);
    assert_non_null(strstr(error_text(&err), "cannot keep 'true' out of the agent's state"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_what_is_allowed),
        scratch_test(test_another_name_for_it),
        scratch_test(test_a_program),
        cmocka_unit_test(test_what_cannot_be_had),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
