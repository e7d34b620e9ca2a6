/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/compressor.h"

#include "protocol/base/buffer.h"
#include "tests/unit/scratch.h"

#include <errno.h>

/* Long enough that every format writes more than once. */
#define DATA_SIZE ((size_t)400 << 10)

static int to_buffer(void *userdata, const void *data, size_t n)
{
    return buffer_append(userdata, data, n);
}

static int to_nowhere(void *userdata, const void *data, size_t n)
{
    return -ENOSPC;
}

/* Compresses well, but not to nothing. */
static char *make_data(void)
{
    char *data = malloc(DATA_SIZE);
    unsigned state = 1;

    assert_non_null(data);
    for (size_t i = 0; i < DATA_SIZE; i++) {
        state = state * 1103515245 + 12345;
        data[i] = (char)('a' + (state >> 16) % 16);
    }
    return data;
}

static void compress(Compression kind, const char *data, size_t step, Buffer *out)
{
    _cleanup_(compressor_freep) Compressor *c = NULL;

    assert_int_equal(compressor_new(kind, to_buffer, out, &c, NULL), 0);
    for (size_t done = 0; done < DATA_SIZE; done += step) {
        assert_int_equal(compressor_write(c, data + done, MIN(step, DATA_SIZE - done), NULL), 0);
    }
    assert_int_equal(compressor_finish(c, NULL), 0);
}

/* However it is cut, what comes out is the same, and what others make of it is what went in. */
static void test_round_trip(void **state)
{
    static const char *const programs[_COMPRESSION_MAX] = {"cat", "gzip -dc", "xz -dc", "zstd -dc"};
    _cleanup_free_ char *data = make_data();

    scratch_write(SCRATCH_FD, "data", data, DATA_SIZE, 0644);
    for (int kind = 0; kind < _COMPRESSION_MAX; kind++) {
        _cleanup_buffer_ Buffer whole = {0}, pieces = {0};
        char command[256];

        compress((Compression)kind, data, DATA_SIZE, &whole);
        compress((Compression)kind, data, 12345, &pieces);
        assert_int_equal(whole.len, pieces.len);
        assert_memory_equal(whole.data, pieces.data, whole.len);
        assert_true(kind == COMPRESSION_NONE || whole.len < DATA_SIZE * 2 / 3);
        scratch_write(SCRATCH_FD, "compressed", whole.data, whole.len, 0644);
        (void)snprintf(command, sizeof(command), "%s < %s/compressed | cmp - %s/data",
                       programs[kind], SCRATCH_PATH, SCRATCH_PATH);
        assert_int_equal(system(command), 0);
    }
}

static void test_sink_that_fails(void **state)
{
    _cleanup_free_ char *data = make_data();

    for (int kind = 0; kind < _COMPRESSION_MAX; kind++) {
        _cleanup_(compressor_freep) Compressor *c = NULL;
        _cleanup_error_ Error err = {0};
        int r = compressor_new((Compression)kind, to_nowhere, NULL, &c, &err);

        r = r == 0 ? compressor_write(c, data, DATA_SIZE, &err) : r;
        r = r == 0 ? compressor_finish(c, &err) : r;
        assert_int_equal(r, -ENOSPC);
        assert_non_null(strstr(error_text(&err), "No space left"));
    }
}

/* Nothing more is written then, and nothing leaks. */
static void test_freed_in_the_middle(void **state)
{
    _cleanup_free_ char *data = make_data();

    for (int kind = 0; kind < _COMPRESSION_MAX; kind++) {
        _cleanup_buffer_ Buffer out = {0};
        Compressor *c;
        size_t len;

        assert_int_equal(compressor_new((Compression)kind, to_buffer, &out, &c, NULL), 0);
        assert_int_equal(compressor_write(c, data, 1000, NULL), 0);
        len = out.len;
        assert_null(compressor_free(c));
        assert_int_equal(out.len, len);
    }
}

static void test_names(void **state)
{
    for (int kind = 0; kind < _COMPRESSION_MAX; kind++) {
        assert_int_equal(compression_from_name(compression_name((Compression)kind)), kind);
    }
    assert_int_equal(compression_from_name("lzma"), _COMPRESSION_INVALID);
    assert_int_equal(compression_level(COMPRESSION_NONE), 0);
    assert_true(compression_level(COMPRESSION_ZSTD) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_round_trip),
        cmocka_unit_test(test_sink_that_fails),
        cmocka_unit_test(test_freed_in_the_middle),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
