/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/index.h"

#include "protocol/base/text.h"
#include "tests/unit/scratch.h"

#include <errno.h>

static Index open_index(int fd)
{
    Index index;

    assert_int_equal(mkdirat(fd, "keys", 0700), 0);
    assert_int_equal(mkdirat(fd, "runs", 0700), 0);
    index.keys_fd = openat(fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    index.runs_fd = openat(fd, "runs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return index;
}

static void close_index(Index *index)
{
    (void)fd_close(index->keys_fd);
    (void)fd_close(index->runs_fd);
}

static void finds_by_key(void **state)
{
    _cleanup_(close_index) Index index = open_index(SCRATCH_FD);
    char id[TEXT_IDENTIFIER_MAX + 1] = "untouched";

    assert_int_equal(index_find(&index, "k", id, sizeof(id)), 0);
    assert_string_equal(id, "untouched");
    assert_int_equal(index_add(&index, "c1", "k", "r"), 0);
    assert_int_equal(index_add(&index, "c1", "k", "r"), 0); /* again after a restart */
    assert_int_equal(index_find(&index, "k", id, sizeof(id)), 1);
    assert_string_equal(id, "c1");
}

static void lists_a_run_in_order(void **state)
{
    _cleanup_(close_index) Index index = open_index(SCRATCH_FD);
    char **ids;
    size_t n;

    assert_int_equal(index_list_run(&index, "r", &ids, &n), 0);
    assert_int_equal(n, 0);
    free(ids);
    assert_int_equal(index_add(&index, "c2", "k2", "r"), 0);
    assert_int_equal(index_add(&index, "c1", "k1", "r"), 0);
    assert_int_equal(index_add(&index, "c3", "k3", "other"), 0);
    assert_int_equal(index_add(&index, "c4", "k4", NULL), 0);
    assert_int_equal(index_list_run(&index, "r", &ids, &n), 0);
    assert_int_equal(n, 2);
    assert_string_equal(ids[0], "c1");
    assert_string_equal(ids[1], "c2");
    free(ids[0]);
    free(ids[1]);
    free(ids);
    assert_true(file_exists(SCRATCH_FD, "runs/c4/calls/c4"));
}

static void tells_the_last_call_of_a_run(void **state)
{
    _cleanup_(close_index) Index index = open_index(SCRATCH_FD);

    assert_int_equal(index_add(&index, "c1", "k1", "r"), 0);
    assert_int_equal(index_add(&index, "c2", "k2", "r"), 0);
    assert_int_equal(mkdirat(SCRATCH_FD, "runs/r/workspace", 0700), 0);
    assert_int_equal(index_remove(&index, "c1", "k1", "r"), 0);
    assert_int_equal(index_remove(&index, "c2", "k2", "r"), 1);
    assert_true(file_exists(SCRATCH_FD, "runs/r/workspace")); /* that is the caller's to move */
    assert_int_equal(scratch_count(SCRATCH_FD, "keys"), 0);

    assert_int_equal(index_add(&index, "c3", "k3", NULL), 0);
    assert_int_equal(index_remove(&index, "c3", "k3", NULL), 1);
    assert_false(file_exists(SCRATCH_FD, "runs/c3"));
}

static void leaves_the_key_of_another(void **state)
{
    _cleanup_(close_index) Index index = open_index(SCRATCH_FD);
    char id[TEXT_IDENTIFIER_MAX + 1];

    assert_int_equal(index_add(&index, "c1", "k", NULL), 0);
    assert_int_equal(index_remove(&index, "c2", "k", NULL), 0);
    assert_int_equal(index_find(&index, "k", id, sizeof(id)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(finds_by_key),
        scratch_test(lists_a_run_in_order),
        scratch_test(tells_the_last_call_of_a_run),
        scratch_test(leaves_the_key_of_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
