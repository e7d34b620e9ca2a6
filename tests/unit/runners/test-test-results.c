/* SPDX-License-Identifier: MIT */
#include "agent/runners/test-results.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define GOOD "<testsuite><testcase/></testsuite>"
#define BAD "<testsuite><testcase><failure/></testcase></testsuite>"

static const char *patterns[] = {"out/*.xml", "**/TEST-*.xml"};

static const RecipeStep declared = {
    .title = "./test.sh", .junit = patterns, .n_junit = 2, .is_junit_declared = true};
static const RecipeStep found = {.title = "./test.sh", .junit = patterns, .n_junit = 2};

static void test_new_files_only(void **state)
{
    _cleanup_test_files_ TestFiles before = {0};
    _cleanup_test_sums_ TestSums sums = {0};
    _cleanup_test_files_ TestFiles files = {0};

    scratch_write_text(SCRATCH_FD, "out/old.xml", BAD);
    scratch_write_text(SCRATCH_FD, "a/TEST-again.xml", BAD);
    assert_int_equal(test_files_find(SCRATCH_FD, &declared, &before, NULL), 0);
    assert_int_equal(before.count, 2);
    scratch_write_text(SCRATCH_FD, "a/TEST-again.xml", GOOD);
    scratch_write_text(SCRATCH_FD, "out/new.xml", GOOD);
    scratch_write_text(SCRATCH_FD, "out/new.txt", BAD);
    assert_int_equal(test_results_collect(SCRATCH_FD, &declared, &before, &sums, &files, NULL), 0);
    assert_int_equal(files.count, 2);
    assert_string_equal(files.files[0].name, "a/TEST-again.xml");
    assert_string_equal(files.files[1].name, "out/new.xml");
    assert_int_equal(sums.total, 2);
    assert_int_equal(sums.failed, 0);
}

/* Same size, time set back, as an unpacker might: the change of the inode tells. */
static void test_rewritten_with_its_old_time(void **state)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    _cleanup_test_files_ TestFiles before = {0};
    _cleanup_test_sums_ TestSums sums = {0};
    _cleanup_test_files_ TestFiles files = {0};

    scratch_write_text(SCRATCH_FD, "out/a.xml", GOOD);
    assert_int_equal(utimensat(SCRATCH_FD, "out/a.xml", times, 0), 0);
    assert_int_equal(test_files_find(SCRATCH_FD, &declared, &before, NULL), 0);
    assert_int_equal(unlinkat(SCRATCH_FD, "out/a.xml", 0), 0);
    scratch_write_text(SCRATCH_FD, "other", "x"); /* takes the inode */
    scratch_write_text(SCRATCH_FD, "out/a.xml", GOOD);
    assert_int_equal(utimensat(SCRATCH_FD, "out/a.xml", times, 0), 0);
    assert_int_equal(test_results_collect(SCRATCH_FD, &declared, &before, &sums, &files, NULL), 0);
    assert_int_equal(files.count, 1);
}

static void test_nothing_new(void **state)
{
    _cleanup_test_files_ TestFiles before = {0};
    _cleanup_test_sums_ TestSums sums = {0};
    _cleanup_error_ Error err = {0};
    _cleanup_test_files_ TestFiles files = {0}, then = {0};

    scratch_write_text(SCRATCH_FD, "out/a.xml", GOOD);
    assert_int_equal(test_files_find(SCRATCH_FD, &declared, &before, NULL), 0);
    assert_int_equal(test_results_collect(SCRATCH_FD, &declared, &before, &sums, &files, &err),
                     -ENOENT);
    assert_string_equal(err.text, "'./test.sh' wrote no JUnit file that matches 'out/*.xml' or the "
                                  "others, so nobody knows what was tested");
    assert_int_equal(test_results_collect(SCRATCH_FD, &found, &before, &sums, &then, NULL), 0);
    assert_int_equal(then.count, 0);
    assert_int_equal(sums.total, 0);
}

static void test_unreadable(void **state)
{
    _cleanup_test_files_ TestFiles before = {0};
    _cleanup_test_sums_ TestSums first = {0}, second = {0};
    _cleanup_error_ Error err = {0};
    _cleanup_test_files_ TestFiles files = {0}, then = {0};

    scratch_write_text(SCRATCH_FD, "out/a.xml", "<testsuite><testcase/>");
    scratch_write_text(SCRATCH_FD, "out/b.xml", GOOD);
    assert_int_equal(test_results_collect(SCRATCH_FD, &declared, &before, &first, &files, &err),
                     -EINVAL);
    assert_non_null(strstr(error_text(&err), "'out/a.xml'"));
    assert_int_equal(first.total, 1); /* what was read before counts */
    assert_int_equal(test_results_collect(SCRATCH_FD, &found, &before, &second, &then, NULL), 0);
    assert_int_equal(then.count, 1);
}

/* git's directory is not searched; a link is not followed; a step without JUnit costs nothing. */
static void test_not_looked_at(void **state)
{
    _cleanup_test_files_ TestFiles files = {0}, none = {0};
    const RecipeStep without = {.title = "x"};

    scratch_write_text(SCRATCH_FD, ".git/TEST-a.xml", GOOD);
    scratch_write_text(SCRATCH_FD, "elsewhere", GOOD);
    assert_int_equal(symlinkat("elsewhere", SCRATCH_FD, "TEST-link.xml"), 0);
    assert_int_equal(test_files_find(SCRATCH_FD, &declared, &files, NULL), 0);
    assert_int_equal(files.count, 0);
    assert_int_equal(test_files_find(-1, &without, &none, NULL), 0);
    assert_int_equal(none.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_new_files_only), scratch_test(test_rewritten_with_its_old_time),
        scratch_test(test_nothing_new),    scratch_test(test_unreadable),
        scratch_test(test_not_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
