/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-header.h"

#include "tests/unit/cmocka.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static uint32_t number_at(const Buffer *b, size_t offset)
{
    uint32_t wire;

    assert_true(offset + 4 <= b->len);
    memcpy(&wire, b->data + offset, 4);
    return be32toh(wire);
}

/* Whatever the order of setting: tags ascend, each value stands aligned, the region closes. */
static void test_layout(void **state)
{
    static const unsigned char magic[8] = {0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0};
    _cleanup_rpm_header_ RpmHeader header = {0};
    _cleanup_buffer_ Buffer out = {0};
    uint32_t n, size;
    size_t store;

    assert_int_equal(rpm_header_append_int32(&header, RPM_SIZE, 0x01020304), 0);
    assert_int_equal(rpm_header_set_text(&header, RPM_NAME, "x"), 0);
    assert_int_equal(rpm_header_append_int16(&header, RPM_FILE_MODES, 0x8001), 0);
    assert_int_equal(rpm_header_append_text(&header, RPM_BASE_NAMES, "a"), 0);
    assert_int_equal(rpm_header_append_int16(&header, RPM_FILE_MODES, 2), 0);
    assert_int_equal(rpm_header_append_text(&header, RPM_BASE_NAMES, ""), 0);
    assert_int_equal(rpm_header_set_translated(&header, RPM_SUMMARY, "s"), 0);
    assert_int_equal(rpm_header_set_text(&header, RPM_VENDOR, NULL), 0);
    assert_int_equal(rpm_header_format(&header, RPM_REGION, &out), 0);

    assert_memory_equal(out.data, magic, sizeof(magic));
    n = number_at(&out, 8);
    size = number_at(&out, 12);
    assert_int_equal(n, 6); /* the region, and five */
    store = 16 + (size_t)n * 16;
    assert_int_equal(out.len, store + size);

    /* The region: 16 bytes at the end of the store, which lead back over the index. */
    assert_int_equal(number_at(&out, 16), RPM_REGION);
    assert_int_equal(number_at(&out, 24), size - 16);
    assert_int_equal(number_at(&out, 28), 16);
    assert_int_equal(number_at(&out, store + size - 16), RPM_REGION);
    assert_int_equal((int32_t)number_at(&out, store + size - 8), -(int32_t)(n * 16));

    for (uint32_t i = 2; i < n; i++) {
        assert_true(number_at(&out, 16 + i * 16) > number_at(&out, i * 16) || i == 1);
    }
    /* 1000 name "x\0" @0, 1004 summary "s\0" @2, 1009 size @4, 1030 modes @8, 1117 names @12. */
    assert_int_equal(number_at(&out, 16 + 3 * 16), RPM_SIZE);
    assert_int_equal(number_at(&out, 16 + 3 * 16 + 8), 4);
    assert_int_equal(number_at(&out, store + 4), 0x01020304);
    assert_int_equal(number_at(&out, 16 + 4 * 16 + 12), 2);
    assert_int_equal(number_at(&out, store + 8), 0x80010002);
    assert_memory_equal(out.data + store + 12, "a\0", 3);
}

static void test_empty(void **state)
{
    _cleanup_rpm_header_ RpmHeader header = {0};
    _cleanup_buffer_ Buffer out = {0};

    assert_int_equal(rpm_header_format(&header, RPM_SIGNATURE_REGION, &out), 0);
    assert_int_equal(out.len, 16 + 16 + 16);
    assert_int_equal(number_at(&out, 16), RPM_SIGNATURE_REGION);
}

static void test_limit(void **state)
{
    _cleanup_rpm_header_ RpmHeader header = {0};
    _cleanup_buffer_ Buffer out = {0};
    char *large = calloc(1, RPM_HEADER_BYTES_MAX + 1);

    assert_non_null(large);
    assert_int_equal(rpm_header_set_binary(&header, RPM_NAME, large, RPM_HEADER_BYTES_MAX + 1),
                     -ENOBUFS);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
