/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/key-file.h"

#include "protocol/base/text.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define ED_PUBLIC "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGRSXXWdCvgybm8zTS0aNa6SOiulFvfIBet9Mwk0qvS6"
#define PEM(label, head) "-----BEGIN " label "-----\n" head "AAAA\n-----END " label "-----\n"

static void put_string(Buffer *b, const char *data, size_t n)
{
    const unsigned char length[] = {0, 0, (unsigned char)(n >> 8), (unsigned char)n};

    assert_int_equal(buffer_append(b, length, 4), 0);
    assert_int_equal(buffer_append(b, data, n), 0);
}

/* The clear part of a key as ssh-keygen writes it; the caller's. */
static char *make_key(const char *cipher, const char *type, size_t cut)
{
    _cleanup_buffer_ Buffer inside = {0}, blob = {0}, base64 = {0}, text = {0};

    put_string(&blob, type, strlen(type));
    put_string(&blob, "0123456789abcdef", 16);
    assert_int_equal(buffer_append(&inside, "openssh-key-v1", 15), 0);
    put_string(&inside, cipher, strlen(cipher));
    put_string(&inside, "none", 4);
    put_string(&inside, "", 0);
    assert_int_equal(buffer_append(&inside, "\0\0\0\1", 4), 0);
    put_string(&inside, blob.data, blob.len);
    put_string(&inside, "what is inside", 14);
    buffer_truncate(&inside, inside.len - cut);
    assert_int_equal(text_append_base64(&base64, inside.data, inside.len), 0);
    assert_int_equal(buffer_append_text(&text, "-----BEGIN OPENSSH PRIVATE KEY-----\n"), 0);
    for (size_t i = 0; i < base64.len; i += 70) {
        assert_int_equal(buffer_append(&text, base64.data + i, MIN((size_t)70, base64.len - i)), 0);
        assert_int_equal(buffer_append_text(&text, "\n"), 0);
    }
    assert_int_equal(buffer_append_text(&text, "-----END OPENSSH PRIVATE KEY-----\n"), 0);
    return buffer_take_text(&text);
}

static void test_openssh(void **state)
{
    static const struct {
        const char *cipher;
        const char *type;
        bool is_encrypted;
    } rows[] = {
        {"none", "ssh-ed25519", false},
        {"aes256-ctr", "ssh-ed25519", true},
        {"none", "ssh-rsa", false},
        {"none", "sk-ssh-ed25519@openssh.com", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_free_ char *text = make_key(rows[i].cipher, rows[i].type, 0);
        _cleanup_key_file_ KeyFile key = {0};

        assert_int_equal(key_file_parse(text, strlen(text), &key, NULL), 0);
        assert_string_equal(key.type, rows[i].type);
        assert_int_equal(key.is_encrypted, rows[i].is_encrypted);
        assert_false(key.is_public);
        assert_int_equal(key.blob.len, 4 + strlen(rows[i].type) + 4 + 16);
    }
}

static void test_cut_at_every_byte(void **state)
{
    for (size_t cut = 18 + 1; cut < 100; cut++) { /* the encrypted rest is not looked at */
        _cleanup_free_ char *text = make_key("none", "ssh-ed25519", cut);
        _cleanup_error_ Error err = {0};
        KeyFile key = {0};

        if (strlen(text) < 90) {
            break;
        }
        assert_int_equal(key_file_parse(text, strlen(text), &key, &err), -EINVAL);
    }
}

static void test_pem_and_public(void **state)
{
    static const struct {
        const char *text;
        const char *type;
        bool is_encrypted, is_public;
    } rows[] = {
        {PEM("RSA PRIVATE KEY", ""), "ssh-rsa", false, false},
        {PEM("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n"), "ssh-rsa", true, false},
        {PEM("EC PRIVATE KEY", ""), "", false, false},
        {PEM("PRIVATE KEY", ""), "", false, false},
        {PEM("ENCRYPTED PRIVATE KEY", ""), "", true, false},
        {"  " ED_PUBLIC " me@here\n", "ssh-ed25519", false, true},
        {ED_PUBLIC, "ssh-ed25519", false, true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_key_file_ KeyFile key = {0};

        assert_int_equal(key_file_parse(rows[i].text, strlen(rows[i].text), &key, NULL), 0);
        if (strcmp(key.type, rows[i].type) != 0 || key.is_encrypted != rows[i].is_encrypted ||
            key.is_public != rows[i].is_public) {
            fail_msg("row %zu: %s %d %d", i, key.type, key.is_encrypted, key.is_public);
        }
    }
}

static void test_what_is_no_key(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } rows[] = {
        {"", "neither a private nor a public key"},
        {"hello world", "neither a private nor a public key"},
        {"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGRSXXWdCvgybm8zTS0aNa6SOiulFvfIBet9Mwk0qvS6",
         "neither a private nor a public key"},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\n", "no private key"},
        {PEM("CERTIFICATE", ""), "no private key"},
        {PEM("OPENSSH PRIVATE KEY", ""), "does not begin as"},
        {PEM("OPENSSH PRIVATE KEY", "!"), "not base64"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        KeyFile key = {0};

        assert_int_equal(key_file_parse(rows[i].text, strlen(rows[i].text), &key, &err), -EINVAL);
        if (!strstr(error_text(&err), rows[i].words)) {
            fail_msg("row %zu: %s", i, error_text(&err));
        }
    }
}

static void test_the_public_file_beside_says_the_type(void **state)
{
    _cleanup_key_file_ KeyFile key = {0};
    _cleanup_error_ Error err = {0};
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/id", SCRATCH_PATH);
    scratch_write_text(SCRATCH_FD, "id", PEM("PRIVATE KEY", ""));
    assert_int_equal(key_file_read(path, &key, NULL), 0);
    assert_string_equal(key.type, "");
    key_file_done(&key);
    scratch_write_text(SCRATCH_FD, "id.pub", ED_PUBLIC "\n");
    assert_int_equal(key_file_read(path, &key, NULL), 0);
    assert_string_equal(key.type, "ssh-ed25519");
    assert_int_equal(key.blob.len, 51);
    assert_false(key.is_public);
    assert_int_equal(key_file_read("/nowhere/id", &(KeyFile){0}, &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openssh),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_pem_and_public),
        cmocka_unit_test(test_what_is_no_key),
        scratch_test(test_the_public_file_beside_says_the_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
