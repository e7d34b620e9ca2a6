/* SPDX-License-Identifier: MIT */
#include "agent/package/layer/gzip.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <sched.h>

/* Whatever a thread hands on, gathered; from `fails_at` on it is refused. */
typedef struct Output {
    Buffer bytes;
    size_t calls, fails_at;
} Output;

static int gather(const void *data, size_t n, void *userdata)
{
    Output *out = userdata;

    if (++out->calls == out->fails_at) {
        return -ENOSPC;
    }
    return buffer_append(&out->bytes, data, n);
}

/* Neither all alike nor all random. */
static void make_input(Buffer *in, size_t n)
{
    uint32_t x = 1;

    assert_int_equal(buffer_reserve(in, n), 0);
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        in->data[i] = (char)(i % 7 < 4 ? 'a' + (int)(i / 1000 % 26) : (int)(x >> 24));
    }
    in->len = n;
}

static void compress(const Buffer *in, size_t piece, Output *out)
{
    _cleanup_(gzip_freep) Gzip *g = NULL;

    assert_int_equal(gzip_new(gather, out, &g), 0);
    for (size_t at = 0; at < in->len; at += piece) {
        assert_int_equal(gzip_write(g, in->data + at, MIN(piece, in->len - at)), 0);
    }
    assert_int_equal(gzip_finish(g), 0);
}

static void expect_gunzipped(void **state, const Output *out, const Buffer *in)
{
    _cleanup_free_ char *back = NULL;
    char command[256];
    size_t n;

    scratch_write(SCRATCH_FD, "a.gz", out->bytes.data, out->bytes.len, 0644);
    (void)snprintf(command, sizeof(command), "gzip -dc '%s/a.gz' > '%s/a'", SCRATCH_PATH,
                   SCRATCH_PATH);
    assert_int_equal(system(command), 0);
    back = scratch_read(SCRATCH_FD, "a", &n);
    assert_int_equal(n, in->len);
    assert_memory_equal(back, in->data, n);
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = {
        0,
        1,
        GZIP_BLOCK_SIZE - 1,
        GZIP_BLOCK_SIZE,
        GZIP_BLOCK_SIZE + 1,
        2 * GZIP_BLOCK_SIZE,
        3 * GZIP_BLOCK_SIZE + 12345,
    };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        _cleanup_buffer_ Buffer in = BUFFER_INIT(0);
        Output out = {0};

        make_input(&in, sizes[i]);
        compress(&in, 70001, &out);
        /* One member for each block; gzip takes no empty file, so there is always one. */
        assert_int_equal(out.calls,
                         MAX((sizes[i] + GZIP_BLOCK_SIZE - 1) / GZIP_BLOCK_SIZE, (size_t)1));
        /* RFC 1952: no flags (no name), no time. */
        assert_memory_equal(out.bytes.data, "\x1f\x8b\x08\0\0\0\0\0", 8);
        expect_gunzipped(state, &out, &in);
        buffer_done(&out.bytes);
    }
}

/* One processor or all, in large pieces or small. */
static void test_same_bytes_on_every_machine(void **state)
{
    _cleanup_buffer_ Buffer in = BUFFER_INIT(0);
    Output all = {0}, one = {0};
    cpu_set_t before, first;

    make_input(&in, 6 * GZIP_BLOCK_SIZE + 1);
    compress(&in, 3 * GZIP_BLOCK_SIZE / 2, &all);
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&first);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&first) == 0; i++) {
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &first);
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof(first), &first), 0);
    compress(&in, 999, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(all.bytes.len, one.bytes.len);
    assert_memory_equal(all.bytes.data, one.bytes.data, all.bytes.len);
    buffer_done(&all.bytes);
    buffer_done(&one.bytes);
}

/* A full disk ends the work, soon and with its own name. */
static void test_sink_fails(void **state)
{
    for (size_t fails_at = 1; fails_at <= 14; fails_at += 13) {
        _cleanup_(gzip_freep) Gzip *g = NULL;
        _cleanup_buffer_ Buffer in = BUFFER_INIT(0);
        Output out = {.fails_at = fails_at};
        int r = 0;

        make_input(&in, GZIP_BLOCK_SIZE);
        assert_int_equal(gzip_new(gather, &out, &g), 0);
        for (int i = 0; r == 0 && i < 40; i++) {
            r = gzip_write(g, in.data, in.len);
        }
        r = r == 0 ? gzip_finish(g) : r;
        assert_int_equal(r, -ENOSPC);
        g = gzip_free(g);
        assert_int_equal(out.calls, fails_at); /* nothing is handed on after it */
        buffer_done(&out.bytes);
    }
}

static void test_freed_in_the_middle(void **state)
{
    _cleanup_buffer_ Buffer in = BUFFER_INIT(0);
    Output out = {0};
    Gzip *g;

    make_input(&in, 4 * GZIP_BLOCK_SIZE + 7);
    assert_int_equal(gzip_new(gather, &out, &g), 0);
    assert_int_equal(gzip_write(g, in.data, in.len), 0);
    assert_null(gzip_free(g));
    assert_null(gzip_free(NULL));
    buffer_done(&out.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_sizes),
        scratch_test(test_same_bytes_on_every_machine),
        scratch_test(test_sink_fails),
        scratch_test(test_freed_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
