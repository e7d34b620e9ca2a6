/* SPDX-License-Identifier: MIT */
#include "agent/package/layer/compress.h"

#include "tests/unit/scratch.h"

#include <sched.h>

static int gather(const void *data, size_t n, void *userdata)
{
    return buffer_append(userdata, data, n);
}

static int refuse(const void *data, size_t n, void *userdata)
{
    return -ENOSPC;
}

static void make_input(Buffer *in, size_t n)
{
    uint32_t x = 7;

    for (size_t i = 0; i < n; i += sizeof(x)) {
        x = i % 64 < 32 ? x : x * 1664525 + 1013904223;
        assert_int_equal(buffer_append(in, &x, sizeof(x)), 0);
    }
}

static void compress(CompressKind kind, const Buffer *in, Buffer *out)
{
    _cleanup_(compress_freep) Compress *c = NULL;

    assert_int_equal(compress_new(kind, gather, out, &c), 0);
    for (size_t at = 0; at < in->len; at += 100003) {
        assert_int_equal(compress_write(c, in->data + at, MIN((size_t)100003, in->len - at)), 0);
    }
    assert_int_equal(compress_finish(c), 0);
}

static void test_round_trips(void **state)
{
    static const char *const programs[_COMPRESS_KIND_MAX] = {"gzip -dc", "zstd -qdc", "cat"};

    for (CompressKind kind = 0; kind < _COMPRESS_KIND_MAX; kind++) {
        _cleanup_buffer_ Buffer in = BUFFER_INIT(0), out = BUFFER_INIT(0);
        _cleanup_free_ char *back = NULL;
        char command[256];
        size_t n;

        make_input(&in, (size_t)11 << 20);
        compress(kind, &in, &out);
        scratch_write(SCRATCH_FD, "packed", out.data, out.len, 0644);
        (void)snprintf(command, sizeof(command), "cd '%s' && %s < packed > back", SCRATCH_PATH,
                       programs[kind]);
        assert_int_equal(system(command), 0);
        back = scratch_read(SCRATCH_FD, "back", &n);
        assert_int_equal(n, in.len);
        assert_memory_equal(back, in.data, n);
        assert_true(kind == COMPRESS_NONE ? out.len == in.len : out.len < in.len);
    }
}

static void test_same_bytes_on_one_processor(void **state)
{
    _cleanup_buffer_ Buffer in = BUFFER_INIT(0), all = BUFFER_INIT(0), one = BUFFER_INIT(0);
    cpu_set_t before, first;

    make_input(&in, (size_t)9 << 20);
    compress(COMPRESS_ZSTD, &in, &all);
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&first);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&first) == 0; i++) {
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &first);
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof(first), &first), 0);
    compress(COMPRESS_ZSTD, &in, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(all.len, one.len);
    assert_memory_equal(all.data, one.data, all.len);
}

static void test_sink_fails(void **state)
{
    for (CompressKind kind = 0; kind < _COMPRESS_KIND_MAX; kind++) {
        _cleanup_(compress_freep) Compress *c = NULL;
        int r;

        assert_int_equal(compress_new(kind, refuse, NULL, &c), 0);
        r = compress_write(c, "x", 1);
        r = r == 0 ? compress_finish(c) : r;
        assert_int_equal(r, -ENOSPC);
    }
}

static void test_names(void **state)
{
    for (CompressKind kind = 0; kind < _COMPRESS_KIND_MAX; kind++) {
        assert_int_equal(compress_kind_of(compress_kind_name(kind)), kind);
        assert_true(strlen(compress_kind_version(kind)) > 0);
    }
    assert_int_equal(compress_kind_of("bzip2"), _COMPRESS_KIND_INVALID);
    assert_null(compress_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_round_trips),
        scratch_test(test_same_bytes_on_one_processor),
        scratch_test(test_sink_fails),
        scratch_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
