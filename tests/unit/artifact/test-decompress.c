/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/decompress.h"

#include "protocol/artifact/compressor.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

#define DATA_SIZE ((size_t)300 << 10)

static int to_buffer(void *userdata, const void *data, size_t n)
{
    return buffer_append(userdata, data, n);
}

static void compress(Compression kind, const char *data, size_t n, Buffer *out)
{
    _cleanup_(compressor_freep) Compressor *c = NULL;

    assert_int_equal(compressor_new(kind, to_buffer, out, &c, NULL), 0);
    assert_int_equal(compressor_write(c, data, n, NULL), 0);
    assert_int_equal(compressor_finish(c, NULL), 0);
}

static char *make_data(void)
{
    char *data = malloc(DATA_SIZE);

    assert_non_null(data);
    for (size_t i = 0; i < DATA_SIZE; i++) {
        data[i] = (char)('a' + i * i % 23);
    }
    return data;
}

static void test_round_trip(void **state)
{
    _cleanup_free_ char *data = make_data();

    for (int kind = 0; kind < _COMPRESSION_MAX; kind++) {
        _cleanup_buffer_ Buffer compressed = {0}, out = {0};

        compress((Compression)kind, data, DATA_SIZE, &compressed);
        assert_int_equal(buffer_append_text(&out, "before"), 0);
        assert_int_equal(decompress_bytes(compressed.data, compressed.len, &out, NULL), 0);
        assert_int_equal(out.len, DATA_SIZE + 6);
        assert_memory_equal(out.data + 6, data, DATA_SIZE);
    }
}

static void test_cut_and_damaged(void **state)
{
    _cleanup_free_ char *data = make_data();

    for (int kind = COMPRESSION_GZIP; kind < _COMPRESSION_MAX; kind++) {
        _cleanup_buffer_ Buffer compressed = {0}, out = {0};
        _cleanup_error_ Error err = {0};

        compress((Compression)kind, data, DATA_SIZE, &compressed);
        assert_int_equal(decompress_bytes(compressed.data, compressed.len / 2, &out, &err),
                         -EBADMSG);
        assert_int_equal(out.len, 0);
        assert_non_null(strstr(error_text(&err), "cannot be decompressed"));
    }
}

/* A small file that would be a large one. */
static void test_limit(void **state)
{
    _cleanup_free_ char *data = make_data();

    for (int kind = 0; kind < _COMPRESSION_MAX; kind++) {
        _cleanup_buffer_ Buffer compressed = {0}, exact = BUFFER_INIT(DATA_SIZE);
        _cleanup_buffer_ Buffer less = BUFFER_INIT(DATA_SIZE - 1);
        _cleanup_error_ Error err = {0};

        compress((Compression)kind, data, DATA_SIZE, &compressed);
        assert_int_equal(decompress_bytes(compressed.data, compressed.len, &exact, NULL), 0);
        assert_int_equal(decompress_bytes(compressed.data, compressed.len, &less, &err), -ENOBUFS);
        assert_int_equal(less.len, 0);
    }
}

static void test_nothing(void **state)
{
    _cleanup_buffer_ Buffer out = {0};

    assert_int_equal(decompress_bytes("", 0, &out, NULL), 0);
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut_and_damaged),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
