/* SPDX-License-Identifier: MIT */
/* Which JUnit files a step has written. What was there before it and has not changed since is of an
 * earlier run, or of the repository, and does not count: otherwise a test run that breaks off
 * before its first test would show the results of the last one. */
#pragma once

#include "agent/junit/junit.h"
#include "agent/source/recipe.h"

typedef struct TestFile {
    char *name;
    uint64_t device, inode;
    int64_t size;
    int64_t changed_ns; /* ctime: cannot be set back */
} TestFile;

typedef struct TestFiles {
    TestFile *files; /* sorted by name */
    size_t count;
} TestFiles;

void test_files_done(TestFiles *files);
#define _cleanup_test_files_ _cleanup_(test_files_done)

/* Before the step. */
int test_files_find(int workspace_fd, const RecipeStep *step, TestFiles *ret,
                    Error *err) _must_check_;

/* After it: the sums of all files that are new since `before`; *ret_files has those that count.
 * -ENOENT: the step declares where its files are, and there is none. -EINVAL: one cannot be read as
 * JUnit XML; where none was declared that is only logged, for the file may be anything. */
int test_results_collect(int workspace_fd, const RecipeStep *step, const TestFiles *before,
                         TestSums *ret, TestFiles *ret_files, Error *err) _must_check_;
