/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/write-behind.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static int add(WriteBehind *w, int dir_fd, const char *name, const char *text, Error *err)
{
    return write_behind_add(w,
                            &(WriteBehindFile){
                                .path = name,
                                .dir_fd = dir_fd,
                                .name = name,
                                .mode = 0640,
                                .sets_mode = true,
                                .mtime = 1700000000,
                                .data = text,
                                .n = strlen(text),
                            },
                            err);
}

static void expect_file(int dir_fd, const char *name, const char *text)
{
    struct stat st;

    scratch_expect_text(dir_fd, name, text);
    assert_int_equal(fstatat(dir_fd, name, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(st.st_mtim.tv_sec, 1700000000);
}

/* Many more than the queue has room for; and a few, for which there is no thread. */
static void all_is_there_after_the_wait(void **state)
{
    for (size_t n = 3; n <= 3000; n += 2997) {
        _cleanup_(write_behind_freep) WriteBehind *w = NULL;
        char name[32];

        assert_int_equal(write_behind_new(&w), 0);
        for (size_t i = 0; i < n; i++) {
            (void)snprintf(name, sizeof(name), "%zu-%zu", n, i);
            assert_int_equal(add(w, SCRATCH_FD, name, name, NULL), 0);
        }
        assert_int_equal(write_behind_wait(w, NULL), 0);
        for (size_t i = 0; i < n; i++) {
            (void)snprintf(name, sizeof(name), "%zu-%zu", n, i);
            expect_file(SCRATCH_FD, name, name);
        }
        assert_int_equal(add(w, SCRATCH_FD, "later", "", NULL), 0); /* and again */
        assert_int_equal(write_behind_wait(w, NULL), 0);
        expect_file(SCRATCH_FD, "later", "");
        assert_int_equal(unlinkat(SCRATCH_FD, "later", 0), 0);
    }
}

/* The caller closes a directory, and the next one gets its number. */
static void each_file_goes_into_its_directory(void **state)
{
    _cleanup_(write_behind_freep) WriteBehind *w = NULL;
    char name[32];

    assert_int_equal(write_behind_new(&w), 0);
    for (size_t i = 0; i < 200; i++) {
        int fd;

        (void)snprintf(name, sizeof(name), "d%zu", i);
        assert_int_equal(mkdirat(SCRATCH_FD, name, 0755), 0);
        fd = openat(SCRATCH_FD, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(add(w, fd, "a", name, NULL), 0);
        assert_int_equal(add(w, fd, "b", name, NULL), 0);
        write_behind_leave(w);
        (void)fd_close(fd);
    }
    assert_int_equal(write_behind_wait(w, NULL), 0);
    for (size_t i = 0; i < 200; i++) {
        char path[40];

        (void)snprintf(name, sizeof(name), "d%zu", i);
        (void)snprintf(path, sizeof(path), "%s/b", name);
        expect_file(SCRATCH_FD, path, name);
    }
}

static void the_first_problem_is_told(void **state)
{
    _cleanup_(write_behind_freep) WriteBehind *few = NULL, *many = NULL;
    _cleanup_error_ Error err = {0}, early = {0};
    int r = 0;

    assert_int_equal(write_behind_new(&few), 0);
    assert_int_equal(add(few, SCRATCH_FD, "twice", "1", NULL), 0);
    assert_int_equal(add(few, SCRATCH_FD, "twice", "2", NULL), 0);
    assert_int_equal(write_behind_wait(few, &err), -EBADMSG);
    assert_string_equal(error_text(&err), "'twice': is there twice");
    scratch_expect_text(SCRATCH_FD, "twice", "1");

    /* Whoever goes on giving learns of it before the end. */
    assert_int_equal(write_behind_new(&many), 0);
    for (size_t i = 0; r == 0 && i < 100000; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), i < 10 ? "twice" : "n%zu", i);
        r = add(many, SCRATCH_FD, name, "", &early);
    }
    assert_int_equal(r, -EBADMSG);
    assert_string_equal(error_text(&early), "'twice': is there twice");
}

static void what_waits_can_be_given_up(void **state)
{
    WriteBehind *w = NULL;
    char name[32];

    assert_int_equal(write_behind_new(&w), 0);
    for (size_t i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "%zu", i);
        assert_int_equal(add(w, SCRATCH_FD, name, "", NULL), 0);
    }
    assert_null(write_behind_free(w));
    assert_null(write_behind_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(all_is_there_after_the_wait),
        scratch_test(each_file_goes_into_its_directory),
        scratch_test(the_first_problem_is_told),
        scratch_test(what_waits_can_be_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
