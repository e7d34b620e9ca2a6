/* SPDX-License-Identifier: MIT */
#include "agent/package/layer/file-digests.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define NAME "digests"

/* Long ago, by the file system's clock: what is older than a tick is settled. */
static void age(int root_fd, const char *name)
{
    const struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

    assert_int_equal(utimensat(root_fd, name, past, 0), 0);
}

/* Until the file system's clock has gone on, so that ctime, which nobody can set, is in the past.
 */
static void wait_a_tick(int root_fd)
{
    struct stat first, now;

    scratch_write_text(root_fd, "clock", "x");
    assert_int_equal(fstatat(root_fd, "clock", &first, 0), 0);
    do {
        assert_int_equal(unlinkat(root_fd, "clock", 0), 0);
        scratch_write_text(root_fd, "clock", "x");
        assert_int_equal(fstatat(root_fd, "clock", &now, 0), 0);
    } while (now.st_ctim.tv_sec == first.st_ctim.tv_sec &&
             now.st_ctim.tv_nsec == first.st_ctim.tv_nsec);
}

static int ask(int root_fd, FileDigests *digests, const char *path, char *ret_hex, Error *err)
{
    struct stat st;

    assert_int_equal(fstatat(root_fd, path, &st, 0), 0);
    return file_digests_get(digests, root_fd, path, &st, ret_hex, err);
}

/* Opens, asks, saves. */
static void ask_once(int root_fd, const char *path, char *ret_hex)
{
    _cleanup_(file_digests_freep) FileDigests *digests = NULL;

    assert_int_equal(file_digests_open(root_fd, NAME, &digests, NULL), 0);
    assert_int_equal(ask(root_fd, digests, path, ret_hex, NULL), 0);
    assert_int_equal(file_digests_save(digests, NULL), 0);
}

static void expect_digest(int root_fd, const char *path, const char *hex)
{
    _cleanup_free_ char *data = NULL;
    char wanted[DIGEST_HEX_SIZE];
    size_t n;

    data = scratch_read(root_fd, path, &n);
    assert_int_equal(digest_bytes(data, n, wanted), 0);
    assert_string_equal(hex, wanted);
}

/* Whether what is remembered is believed: the file says another digest than the content has. */
static bool is_believed(int root_fd, const char *path)
{
    static const char lie[] = "0000000000000000000000000000000000000000000000000000000000000000";
    char hex[DIGEST_HEX_SIZE];
    _cleanup_free_ char *text = NULL;
    size_t n;
    char *record;

    text = scratch_read(root_fd, NAME, &n);
    record = memchr(text, '\n', n);
    if (!record || record + 1 == text + n) {
        return false; /* nothing is remembered */
    }
    memcpy(record + 1, lie, strlen(lie));
    scratch_write(root_fd, NAME, text, n, 0600);
    ask_once(root_fd, path, hex);
    return strcmp(hex, lie) == 0;
}

static void test_remembers(void **state)
{
    char hex[DIGEST_HEX_SIZE];

    scratch_write_text(SCRATCH_FD, " a b\n", "one"); /* a name like any other */
    age(SCRATCH_FD, " a b\n");
    wait_a_tick(SCRATCH_FD);
    ask_once(SCRATCH_FD, " a b\n", hex);
    expect_digest(SCRATCH_FD, " a b\n", hex);
    assert_true(is_believed(SCRATCH_FD, " a b\n"));
}

/* The same size, even the same times, as `touch -r` would make them: ctime tells. */
static void test_sees_changes(void **state)
{
    char hex[DIGEST_HEX_SIZE];

    scratch_write_text(SCRATCH_FD, "a", "one");
    age(SCRATCH_FD, "a");
    wait_a_tick(SCRATCH_FD);
    ask_once(SCRATCH_FD, "a", hex);
    scratch_write_text(SCRATCH_FD, "a", "two");
    age(SCRATCH_FD, "a");
    ask_once(SCRATCH_FD, "a", hex);
    expect_digest(SCRATCH_FD, "a", hex);
}

/* git's rule: what changed in the tick in which it was read may change again and look the same. */
static void test_racy_is_not_remembered(void **state)
{
    _cleanup_(file_digests_freep) FileDigests *digests = NULL;
    char hex[DIGEST_HEX_SIZE];

    assert_int_equal(file_digests_open(SCRATCH_FD, NAME, &digests, NULL), 0);
    scratch_write_text(SCRATCH_FD, "a", "one"); /* after it began */
    assert_int_equal(ask(SCRATCH_FD, digests, "a", hex, NULL), 0);
    assert_int_equal(file_digests_save(digests, NULL), 0);
    assert_false(is_believed(SCRATCH_FD, "a"));
}

static void test_changed_meanwhile(void **state)
{
    _cleanup_(file_digests_freep) FileDigests *digests = NULL;
    _cleanup_error_ Error err = {0};
    char hex[DIGEST_HEX_SIZE];
    struct stat st;

    scratch_write_text(SCRATCH_FD, "a", "one");
    assert_int_equal(fstatat(SCRATCH_FD, "a", &st, 0), 0);
    scratch_write_text(SCRATCH_FD, "a", "longer");
    assert_int_equal(file_digests_open(SCRATCH_FD, NAME, &digests, NULL), 0);
    assert_int_equal(file_digests_get(digests, SCRATCH_FD, "a", &st, hex, &err), -EAGAIN);
    assert_string_equal(error_text(&err), "'a': changed while it was packed");
    assert_int_equal(unlinkat(SCRATCH_FD, "a", 0), 0);
    assert_int_equal(file_digests_get(digests, SCRATCH_FD, "a", &st, hex, &err), -ENOENT);
}

/* Cut or changed anywhere, it is as none: never an error, never a wrong answer. */
static void test_damage(void **state)
{
    _cleanup_free_ char *text = NULL;
    char hex[DIGEST_HEX_SIZE];
    size_t n;

    scratch_write_text(SCRATCH_FD, "a", "one");
    age(SCRATCH_FD, "a");
    wait_a_tick(SCRATCH_FD);
    ask_once(SCRATCH_FD, "a", hex);
    text = scratch_read(SCRATCH_FD, NAME, &n);
    for (size_t cut = 0; cut < n; cut++) {
        scratch_write(SCRATCH_FD, NAME, text, cut, 0600);
        ask_once(SCRATCH_FD, "a", hex);
        expect_digest(SCRATCH_FD, "a", hex);
    }
    for (size_t at = 0; at < n; at++) {
        char was = text[at];

        text[at] = was == '/' ? '#' : '/';
        scratch_write(SCRATCH_FD, NAME, text, n, 0600);
        ask_once(SCRATCH_FD, "a", hex);
        expect_digest(SCRATCH_FD, "a", hex);
        text[at] = was;
    }
}

/* Nothing is left aside, saved or not. */
static void test_leaves_nothing(void **state)
{
    FileDigests *digests = NULL;

    assert_int_equal(file_digests_open(SCRATCH_FD, NAME, &digests, NULL), 0);
    assert_null(file_digests_free(digests));
    assert_int_equal(scratch_count(SCRATCH_FD, "."), 0);
    assert_null(file_digests_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_remembers),
        scratch_test(test_sees_changes),
        scratch_test(test_racy_is_not_remembered),
        scratch_test(test_changed_meanwhile),
        scratch_test(test_damage),
        scratch_test(test_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
