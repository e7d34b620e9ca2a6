/* SPDX-License-Identifier: MIT */
#include "protocol/base/buffer.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void empty_buffer_is_empty_text(void **state)
{
    _cleanup_buffer_ Buffer b = {0};

    assert_string_equal(buffer_text(&b), "");
    buffer_clear(&b);
    buffer_consume(&b, 0);
    assert_int_equal(buffer_append(&b, NULL, 0), 0);
    assert_string_equal(buffer_text(&b), "");
    assert_int_equal(b.len, 0);
}

static void appends_keep_a_nul_at_the_end(void **state)
{
    _cleanup_buffer_ Buffer b = {0};

    assert_int_equal(buffer_append_text(&b, "one"), 0);
    assert_int_equal(buffer_append(&b, "\0two", 4), 0);
    assert_int_equal(buffer_append_format(&b, "%d-%s", 3, "x"), 0);
    assert_int_equal(b.len, 10);
    assert_memory_equal(b.data, "one\0two3-x", 11);
}

static void grows_through_many_sizes(void **state)
{
    _cleanup_buffer_ Buffer b = {0};

    for (int i = 0; i < 20000; i++) {
        assert_int_equal(buffer_append_format(&b, "%05d", i), 0);
    }
    assert_int_equal(b.len, 100000);
    for (int i = 0; i < 20000; i += 777) {
        char expected[8];

        (void)snprintf(expected, sizeof(expected), "%05d", i);
        assert_memory_equal(b.data + (size_t)i * 5, expected, 5);
    }
}

static void limit_is_exact_and_keeps_content(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(10);

    assert_int_equal(buffer_append_text(&b, "0123456789"), 0);
    assert_true(b.allocated <= 11);
    assert_int_equal(buffer_append_text(&b, "x"), -ENOBUFS);
    assert_int_equal(buffer_append_format(&b, "%s", "x"), -ENOBUFS);
    assert_int_equal(buffer_reserve(&b, 1), -ENOBUFS);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX), -ENOBUFS);
    assert_int_equal(buffer_reserve(&b, 0), 0);
    assert_string_equal(buffer_text(&b), "0123456789");
    buffer_consume(&b, 1);
    assert_int_equal(buffer_append_text(&b, "x"), 0);
    assert_string_equal(buffer_text(&b), "123456789x");
}

static void no_limit_means_the_default(void **state)
{
    _cleanup_buffer_ Buffer b = {0};

    assert_int_equal(buffer_reserve(&b, BUFFER_LIMIT_DEFAULT + 1), -ENOBUFS);
    assert_int_equal(buffer_reserve(&b, BUFFER_LIMIT_DEFAULT), 0);
}

static void huge_limit_does_not_overflow(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(SIZE_MAX / 4);

    assert_int_equal(buffer_reserve(&b, SIZE_MAX / 4 + 1), -ENOBUFS);
    assert_int_equal(buffer_append_text(&b, "fits"), 0);
}

static void consume_drops_from_the_front(void **state)
{
    _cleanup_buffer_ Buffer b = {0};

    assert_int_equal(buffer_append_text(&b, "abcdef"), 0);
    buffer_consume(&b, 2);
    assert_string_equal(buffer_text(&b), "cdef");
    buffer_consume(&b, 4);
    assert_string_equal(buffer_text(&b), "");
    assert_int_equal(b.len, 0);
}

static void clear_keeps_memory_and_done_keeps_the_limit(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(5);
    const char *memory;

    assert_int_equal(buffer_append_text(&b, "abcde"), 0);
    memory = b.data;
    buffer_clear(&b);
    assert_string_equal(buffer_text(&b), "");
    assert_int_equal(buffer_append_text(&b, "vwxyz"), 0);
    assert_ptr_equal(b.data, memory);
    buffer_done(&b);
    assert_null(b.data);
    assert_int_equal(buffer_append_text(&b, "123456"), -ENOBUFS);
}

static void take_hands_the_text_over(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(3);
    _cleanup_free_ char *text = NULL, *empty = NULL;

    assert_int_equal(buffer_append_text(&b, "abc"), 0);
    text = buffer_take_text(&b);
    assert_string_equal(text, "abc");
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    empty = buffer_take_text(&b);
    assert_string_equal(empty, "");
    assert_int_equal(buffer_append_text(&b, "new"), 0);
}

static void truncating_undoes_appends(void **state)
{
    _cleanup_buffer_ Buffer b = {0};

    buffer_truncate(&b, 0); /* nothing was ever there */
    assert_string_equal(buffer_text(&b), "");
    assert_int_equal(buffer_append_text(&b, "kept, gone"), 0);
    buffer_truncate(&b, 4);
    assert_int_equal(b.len, 4);
    assert_string_equal(buffer_text(&b), "kept");
    assert_int_equal(buffer_append_text(&b, "!"), 0);
    assert_string_equal(buffer_text(&b), "kept!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncating_undoes_appends),
        cmocka_unit_test(empty_buffer_is_empty_text),
        cmocka_unit_test(appends_keep_a_nul_at_the_end),
        cmocka_unit_test(grows_through_many_sizes),
        cmocka_unit_test(limit_is_exact_and_keeps_content),
        cmocka_unit_test(no_limit_means_the_default),
        cmocka_unit_test(huge_limit_does_not_overflow),
        cmocka_unit_test(consume_drops_from_the_front),
        cmocka_unit_test(clear_keeps_memory_and_done_keeps_the_limit),
        cmocka_unit_test(take_hands_the_text_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
