/* SPDX-License-Identifier: MIT */
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/evidence/key.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* RFC 8032 section 7.1, test 2: the secret key as PKCS#8 (RFC 8410), the message is one byte 0x72.
 */
static const char vector_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
    "-----END PRIVATE KEY-----\n";
static const unsigned char vector_signature[] = {
    0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f, 0x64, 0x25, 0x40,
    0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda,
    0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c,
    0x38, 0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};

static char directory[] = "/tmp/slipway-test-key-XXXXXX";
static int dir_fd = -1;

static int set_up(void **state)
{
    assert_non_null(mkdtemp(directory));
    dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0;
}

static int tear_down(void **state)
{
    (void)fd_close(dir_fd);
    return file_remove_tree(AT_FDCWD, directory, NULL);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    assert_int_equal(file_replace(dir_fd, name, text, strlen(text), mode, NULL), 0);
    assert_int_equal(fchmodat(dir_fd, name, mode, 0), 0);
}

static void test_the_vector_of_rfc_8032(void **state)
{
    _cleanup_(key_freep) Key *key = NULL;
    unsigned char signature[KEY_SIGNATURE_SIZE];

    write_file("vector", vector_private, 0600);
    assert_int_equal(key_read_private(dir_fd, "vector", &key, NULL), 0);
    assert_int_equal(key_sign(key, "\x72", 1, signature, NULL), 0);
    assert_memory_equal(signature, vector_signature, KEY_SIGNATURE_SIZE);
    assert_true(key_verifies(key, "\x72", 1, signature, sizeof(signature)));
}

static void test_a_new_key_comes_back_from_its_files(void **state)
{
    _cleanup_(key_freep) Key *key = NULL, *again = NULL, *public = NULL;
    _cleanup_buffer_ Buffer pem = {0};
    unsigned char signature[KEY_SIGNATURE_SIZE];
    struct stat st;

    assert_int_equal(key_generate(&key, NULL), 0);
    assert_int_equal(key_write_private(key, dir_fd, "new", NULL), 0);
    assert_int_equal(fstatat(dir_fd, "new", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(key_read_private(dir_fd, "new", &again, NULL), 0);
    assert_string_equal(key_id(key), key_id(again));
    assert_int_equal(key_format_public(key, &pem, NULL), 0);
    assert_int_equal(key_parse_public(pem.data, pem.len, &public, NULL), 0);
    assert_string_equal(key_id(key), key_id(public));
    assert_int_equal(strlen(key_id(key)), KEY_ID_SIZE - 1);
    assert_true(key_is_private(again));
    assert_false(key_is_private(public));
    assert_int_equal(key_sign(again, "data", 4, signature, NULL), 0);
    assert_true(key_verifies(public, "data", 4, signature, sizeof(signature)));
    assert_false(key_verifies(public, "date", 4, signature, sizeof(signature)));
    assert_false(key_verifies(public, "data", 4, signature, sizeof(signature) - 1));
    signature[10] ^= 1;
    assert_false(key_verifies(public, "data", 4, signature, sizeof(signature)));
}

static void test_a_key_is_never_written_over(void **state)
{
    _cleanup_(key_freep) Key *key = NULL;
    _cleanup_error_ Error err = {0};

    write_file("there", "precious", 0600);
    assert_int_equal(key_generate(&key, NULL), 0);
    assert_int_equal(key_write_private(key, dir_fd, "there", &err), -EEXIST);
    assert_non_null(strstr(error_text(&err), "there"));
}

static void test_a_private_key_that_others_may_read_is_refused(void **state)
{
    _cleanup_(key_freep) Key *key = NULL;
    _cleanup_error_ Error err = {0};

    write_file("open", vector_private, 0640);
    assert_int_equal(key_read_private(dir_fd, "open", &key, &err), -EPERM);
    assert_non_null(strstr(error_text(&err), "chmod 600"));
}

static void test_what_is_no_ed25519_key_is_refused(void **state)
{
    static const char p256[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEbJg8fRkgRETpijsGqI2vmyZjafg\n"
                               "U/tRdId6LNflg+Cosr01Us9/Zg5S1tAXX2jKRN8oNQyPEp9AGr1R1M5sgA==\n"
                               "-----END PUBLIC KEY-----\n";
    static const struct {
        const char *text;
        const char *hint;
    } cases[] = {
        {p256, "Ed25519"}, {vector_private, "private"}, {"", "PEM"}, {"ssh-ed25519 AAAA", "PEM"}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(key_freep) Key *key = NULL;
        _cleanup_error_ Error err = {0};

        assert_int_equal(key_parse_public(cases[i].text, strlen(cases[i].text), &key, &err),
                         -EINVAL);
        assert_non_null(strstr(error_text(&err), cases[i].hint));
    }
}

static void test_random_is_not_twice_the_same(void **state)
{
    unsigned char a[16], b[16];

    assert_int_equal(key_random(a, sizeof(a), NULL), 0);
    assert_int_equal(key_random(b, sizeof(b), NULL), 0);
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_vector_of_rfc_8032),
        cmocka_unit_test(test_a_new_key_comes_back_from_its_files),
        cmocka_unit_test(test_a_key_is_never_written_over),
        cmocka_unit_test(test_a_private_key_that_others_may_read_is_refused),
        cmocka_unit_test(test_what_is_no_ed25519_key_is_refused),
        cmocka_unit_test(test_random_is_not_twice_the_same),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
