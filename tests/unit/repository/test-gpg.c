/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/gpg.h"

#include "tests/unit/repository/gpg-home.h"

#include <errno.h>

#define TEXT "Origin: x\n- dashes\n"

static void test_clearsign(void **state)
{
    _cleanup_buffer_ Buffer message = BUFFER_INIT(0), text = BUFFER_INIT(0),
                            detached = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};
    GpgHome home;

    gpg_home_make(&home, SCRATCH_PATH);
    assert_int_equal(buffer_append(&message, "", 0), 0);
    if (gpg_clearsign(&home.key, TEXT, strlen(TEXT), &message, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_memory_equal(message.data, "-----BEGIN PGP SIGNED MESSAGE-----\n", 35);
    assert_int_equal(gpg_open_clearsigned(&home.key, message.data, message.len, &text, NULL), 0);
    assert_string_equal(buffer_text(&text), TEXT);
    assert_int_equal(gpg_detach_sign(&home.key, TEXT, strlen(TEXT), &detached, NULL), 0);
    assert_memory_equal(detached.data, "-----BEGIN PGP SIGNATURE-----\n", 30);
    assert_int_equal(
        gpg_verify_detached(&home.key, TEXT, strlen(TEXT), detached.data, detached.len, NULL), 0);
    assert_int_equal(
        gpg_verify_detached(&home.key, TEXT, strlen(TEXT) - 1, detached.data, detached.len, &err),
        -EKEYREJECTED);
    assert_int_equal(gpg_verify_detached(&home.key, TEXT, strlen(TEXT), "", 0, &err),
                     -EKEYREJECTED);
    assert_false(file_exists(SCRATCH_FD, "gpg-signature"));
    assert_true(gpg_home_is_left_alone(&home)); /* it started one, and ended it */
    assert_false(file_exists(SCRATCH_FD, "gpg-input"));

    /* One letter of it changed, or nobody's signature under it at all. */
    strstr(message.data, "Origin")[0] = 'o';
    buffer_clear(&text);
    assert_int_equal(gpg_open_clearsigned(&home.key, message.data, message.len, &text, &err),
                     -EKEYREJECTED);
    assert_int_equal(text.len, 0);
    assert_int_equal(gpg_open_clearsigned(&home.key, TEXT, strlen(TEXT), &text, &err),
                     -EKEYREJECTED);
    assert_non_null(strstr(error_text(&err), "its signature is not of our keyring: gpg: "));
}

/* An agent that was there before is somebody's: it stays. */
static void test_agent_of_others(void **state)
{
    _cleanup_buffer_ Buffer message = BUFFER_INIT(0);
    GpgHome home;

    gpg_home_make(&home, SCRATCH_PATH);
    gpg_home_run(&home, "gpg-connect-agent /bye");
    assert_int_equal(gpg_clearsign(&home.key, TEXT, strlen(TEXT), &message, NULL), 0);
    assert_true(gpg_home_has_agent(&home));
    gpg_home_run(&home, "gpgconf --kill gpg-agent");
}

static void test_keys(void **state)
{
    _cleanup_buffer_ Buffer key = BUFFER_INIT(0), message = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};
    GpgHome home;

    gpg_home_make(&home, SCRATCH_PATH);
    assert_int_equal(gpg_export(&home.key, &key, NULL), 0);
    assert_memory_equal(key.data, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", 37);
    home.key.key = "nobody@example.org";
    assert_int_equal(gpg_export(&home.key, &key, &err), -ENOKEY);
    assert_int_equal(gpg_clearsign(&home.key, "x", 1, &message, &err), -EKEYREJECTED);
    assert_non_null(strstr(error_text(&err), "gpg cannot sign: gpg: "));
    assert_int_equal(message.len, 0);
    home.key.work_directory = "/nonexistent";
    assert_int_equal(gpg_clearsign(&home.key, "x", 1, &message, &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_clearsign),
        scratch_test(test_agent_of_others),
        scratch_test(test_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
