/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/read-ahead.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static char *content_of(const ReadAheadFile *file)
{
    return strndup(file->data, file->n);
}

/* More than a ring of them, in their order, each with its own content. */
static void reads_files_in_their_order(void **state)
{
    enum { COUNT = 500 };
    char names[COUNT][16], *list[COUNT];
    ReadAhead *a = NULL;

    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "file-%zu", i);
        list[i] = names[i];
        scratch_write_text(SCRATCH_FD, names[i], names[i]);
    }
    assert_int_equal(read_ahead_new(SCRATCH_FD, list, COUNT, &a), 0);
    for (size_t i = 0; i < COUNT; i++) {
        _cleanup_free_ char *content = NULL;
        ReadAheadFile file;

        read_ahead_next(a, &file);
        assert_true(file.is_read && file.fd == -1 && file.read_problem == 0);
        content = content_of(&file);
        assert_string_equal(content, names[i]);
    }
    assert_null(read_ahead_free(a));
    assert_null(read_ahead_free(NULL));
}

static size_t count_open(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");

    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    (void)closedir(dir);
    return n;
}

/* Whoever stops in the middle leaves nothing open: neither what was taken nor what was read. */
static void what_is_not_taken_is_closed(void **state)
{
    _cleanup_free_ char *large = calloc(1, READ_AHEAD_FILE_MAX + 1);
    char *list[100];
    size_t before;

    scratch_write(SCRATCH_FD, "large", large, READ_AHEAD_FILE_MAX + 1, 0644);
    for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
        list[i] = (char *)"large";
    }
    before = count_open();
    for (size_t taken = 0; taken <= 40; taken += 20) {
        ReadAhead *a = NULL;

        assert_int_equal(read_ahead_new(SCRATCH_FD, list, ARRAY_SIZE(list), &a), 0);
        for (size_t i = 0; i < taken; i++) {
            ReadAheadFile file;

            read_ahead_next(a, &file);
            assert_true(!file.is_read && file.fd >= 0);
            assert_int_equal(file.st.st_size, READ_AHEAD_FILE_MAX + 1);
            (void)fd_close(file.fd);
        }
        (void)read_ahead_free(a);
        assert_int_equal(count_open(), before);
    }
}

static void says_what_is_no_file(void **state)
{
    char buffer[READ_AHEAD_FILE_MAX + 1];
    ReadAheadFile file;

    assert_int_equal(symlinkat("nowhere", SCRATCH_FD, "link"), 0);
    assert_int_equal(mkdirat(SCRATCH_FD, "directory", 0755), 0);
    assert_int_equal(mkfifoat(SCRATCH_FD, "fifo", 0644), 0);
    read_ahead_open(SCRATCH_FD, "link", buffer, &file);
    assert_true(file.fd == -1 && file.open_problem == -ELOOP && S_ISLNK(file.st.st_mode));
    read_ahead_open(SCRATCH_FD, "directory", buffer, &file);
    assert_true(file.fd >= 0 && !file.is_read && S_ISDIR(file.st.st_mode));
    (void)fd_close(file.fd);
    read_ahead_open(SCRATCH_FD, "fifo", buffer, &file); /* nobody writes to it, and nobody waits */
    assert_true(!file.is_read && S_ISFIFO(file.st.st_mode));
    (void)fd_close(file.fd);
    read_ahead_open(SCRATCH_FD, "nothing", buffer, &file);
    assert_true(file.fd == -1 && file.stat_problem == -ENOENT);
}

/* A file of /proc says that it is empty: more comes than its size says, which its packer sees. */
static void a_file_that_is_more_than_its_size(void **state)
{
    char buffer[READ_AHEAD_FILE_MAX + 1];
    ReadAheadFile file;

    read_ahead_open(AT_FDCWD, "/proc/self/status", buffer, &file);
    assert_true(file.is_read);
    assert_true((off_t)file.n > file.st.st_size);
    scratch_write_text(SCRATCH_FD, "empty", "");
    read_ahead_open(SCRATCH_FD, "empty", buffer, &file);
    assert_true(file.is_read && file.n == 0 && file.read_problem == 0);
    read_ahead_open(SCRATCH_FD, "empty", NULL, &file); /* without a buffer nothing is read */
    assert_true(!file.is_read && file.fd >= 0);
    (void)fd_close(file.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(reads_files_in_their_order),
        scratch_test(what_is_not_taken_is_closed),
        scratch_test(says_what_is_no_file),
        scratch_test(a_file_that_is_more_than_its_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
