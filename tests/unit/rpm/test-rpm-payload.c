/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-payload.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define TIME 0x12345678

/* All that a test needs of one package. */
typedef struct Packed {
    Json *elements;
    RpmFiles files;
    RpmPayload payload;
} Packed;

static void packed_done(Packed *packed)
{
    rpm_files_done(&packed->files);
    (void)json_unref(packed->elements);
}

static void find(void **state, const char *text, Packed *ret)
{
    assert_int_equal(json_parse(text, strlen(text), &ret->elements, NULL), 0);
    assert_int_equal(rpm_files_find(SCRATCH_FD, ret->elements, "/x", &ret->files, NULL), 0);
}

static int pack(void **state, Compression compression, Packed *packed, Error *err)
{
    _cleanup_fd_ int fd = openat(SCRATCH_FD, "out", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    return rpm_payload_write(SCRATCH_FD, &packed->files, TIME, compression, fd, &packed->payload,
                             err);
}

#define HEAD(inode, mode, size, name_size) \
    "070701" inode mode "00000000"         \
    "00000000"                             \
    "00000001"                             \
    "12345678" size "00000000"             \
    "00000000"                             \
    "00000000"                             \
    "00000000" name_size "00000000"

static void test_cpio(void **state)
{
    static const char wanted[] =
        HEAD("00000001", "000041ed", "00000000", "00000008") "./opt/d\0\0\0" HEAD(
            "00000002", "000081a4", "00000003",
            "0000000a") "./opt/d/a\0"
                        "123\0" HEAD("00000004", "0000a1ff", "00000001",
                                     "0000000a") "./opt/d/l\0"
                                                 "a\0\0\0"
                                                 "070701"
                                                 "00000000"
                                                 "00000000"
                                                 "00000000"
                                                 "00000000"
                                                 "00000001"
                                                 "00000000"
                                                 "00000000"
                                                 "00000000"
                                                 "00000000"
                                                 "00000000"
                                                 "00000000"
                                                 "0000000b"
                                                 "00000000"
                                                 "TRAILER!!!\0\0\0\0";
    _cleanup_(packed_done) Packed packed = {0};
    _cleanup_free_ char *out = NULL;
    char sha256[DIGEST_HEX_SIZE];
    size_t len;

    scratch_write_text(SCRATCH_FD, "d/a", "123");
    assert_int_equal(symlinkat("a", SCRATCH_FD, "d/l"), 0);
    find(state, "[{\"from\":\"d\",\"to\":\"/opt/d\"},{\"to\":\"/opt/d/ghost\",\"ghost\":true}]",
         &packed);
    assert_int_equal(pack(state, COMPRESSION_NONE, &packed, NULL), 0);
    out = scratch_read(SCRATCH_FD, "out", &len);
    assert_int_equal(len, sizeof(wanted) - 1);
    assert_memory_equal(out, wanted, len);
    assert_int_equal(packed.payload.size_bytes, len);
    assert_int_equal(packed.payload.inside_bytes, len);
    assert_int_equal(digest_bytes(out, len, sha256), 0);
    assert_string_equal(packed.payload.sha256, sha256);
    assert_string_equal(packed.payload.inside_sha256, sha256);
    assert_int_equal(digest_bytes("123", 3, sha256), 0);
    assert_string_equal(packed.files.list[1].digest, sha256);
    assert_string_equal(packed.files.list[2].digest, ""); /* the ghost */
    assert_string_equal(packed.files.list[3].digest, "");
}

static void test_compressed(void **state)
{
    for (int kind = COMPRESSION_GZIP; kind < _COMPRESSION_MAX; kind++) {
        _cleanup_(packed_done) Packed packed = {0};
        _cleanup_free_ char *out = NULL;
        char sha256[DIGEST_HEX_SIZE];
        size_t len;

        scratch_write_text(SCRATCH_FD, "a", "123");
        find(state, "[{\"from\":\"a\",\"to\":\"/opt/d/a\"}]", &packed);
        assert_int_equal(pack(state, (Compression)kind, &packed, NULL), 0);
        out = scratch_read(SCRATCH_FD, "out", &len);
        assert_int_equal(digest_bytes(out, len, sha256), 0);
        assert_string_equal(packed.payload.sha256, sha256);
        assert_int_equal(packed.payload.size_bytes, len);
        assert_string_not_equal(packed.payload.inside_sha256, sha256);
    }
}

/* Between the look at it and the packing. */
static void test_changes(void **state)
{
    static const char *const others[] = {"12", "1234"};

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        _cleanup_(packed_done) Packed packed = {0};
        _cleanup_error_ Error err = {0};

        scratch_write_text(SCRATCH_FD, "a", "123");
        find(state, "[{\"from\":\"a\",\"to\":\"/opt/d/a\"}]", &packed);
        scratch_write_text(SCRATCH_FD, "a", others[i]);
        assert_int_equal(pack(state, COMPRESSION_GZIP, &packed, &err), -EAGAIN);
        assert_string_equal(error_text(&err), "'a' changed while it was packed");
    }
}

static void test_gone(void **state)
{
    _cleanup_(packed_done) Packed packed = {0};
    _cleanup_error_ Error err = {0};

    scratch_write_text(SCRATCH_FD, "a", "123");
    find(state, "[{\"from\":\"a\",\"to\":\"/opt/d/a\"}]", &packed);
    assert_int_equal(unlinkat(SCRATCH_FD, "a", 0), 0);
    assert_int_equal(mkfifoat(SCRATCH_FD, "a", 0600), 0);
    assert_int_equal(pack(state, COMPRESSION_GZIP, &packed, &err), -EAGAIN);
    assert_int_equal(unlinkat(SCRATCH_FD, "a", 0), 0);
    assert_int_equal(pack(state, COMPRESSION_GZIP, &packed, &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_cpio),
        scratch_test(test_compressed),
        scratch_test(test_changes),
        scratch_test(test_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
