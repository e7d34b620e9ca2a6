/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/digest.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/mman.h>

/* FIPS 180-4, the examples that NIST publishes with it. */
static const struct {
    const char *text;
    const char *sha256;
} known[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

/* A million times "a", from the same document. */
#define MILLION_SHA256 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void test_bytes(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        char hex[DIGEST_HEX_SIZE];

        assert_int_equal(digest_bytes(known[i].text, strlen(known[i].text), hex), 0);
        assert_string_equal(hex, known[i].sha256);
    }
}

static void test_pieces(void **state)
{
    char hex[DIGEST_HEX_SIZE], piece[997];
    _cleanup_(digest_freep) Digest *d = NULL;
    size_t left = 1000000;

    memset(piece, 'a', sizeof(piece));
    assert_int_equal(digest_new(&d, NULL), 0);
    while (left > 0) {
        size_t n = MIN(left, sizeof(piece));

        assert_int_equal(digest_update(d, piece, n), 0);
        left -= n;
    }
    assert_int_equal(digest_finish(d, hex), 0);
    assert_string_equal(hex, MILLION_SHA256);
    assert_null(digest_free(NULL));
}

static int a_million(void)
{
    _cleanup_free_ char *text = malloc(1000000);
    int fd = memfd_create("million", MFD_CLOEXEC);

    assert_non_null(text);
    memset(text, 'a', 1000000);
    assert_int_equal(fd_write_all(fd, text, 1000000), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void test_fd(void **state)
{
    _cleanup_fd_ int fd = a_million();
    char hex[DIGEST_HEX_SIZE];
    int64_t size = -1;

    assert_int_equal(digest_fd(fd, hex, &size, NULL), 0);
    assert_string_equal(hex, MILLION_SHA256);
    assert_int_equal(size, 1000000);
    /* From the current offset, which is the end now. */
    assert_int_equal(digest_fd(fd, hex, NULL, NULL), 0);
    assert_string_equal(hex, known[0].sha256);
}

static void test_fd_that_cannot_be_read(void **state)
{
    _cleanup_error_ Error err = {0};
    char hex[DIGEST_HEX_SIZE] = "untouched";
    int64_t size = -1;

    assert_int_equal(digest_fd(-1, hex, &size, &err), -EBADF);
    assert_non_null(strstr(error_text(&err), "cannot read"));
    assert_string_equal(hex, "untouched");
    assert_int_equal(size, -1);
}

/* RFC 1321 A.5, RFC 3174 7.3. */
static void test_other_kinds(void **state)
{
    static const struct {
        DigestKind kind;
        const char *hex;
    } rows[] = {
        {DIGEST_MD5, "900150983cd24fb0d6963f7d28e17f72"},
        {DIGEST_SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(digest_freep) Digest *d = NULL;
        char hex[DIGEST_HEX_SIZE];

        assert_int_equal(digest_new_kind(rows[i].kind, &d, NULL), 0);
        assert_int_equal(digest_update(d, "abc", 3), 0);
        assert_int_equal(digest_finish(d, hex), 0);
        assert_string_equal(hex, rows[i].hex);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_fd),
        cmocka_unit_test(test_fd_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
