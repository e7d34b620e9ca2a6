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

static void assert_described(void **state, const char *url, int64_t now_us, const char *expected,
                             const char *problem)
{
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_free_ char *late = NULL;
    _cleanup_json_ Json *audit = NULL;

    assert_int_equal(audit_log_describe(SCRATCH_FD, url, now_us, &audit, &late), 0);
    assert_int_equal(json_format(audit, &text), 0);
    assert_string_equal(buffer_text(&text), expected);
    assert_true(problem ? late && strcmp(late, problem) == 0 : !late);
}

/* 2026-01-01T00:00:00Z */
#define MIDNIGHT_US ((int64_t)1767225600 * 1000000)
#define SINCE "2026-01-01T00:00:00.000000Z"

static void says_how_far_it_is_forwarded(void **state)
{
    assert_described(state, NULL, 0, "{\"records\":0}", NULL);
    assert_described(state, "u", 0, "{\"records\":0,\"forward\":{\"url\":\"u\",\"waiting\":0}}",
                     NULL);
    scratch_write_text(SCRATCH_FD, "audit/log.head", HEAD);
    assert_int_equal(audit_log_count_waiting(SCRATCH_FD, "u"), 7);
    scratch_write_text(SCRATCH_FD, "audit/forwarded.json",
                       "{\"url\":\"u\",\"seq\":5,\"sentAt\":\"s\",\"waitingSince\":\"" SINCE
                       "\",\"problem\":\"away\"}");
    assert_int_equal(audit_log_count_waiting(SCRATCH_FD, "u"), 2);
    assert_int_equal(audit_log_count_waiting(SCRATCH_FD, "another"), 7);
    assert_described(state, "u", MIDNIGHT_US + AUDIT_LOG_LATE_US - 1,
                     "{\"records\":7,\"forward\":{\"url\":\"u\",\"waiting\":2,\"sentAt\":\"s\","
                     "\"waitingSince\":\"" SINCE "\",\"problem\":\"away\"}}",
                     NULL);
    assert_described(state, "u", MIDNIGHT_US + AUDIT_LOG_LATE_US,
                     "{\"records\":7,\"forward\":{\"url\":\"u\",\"waiting\":2,\"sentAt\":\"s\","
                     "\"waitingSince\":\"" SINCE "\",\"problem\":\"away\"}}",
                     "2 records of the audit log could not be forwarded since " SINCE ": away");
    scratch_write_text(SCRATCH_FD, "audit/forwarded.json", "{\"url\":\"u\",\"seq\":7}");
    assert_described(state, "u", 0, "{\"records\":7,\"forward\":{\"url\":\"u\",\"waiting\":0}}",
                     NULL);
    scratch_write_text(SCRATCH_FD, "audit/forwarded.json", "torn");
    assert_int_equal(audit_log_count_waiting(SCRATCH_FD, "u"), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(says_how_far_it_is_forwarded), scratch_test(no_log_is_an_empty_one),
        scratch_test(reads_from_anywhere),          scratch_test(the_head_comes_along),
        scratch_test(a_head_that_is_none_is_told),  scratch_test(only_a_regular_file_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
