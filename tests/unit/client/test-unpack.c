/* SPDX-License-Identifier: MIT */
#include "plugin/client/unpack.h"

#include "protocol/artifact/archive.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <limits.h>

#define CONTENT "what is in it"

typedef struct Fixture {
    Scratch *scratch;
    char *bytes; /* of a small archive */
    size_t n;
    char sha256[DIGEST_HEX_SIZE];
    char directory[128];
    int fd; /* the file that grows */
} Fixture;

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    _cleanup_fd_ int fd = -1;
    ArchiveSummary summary;
    void *inner = NULL;

    assert_int_equal(scratch_setup(&inner), 0);
    f->scratch = inner;
    fd = openat(f->scratch->fd, "archive", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(archive_writer_new(ARCHIVE_TAR_ZSTD, 0, fd, 0, &writer, NULL), 0);
    assert_int_equal(
        archive_writer_add_bytes(writer, "bin/app", CONTENT, strlen(CONTENT), 0755, NULL), 0);
    assert_int_equal(archive_writer_finish(writer, &summary, NULL), 0);
    (void)strcpy(f->sha256, summary.sha256);
    f->bytes = scratch_read(f->scratch->fd, "archive", &f->n);
    (void)snprintf(f->directory, sizeof(f->directory), "%s/out", f->scratch->path);
    f->fd = openat(f->scratch->fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(f->fd >= 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    void *inner = f->scratch;

    (void)fd_close(f->fd);
    free(f->bytes);
    free(f);
    return scratch_teardown(&inner);
}
#define unpack_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static Unpack *start(Fixture *f, size_t n, const char *sha256)
{
    Unpack *u = NULL;

    assert_int_equal(unpack_start(f->fd, (int64_t)n, sha256, f->directory, &u, NULL), 0);
    return u;
}

static void grow(Fixture *f, Unpack *u, const char *bytes, size_t from, size_t to)
{
    assert_int_equal(fd_write_all(f->fd, bytes + from, to - from), 0);
    unpack_tell(u, (int64_t)to);
}

/* The archive and the file that it comes in are there, and nothing else. */
static void expect_nothing(Fixture *f)
{
    assert_int_equal(scratch_count(f->scratch->fd, "."), 2);
}

static void test_grows_byte_by_byte(void **state)
{
    Fixture *f = *state;
    _cleanup_(unpack_result_done) UnpackResult result = {0};
    Unpack *u = start(f, f->n, f->sha256);

    for (size_t i = 0; i < f->n; i++) {
        assert_false(file_exists(f->scratch->fd, "out"));
        grow(f, u, f->bytes, i, i + 1);
    }
    unpack_finish(u, &result);
    assert_int_equal(result.code, 0);
    assert_true(result.is_right);
    assert_string_equal(result.sha256, f->sha256);
    scratch_expect_text(f->scratch->fd, "out/bin/app", CONTENT);
    assert_false(file_exists(f->scratch->fd, "out.tmp"));
}

/* All of it unpacks, and all the same it is not what was announced. */
static void test_wrong_digest(void **state)
{
    Fixture *f = *state;
    _cleanup_(unpack_result_done) UnpackResult result = {0};
    char wanted[DIGEST_HEX_SIZE];
    Unpack *u;

    memset(wanted, '0', sizeof(wanted) - 1);
    wanted[sizeof(wanted) - 1] = '\0';
    u = start(f, f->n, wanted);
    grow(f, u, f->bytes, 0, f->n);
    unpack_finish(u, &result);
    assert_int_equal(result.code, -EBADMSG);
    assert_false(result.is_right);
    assert_string_equal(result.sha256, f->sha256);
    expect_nothing(f);
}

/* Where unpacking fails early, what comes after belongs to the digest all the same. */
static void test_no_archive(void **state)
{
    Fixture *f = *state;
    _cleanup_(unpack_result_done) UnpackResult result = {0};
    _cleanup_free_ char *noise = malloc(1000000);
    char sha256[DIGEST_HEX_SIZE];
    Unpack *u;

    memset(noise, 'x', 1000000);
    assert_int_equal(digest_bytes(noise, 1000000, sha256), 0);
    u = start(f, 1000000, sha256);
    grow(f, u, noise, 0, 500000);
    grow(f, u, noise, 500000, 1000000);
    unpack_finish(u, &result);
    assert_int_equal(result.code, -EBADMSG);
    assert_true(result.is_right);
    assert_string_equal(result.sha256, sha256);
    if (!strstr(error_text(&result.error), "unpacking into '")) {
        fail_msg("%s", error_text(&result.error));
    }
    expect_nothing(f);
}

static void test_stopped(void **state)
{
    Fixture *f = *state;

    for (size_t n = 0; n <= f->n; n += f->n / 3) {
        Unpack *u;

        assert_int_equal(lseek(f->fd, 0, SEEK_SET), 0);
        u = start(f, f->n + 1, f->sha256);
        grow(f, u, f->bytes, 0, n);
        assert_null(unpack_free(u));
        expect_nothing(f);
    }
    assert_null(unpack_free(NULL));
}

/* More was told than there is: somebody else has the file. */
static void test_shortened(void **state)
{
    Fixture *f = *state;
    _cleanup_(unpack_result_done) UnpackResult result = {0};
    Unpack *u = start(f, f->n, f->sha256);

    assert_int_equal(fd_write_all(f->fd, f->bytes, f->n / 2), 0);
    unpack_tell(u, (int64_t)f->n);
    unpack_finish(u, &result);
    assert_int_equal(result.code, -EIO);
    assert_false(result.is_right);
    assert_string_equal(result.sha256, "");
    expect_nothing(f);
}

/* Bytes without a file, more than fit between the two threads, in pieces of all sizes. */
static void test_given(void **state)
{
    static const size_t steps[] = {1000, 262144, 1000003, 9000000};
    Fixture *f = *state;
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    _cleanup_free_ char *content = malloc(8000000), *bytes = NULL;
    _cleanup_fd_ int fd = openat(f->scratch->fd, "large", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ArchiveSummary summary;
    size_t n;

    for (size_t i = 0; i < 8000000; i++) {
        content[i] = (char)(i * i >> 8);
    }
    assert_int_equal(archive_writer_new(ARCHIVE_TAR, 0, fd, 0, &writer, NULL), 0);
    assert_int_equal(archive_writer_add_bytes(writer, "file", content, 8000000, 0644, NULL), 0);
    assert_int_equal(archive_writer_finish(writer, &summary, NULL), 0);
    bytes = scratch_read(f->scratch->fd, "large", &n);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        _cleanup_(unpack_result_done) UnpackResult result = {0};
        _cleanup_free_ char *got = NULL;
        Unpack *u = NULL;

        assert_int_equal(unpack_start(-1, (int64_t)n, summary.sha256, f->directory, &u, NULL), 0);
        for (size_t at = 0; at < n; at += steps[i]) {
            unpack_give(u, bytes + at, MIN(steps[i], n - at));
        }
        unpack_finish(u, &result);
        assert_int_equal(result.code, 0);
        assert_true(result.is_right);
        got = scratch_read(f->scratch->fd, "out/file", NULL);
        assert_memory_equal(got, content, 8000000);
        assert_int_equal(file_remove_tree(f->scratch->fd, "out", NULL), 0);
    }
}

/* What is given to a thread that cannot unpack it is digested; whoever gives never waits for ever.
 */
static void test_given_no_archive(void **state)
{
    Fixture *f = *state;
    _cleanup_(unpack_result_done) UnpackResult result = {0};
    _cleanup_free_ char *noise = malloc(5000000);
    char sha256[DIGEST_HEX_SIZE];
    Unpack *u = NULL;

    memset(noise, 'x', 5000000);
    assert_int_equal(digest_bytes(noise, 5000000, sha256), 0);
    assert_int_equal(unpack_start(-1, 5000000, sha256, f->directory, &u, NULL), 0);
    unpack_give(u, noise, 5000000);
    unpack_finish(u, &result);
    assert_int_equal(result.code, -EBADMSG);
    assert_true(result.is_right);
    assert_int_equal(unpack_start(-1, 5000000, sha256, f->directory, &u, NULL), 0);
    unpack_give(u, noise, 4000000);
    assert_null(unpack_free(u));
    expect_nothing(f);
}

static void test_bad_places(void **state)
{
    Fixture *f = *state;
    _cleanup_error_ Error err = {0};
    Unpack *u = NULL;

    assert_int_equal(mkdirat(f->scratch->fd, "out", 0755), 0);
    assert_int_equal(unpack_start(f->fd, 1, f->sha256, f->directory, &u, &err), -EEXIST);
    assert_int_equal(unpack_start(f->fd, 1, f->sha256, "/nowhere/out", &u, NULL), -ENOENT);
    assert_int_equal(unpack_start(INT_MAX, 1, f->sha256, f->directory, &u, NULL), -EBADF);
    assert_null(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unpack_test(test_grows_byte_by_byte), unpack_test(test_wrong_digest),
        unpack_test(test_no_archive),         unpack_test(test_stopped),
        unpack_test(test_shortened),          unpack_test(test_given),
        unpack_test(test_given_no_archive),   unpack_test(test_bad_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
