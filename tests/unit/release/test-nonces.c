/* SPDX-License-Identifier: MIT */
#include "agent/release/nonces.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define A "00112233445566778899aabbccddeeff"
#define B "ffeeddccbbaa99887766554433221100"

static char directory[] = "/tmp/slipway-test-nonces-XXXXXX";
static int dir_fd = -1;

static int set_up(void **state)
{
    assert_non_null(mkdtemp(directory));
    dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0;
}

static int tear_down(void **state)
{
    (void)fd_close(dir_fd);
    return file_remove_tree(AT_FDCWD, directory, NULL);
}

static int forget(void **state)
{
    (void)unlinkat(dir_fd, NONCES_FILE, 0);
    return 0;
}

static void test_each_is_taken_once(void **state)
{
    assert_int_equal(nonces_take(dir_fd, A, NULL), 0);
    assert_int_equal(nonces_take(dir_fd, B, NULL), 0);
    assert_int_equal(nonces_take(dir_fd, A, NULL), NONCES_SEEN);
    assert_int_equal(nonces_take(dir_fd, B, NULL), NONCES_SEEN);
}

static void test_part_of_one_is_not_one(void **state)
{
    assert_int_equal(nonces_take(dir_fd, A, NULL), 0);
    assert_int_equal(nonces_take(dir_fd, "00112233", NULL), 0);
    assert_int_equal(nonces_take(dir_fd, "ccddeeff", NULL), 0);
}

/* The power went while it was written: what it would have allowed was not begun. */
static void test_a_torn_one_was_not_taken(void **state)
{
    assert_int_equal(file_replace(dir_fd, NONCES_FILE, B "\n" A, 33 + 32, 0600, NULL), 0);
    assert_int_equal(nonces_take(dir_fd, A, NULL), 0);
    assert_int_equal(nonces_take(dir_fd, A, NULL), NONCES_SEEN);
    assert_int_equal(nonces_take(dir_fd, B, NULL), NONCES_SEEN);
}

static void test_where_nothing_can_be_written_nothing_is_taken(void **state)
{
    _cleanup_error_ Error err = {0};

    assert_int_equal(mkdirat(dir_fd, NONCES_FILE, 0700), 0);
    assert_true(nonces_take(dir_fd, A, &err) < 0);
    assert_non_null(err.text);
    assert_int_equal(unlinkat(dir_fd, NONCES_FILE, AT_REMOVEDIR), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_is_taken_once, forget),
        cmocka_unit_test_setup(test_part_of_one_is_not_one, forget),
        cmocka_unit_test_setup(test_a_torn_one_was_not_taken, forget),
        cmocka_unit_test_setup(test_where_nothing_can_be_written_nothing_is_taken, forget),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
