/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/audit-log.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define HEAD "{\"seq\":7,\"sha256\":\"00\"}"

typedef struct Piece {
    char data[8];
    size_t n;
    int64_t size;
    Json *head;
} Piece;

static int read_at(int fd, int64_t offset, size_t n, Piece *ret)
{
    _cleanup_error_ Error err = {0};
    int r;

    *ret = (Piece){.size = -1};
    r = audit_log_read(fd, offset, ret->data, n, &ret->n, &ret->size, &ret->head, &err);
    assert_true((r == 0) == (err.text == NULL));
    return r;
}

static void no_log_is_an_empty_one(void **state)
{
    Piece piece;

    assert_int_equal(read_at(SCRATCH_FD, 0, 8, &piece), 0);
    assert_int_equal(piece.n, 0);
    assert_int_equal(piece.size, 0);
    assert_null(piece.head);
    assert_int_equal(read_at(SCRATCH_FD, 1, 8, &piece), -EILSEQ);
}

static void reads_from_anywhere(void **state)
{
    static const struct {
        int64_t offset;
        size_t n, got;
    } rows[] = {{0, 8, 8}, {0, 0, 0}, {3, 8, 8}, {8, 8, 3}, {10, 1, 1}, {11, 8, 0}};
    static const char text[] = "hello world";
    Piece piece;

    scratch_write_text(SCRATCH_FD, "audit/log", text);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(read_at(SCRATCH_FD, rows[i].offset, rows[i].n, &piece), 0);
        assert_int_equal(piece.n, rows[i].got);
        assert_memory_equal(piece.data, text + rows[i].offset, rows[i].got);
        assert_int_equal(piece.size, 11);
    }
    assert_int_equal(read_at(SCRATCH_FD, 12, 8, &piece), -EILSEQ);
    assert_int_equal(read_at(SCRATCH_FD, -1, 8, &piece), -EILSEQ);
    assert_int_equal(piece.size, -1);
}

static void the_head_comes_along(void **state)
{
    Piece piece;

    scratch_write_text(SCRATCH_FD, "audit/log", "x");
    scratch_write_text(SCRATCH_FD, "audit/log.head", HEAD);
    assert_int_equal(read_at(SCRATCH_FD, 1, 8, &piece), 0);
    assert_int_equal(json_get_int(piece.head, "seq", 0), 7);
    assert_string_equal(json_get_string(piece.head, "sha256"), "00");
    (void)json_unref(piece.head);
}

static void a_head_that_is_none_is_told(void **state)
{
    static const char *const texts[] = {"", "{", "[]", "{\"seq\":0,\"sha256\":\"\"}",
                                        "{\"seq\":1}"};
    _cleanup_free_ char *long_text = calloc(1, 5000);
    Piece piece;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        scratch_write_text(SCRATCH_FD, "audit/log.head", texts[i]);
        assert_int_equal(read_at(SCRATCH_FD, 0, 8, &piece), -EIO);
        assert_null(piece.head);
    }
    memset(long_text, ' ', 4999);
    scratch_write_text(SCRATCH_FD, "audit/log.head", long_text);
    assert_int_equal(read_at(SCRATCH_FD, 0, 8, &piece), -ENOBUFS);
}

/* Whoever can put something else in its place does not make the agent read it. */
static void only_a_regular_file_is_read(void **state)
{
    Piece piece;

    scratch_write_text(SCRATCH_FD, "audit/elsewhere", "x");
    assert_int_equal(symlinkat("elsewhere", SCRATCH_FD, "audit/log"), 0);
    assert_int_equal(read_at(SCRATCH_FD, 0, 8, &piece), -EIO);
    assert_int_equal(unlinkat(SCRATCH_FD, "audit/log", 0), 0);
    assert_int_equal(mkfifoat(SCRATCH_FD, "audit/log", 0600), 0);
    assert_int_equal(read_at(SCRATCH_FD, 0, 8, &piece), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(no_log_is_an_empty_one),      scratch_test(reads_from_anywhere),
        scratch_test(the_head_comes_along),        scratch_test(a_head_that_is_none_is_told),
        scratch_test(only_a_regular_file_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
