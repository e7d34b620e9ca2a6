/* SPDX-License-Identifier: MIT */
/* What gpg and rpm think of it is in tests/integration/test-rpm.py. */
#include "agent/package/rpm/rpm-sign.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

static void test_tags(void **state)
{
    static const struct {
        unsigned char packet[10];
        size_t n;
        RpmTag tag;
    } rows[] = {
        {{0x89, 0, 5, 4, 0, 1, 8, 0}, 8, RPM_SIGNATURE_RSA},     /* old, two bytes of length */
        {{0x88, 5, 4, 0, 22, 8, 0}, 7, RPM_SIGNATURE_DSA},       /* old, one byte; EdDSA */
        {{0x8a, 0, 0, 0, 5, 4, 0, 17, 8}, 9, RPM_SIGNATURE_DSA}, /* old, four bytes; DSA */
        {{0xc2, 5, 4, 0, 1, 8, 0}, 7, RPM_SIGNATURE_RSA},        /* new, one byte */
        {{0xc2, 192, 5, 4, 0, 19, 8}, 7, RPM_SIGNATURE_DSA},     /* new, two bytes; ECDSA */
        {{0xc2, 255, 0, 0, 0, 5, 4, 0, 1, 8}, 10, RPM_SIGNATURE_RSA},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        RpmTag tag;

        assert_int_equal(rpm_sign_find_tag(rows[i].packet, rows[i].n, &tag, NULL), 0);
        assert_int_equal(tag, rows[i].tag);
    }
}

static void test_no_signature(void **state)
{
    static const struct {
        unsigned char packet[8];
        size_t n;
    } rows[] = {
        {{0}, 0},
        {{0x89}, 1},
        {{0x89, 0, 5}, 3},
        {{0x89, 0, 5, 4, 0}, 5},
        {{0x09, 0, 5, 4, 0, 1, 8}, 7}, /* no packet */
        {{0x99, 0, 5, 4, 0, 1, 8}, 7}, /* a public key */
        {{0x89, 0, 5, 3, 0, 1, 8}, 7}, /* version 3 */
        {{0x8b, 4, 0, 1, 8, 0}, 6},    /* of no length that is told */
        {{0xc2, 224, 4, 0, 1, 8}, 6},  /* in parts */
        {{0xc6, 5, 4, 0, 1, 8}, 6},    /* new, a public key */
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        RpmTag tag = 0;

        assert_int_equal(rpm_sign_find_tag(rows[i].packet, rows[i].n, &tag, &err), -EBADMSG);
        assert_int_equal(tag, 0);
    }
}

static void test_armor(void **state)
{
    static const char begin[] = "-----BEGIN PGP SIGNATURE-----\n";
    _cleanup_buffer_ Buffer out = {0};

    assert_int_equal(rpm_sign_open_armor("-----BEGIN PGP SIGNATURE-----\nVersion: x\n\nYWJj\nZGVm\n"
                                         "=abcd\n-----END PGP SIGNATURE-----\n",
                                         &out, NULL),
                     0);
    assert_string_equal(buffer_text(&out), "abcdef");
    buffer_clear(&out);
    assert_int_equal(
        rpm_sign_open_armor("-----BEGIN PGP SIGNATURE-----\n\nYWI=\n-----END PGP SIGNATURE-----",
                            &out, NULL),
        0);
    assert_string_equal(buffer_text(&out), "ab");
    buffer_clear(&out);
    assert_int_equal(rpm_sign_open_armor("", &out, NULL), -EBADMSG);
    assert_int_equal(rpm_sign_open_armor(begin, &out, NULL), -EBADMSG);
    assert_int_equal(rpm_sign_open_armor("-----BEGIN PGP SIGNATURE-----\n\n*\n", &out, NULL),
                     -EBADMSG);
    assert_int_equal(rpm_sign_open_armor("-----BEGIN PGP MESSAGE-----\n\nYWJj\n", &out, NULL),
                     -EBADMSG);
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_no_signature),
        cmocka_unit_test(test_armor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
