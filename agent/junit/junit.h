/* SPDX-License-Identifier: MIT */
/* JUnit XML, the format in which test programs of every language tell how their tests ended; by
 * expat, of which junit.c is the only user. There is no standard, so this takes what the common
 * writers make: sums are of the test cases themselves, not of anybody's attributes. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>
#include <stdint.h>

/* Beyond these a file is refused. */
#define JUNIT_FILE_MAX ((int64_t)256 << 20)
#define JUNIT_DEPTH_MAX 64
#define JUNIT_TOKEN_MAX ((size_t)4 << 20) /* one tag with its attributes, one comment */

/* Beyond these there is less to read, but nothing is refused. */
#define JUNIT_FAILURES_MAX 100
#define JUNIT_NAME_MAX 256
#define JUNIT_MESSAGE_MAX 1024
/* Of the sums as JSON text: what does not fit loses failures, the last ones first. */
#define JUNIT_SUMS_MAX ((size_t)252 << 10)

typedef struct TestFailure {
    char *suite;
    char *name;
    char *message;
} TestFailure;

typedef struct TestSums {
    int64_t total;
    int64_t failed; /* failures and errors */
    int64_t skipped;
    double seconds;
    TestFailure *failures; /* the first JUNIT_FAILURES_MAX */
    size_t n_failures;
} TestSums;

void test_sums_done(TestSums *sums);
#define _cleanup_test_sums_ _cleanup_(test_sums_done)

/* `total`, `passed`, `failed`, `skipped`, `seconds`, `failures`: the output `tests`, which fits
 * into a report, if need be with fewer failures. The caller's. */
int test_sums_to_json(const TestSums *sums, Json **ret) _must_check_;

/* Adds what one file says. -EINVAL: it is not JUnit XML, or it is cut; what was read before that
 * counts all the same. `name` is for messages. */
int junit_read(int fd, const char *name, TestSums *sums, Error *err) _must_check_;
int junit_parse(const char *text, size_t n, TestSums *sums, Error *err) _must_check_;
