/* SPDX-License-Identifier: MIT */
#include "agent/source/built.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define COMMIT "0123456789012345678901234567890123456789"
#define OTHER "abcdefabcdefabcdefabcdefabcdefabcdefabcd"

static void knows_of_which_commit_the_last_build_was(void **state)
{
    _cleanup_error_ Error other = {0}, failed = {0};
    char path[100];

    (void)snprintf(path, sizeof(path), "%s/workspace", SCRATCH_PATH);
    assert_int_equal(mkdirat(SCRATCH_FD, "workspace", 0755), 0);
    assert_int_equal(built_check(path, COMMIT, NULL), 0); /* nothing was built, nothing is stale */
    assert_int_equal(built_begin(path, NULL), 0);
    assert_int_equal(built_check(path, COMMIT, &failed), -ESTALE);
    assert_non_null(strstr(error_text(&failed), "did not succeed"));
    assert_int_equal(built_finish(path, COMMIT, NULL), 0);
    assert_int_equal(built_check(path, COMMIT, NULL), 0);
    assert_int_equal(built_check(path, NULL, NULL), 0);
    assert_int_equal(built_check(path, OTHER, &other), -ESTALE);
    assert_non_null(
        strstr(error_text(&other), "commit 012345678901, and the source is abcdefabcdef"));
    assert_int_equal(built_finish(path, NULL, NULL), 0); /* an input has taken its place */
    assert_int_equal(built_finish(path, NULL, NULL), 0);
    assert_int_equal(built_check(path, OTHER, NULL), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "workspace"), 0); /* beside it, never in it */
}

static void needs_the_workspace(void **state)
{
    assert_int_equal(built_begin("/nonexistent/workspace", NULL), -ENOENT);
    assert_int_equal(built_finish("/nonexistent/workspace", NULL, NULL), -ENOENT);
    assert_int_equal(built_check("/nonexistent/workspace", COMMIT, NULL), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(knows_of_which_commit_the_last_build_was),
        cmocka_unit_test(needs_the_workspace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
