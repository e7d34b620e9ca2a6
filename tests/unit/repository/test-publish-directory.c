/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/publish-target.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/wait.h>

static PublishTarget *open_target(void **state)
{
    _cleanup_error_ Error err = {0};
    PublishTarget *target = NULL;
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/deep/apt", SCRATCH_PATH);
    if (publish_target_open(path, NULL, &target, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_string_equal(publish_target_address(target), path);
    return target;
}

static void test_files(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(state);
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0), small = BUFFER_INIT(2);
    _cleanup_error_ Error err = {0};
    int fd;

    assert_int_equal(publish_target_read(target, "a/b/c", &text, NULL), 0);
    assert_int_equal(publish_target_put(target, "a/b/c", "one", 3, NULL), 0);
    assert_int_equal(publish_target_put(target, "a/b/c", "two!", 4, NULL), 0);
    assert_int_equal(publish_target_read(target, "a/b/c", &text, NULL), 1);
    assert_string_equal(buffer_text(&text), "two!");
    assert_int_equal(publish_target_read(target, "a/b/c", &small, &err), -ENOBUFS);
    assert_int_equal(small.len, 0);

    scratch_write_text(SCRATCH_FD, "source", "content");
    fd = openat(SCRATCH_FD, "source", O_RDONLY | O_CLOEXEC);
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3); /* from the beginning all the same */
    assert_int_equal(publish_target_put_file(target, "pool/x.deb", fd, 7, NULL), 0);
    scratch_expect_text(SCRATCH_FD, "deep/apt/pool/x.deb", "content");
    /* Shorter than it was said to be: nothing of it is seen. */
    assert_int_equal(publish_target_put_file(target, "pool/y.deb", fd, 8, NULL), -EIO);
    assert_int_equal(scratch_count(SCRATCH_FD, "deep/apt/pool"), 1);
    (void)fd_close(fd);

    assert_int_equal(publish_target_remove(target, "pool/x.deb", NULL), 0);
    assert_int_equal(publish_target_remove(target, "pool/x.deb", NULL), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "deep/apt/pool"), 0);
}

static void test_lock(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *first = open_target(state);
    _cleanup_(publish_target_closep) PublishTarget *second = open_target(state);
    _cleanup_error_ Error err = {0};

    assert_int_equal(publish_target_lock(first, "call c1 (process 7 on h)\nx", 0, NULL), 0);
    assert_int_equal(publish_target_keep_lock(first, NULL), 0);
    assert_int_equal(publish_target_lock(second, "call c2", 0, &err), -EBUSY);
    assert_non_null(strstr(error_text(&err), "call c1 (process 7 on h) has been publishing to '"));
    assert_non_null(strstr(error_text(&err), "/deep/apt' since 2"));
    first = publish_target_close(first);
    assert_int_equal(publish_target_lock(second, "call c2", 0, NULL), 0);
}

/* Whoever dies with it leaves it free. */
static void test_lock_of_the_dead(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(state);
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        _exit(publish_target_lock(target, "child", 0, NULL) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(publish_target_lock(target, "call c2", 0, NULL), 0);
}

static void test_no_directory(void **state)
{
    _cleanup_error_ Error err = {0};
    PublishTarget *target = NULL;
    char path[128];

    scratch_write_text(SCRATCH_FD, "file", "");
    (void)snprintf(path, sizeof(path), "%s/file", SCRATCH_PATH);
    assert_true(publish_target_open(path, NULL, &target, &err) < 0);
    assert_null(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_files),
        scratch_test(test_lock),
        scratch_test(test_lock_of_the_dead),
        scratch_test(test_no_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
