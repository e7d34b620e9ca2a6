/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/inputs.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int put(int fd, const char *name, int64_t offset, const char *text, const char *digest,
               int64_t *size)
{
    _cleanup_error_ Error err = {0};
    int r = inputs_write(fd, name, offset, text, strlen(text), digest != NULL, digest, size, &err);

    assert_true((r == 0) == (err.text == NULL));
    return r;
}

static void takes_pieces_in_order(void **state)
{
    int64_t size = -1;

    assert_int_equal(put(SCRATCH_FD, "a", 0, "hello ", NULL, &size), 0);
    assert_int_equal(size, 6);
    assert_true(file_exists(SCRATCH_FD, "a.part"));
    assert_false(file_exists(SCRATCH_FD, "a"));
    assert_int_equal(put(SCRATCH_FD, "a", 6, "world", DIGEST, &size), 0);
    assert_int_equal(size, 11);
    scratch_expect_text(SCRATCH_FD, "a", "hello world");
    scratch_expect_text(SCRATCH_FD, "a.sha256", DIGEST);
    assert_false(file_exists(SCRATCH_FD, "a.part"));
}

static void takes_a_repetition_without_effect(void **state)
{
    int64_t size = -1;

    assert_int_equal(put(SCRATCH_FD, "a", 0, "hello ", NULL, &size), 0);
    assert_int_equal(put(SCRATCH_FD, "a", 0, "hello ", NULL, &size), 0);
    assert_int_equal(size, 6);
    assert_int_equal(put(SCRATCH_FD, "a", 3, "lo world", NULL, &size), 0); /* half of it is new */
    assert_int_equal(size, 11);
    assert_int_equal(put(SCRATCH_FD, "a", 6, "world", DIGEST, &size), 0);
    assert_int_equal(put(SCRATCH_FD, "a", 6, "world", DIGEST, &size), 0); /* the answer was lost */
    assert_int_equal(size, 11);
    assert_int_equal(put(SCRATCH_FD, "a", 0, "hello ", NULL, &size), 0);
    assert_int_equal(size, 11);
    scratch_expect_text(SCRATCH_FD, "a", "hello world");
}

static void refuses_what_does_not_fit(void **state)
{
    int64_t size = -1;

    assert_int_equal(put(SCRATCH_FD, "a", 1, "x", NULL, &size), -EILSEQ);
    assert_int_equal(put(SCRATCH_FD, "a", -1, "x", NULL, &size), -EILSEQ);
    assert_int_equal(put(SCRATCH_FD, "a", 0, "hello", NULL, &size), 0);
    assert_int_equal(put(SCRATCH_FD, "a", 6, "x", NULL, &size), -EILSEQ);
    assert_int_equal(put(SCRATCH_FD, "a", 0, "hell", DIGEST, &size), -EILSEQ);
    assert_int_equal(put(SCRATCH_FD, "a", 5, "", DIGEST, &size), 0);
    assert_int_equal(put(SCRATCH_FD, "a", 5, "x", NULL, &size), -EILSEQ);
    assert_int_equal(put(SCRATCH_FD, "a", 5, "", OTHER, &size), -EILSEQ);
    assert_int_equal(size, 5);
}

static void refuses_names_and_digests(void **state)
{
    static const char *const names[] = {"", ".a", "-a", "a/b", "..", "a.part", "a.sha256", "a b"};
    static const char *const digests[] = {
        "", "0123", DIGEST "0", "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"};
    int64_t size = -1;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(put(SCRATCH_FD, names[i], 0, "x", NULL, &size), -EINVAL);
    }
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
        assert_int_equal(put(SCRATCH_FD, "a", 0, "x", digests[i], &size), -EINVAL);
    }
    assert_int_equal(inputs_write(SCRATCH_FD, "a", 0, "x", 1, true, NULL, &size, NULL), -EINVAL);
    assert_int_equal(size, -1);
    assert_int_equal(scratch_count(SCRATCH_FD, "."), 0);
}

static void refuses_too_much(void **state)
{
    int64_t size = -1;

    assert_int_equal(put(SCRATCH_FD, "a", INPUTS_SIZE_MAX, "x", NULL, &size), -EFBIG);
    assert_int_equal(put(SCRATCH_FD, "a", INPUTS_SIZE_MAX - 1, "x", NULL, &size), -EILSEQ);
    assert_int_equal(put(SCRATCH_FD, "a", INT64_MAX, "x", NULL, &size), -EFBIG);
}

static bool is_used(const char *name, void *userdata)
{
    return strcmp(name, userdata) == 0;
}

static void set_time(int fd, const char *name, time_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

    assert_int_equal(utimensat(fd, name, times, 0), 0);
}

static void removes_old_ones(void **state)
{
    char used[] = "used";
    int64_t size;

    assert_int_equal(put(SCRATCH_FD, "old", 0, "x", DIGEST, &size), 0);
    assert_int_equal(put(SCRATCH_FD, "used", 0, "x", DIGEST, &size), 0);
    assert_int_equal(put(SCRATCH_FD, "young", 0, "x", DIGEST, &size), 0);
    assert_int_equal(put(SCRATCH_FD, "cut", 0, "x", NULL, &size), 0);
    set_time(SCRATCH_FD, "old", 1000);
    set_time(SCRATCH_FD, "used", 1000);
    set_time(SCRATCH_FD, "young", 2000);
    set_time(SCRATCH_FD, "cut.part", 1000);
    assert_int_equal(inputs_remove_old(SCRATCH_FD, 2000 * 1000000LL, is_used, used), 2);
    assert_false(file_exists(SCRATCH_FD, "old"));
    assert_false(file_exists(SCRATCH_FD, "old.sha256"));
    assert_false(file_exists(SCRATCH_FD, "cut.part"));
    assert_true(file_exists(SCRATCH_FD, "used"));
    assert_true(file_exists(SCRATCH_FD, "used.sha256"));
    assert_true(file_exists(SCRATCH_FD, "young"));
    assert_true(file_exists(SCRATCH_FD, "young.sha256"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(takes_pieces_in_order),     scratch_test(takes_a_repetition_without_effect),
        scratch_test(refuses_what_does_not_fit), scratch_test(refuses_names_and_digests),
        scratch_test(refuses_too_much),          scratch_test(removes_old_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
