/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/credential.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static void base64_of_user_and_password(void **state)
{
    static const struct {
        const char *text, *user, *password;
    } cases[] = {
        {"dXNlcjpwYXNzd29yZA==", "user", "password"},
        {"dTpwOnE=", "u", "p:q"},
        {"dTpwAAA=", "u", "p"}, /* docker pads with NUL */
        {"dTo=", "u", ""},
        {"dXNlcg==", NULL, NULL},
        {"dTpwCg==", NULL, NULL},
        {"not base64", NULL, NULL},
        {"", NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_credential_ Credential credential = {0};
        _cleanup_buffer_ Buffer basic = BUFFER_INIT(0);

        assert_int_equal(credential_from_base64(cases[i].text, &credential),
                         cases[i].user ? 0 : -EINVAL);
        if (cases[i].user) {
            assert_string_equal(credential.user, cases[i].user);
            assert_string_equal(credential.password, cases[i].password);
            assert_int_equal(credential_append_basic(&credential, &basic), 0);
            assert_memory_equal(buffer_text(&basic), "Basic ", 6);
        }
    }
}

/* A helper of this content, in PATH, asked for "registry.example". */
static int ask(void **state, const char *script, Credential *ret, Error *err)
{
    _cleanup_free_ char *path = NULL, *text = NULL;

    assert_true(asprintf(&path, "%s:/usr/bin:/bin", SCRATCH_PATH) > 0);
    assert_true(asprintf(&text, "#!/bin/sh\n%s\n", script) > 0);
    scratch_write(SCRATCH_FD, "docker-credential-test", text, strlen(text), 0755);
    assert_int_equal(setenv("PATH", path, 1), 0);
    return credential_from_helper("test", "registry.example", ret, err);
}

static void a_helper_is_asked(void **state)
{
    _cleanup_credential_ Credential credential = {0}, token = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(ask(state,
                         "[ \"$1\" = get ] && [ \"$(cat)\" = registry.example ] || exit 9\n"
                         "echo '{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"s3cret\"}'",
                         &credential, &err),
                     1);
    assert_string_equal(credential.user, "me");
    assert_string_equal(credential.password, "s3cret");
    assert_int_equal(
        ask(state, "echo '{\"Username\":\"<token>\",\"Secret\":\"identity\"}'", &token, &err), 1);
    assert_null(token.user);
    assert_string_equal(token.identity_token, "identity");
}

static void helpers_that_fail(void **state)
{
    static const struct {
        const char *script, *said;
        int result;
    } cases[] = {
        {"echo 'credentials not found in native keychain'; exit 1", NULL, 0},
        {"echo 'the key ring is locked'; exit 1", "the key ring is locked", -EIO},
        {"kill -9 $$", "signal 9", -EIO},
        {"echo '{\"Username\":\"me\",\"Secret\":\"s3cret\"'", "not JSON", -EBADMSG},
        {"echo '{\"Username\":\"me\"}'", "no Secret", -EBADMSG},
        {"echo '{\"Secret\":\"s3cret\"}'", "no Username", -EBADMSG},
        {"head -c 300000 /dev/zero", "bytes that it may", -ENOBUFS},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_credential_ Credential credential = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(ask(state, cases[i].script, &credential, &err), cases[i].result);
        assert_true(!cases[i].said || strstr(error_text(&err), cases[i].said));
        assert_null(strstr(error_text(&err), "s3cret"));
    }
}

static void helpers_that_are_none(void **state)
{
    _cleanup_credential_ Credential credential = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(credential_from_helper("../../bin/sh", "h", &credential, &err), -EINVAL);
    assert_int_equal(credential_from_helper("slipway-nonexistent", "h", &credential, &err),
                     -ENOENT);
    assert_non_null(strstr(error_text(&err), "docker-credential-slipway-nonexistent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_of_user_and_password),
        scratch_test(a_helper_is_asked),
        scratch_test(helpers_that_fail),
        cmocka_unit_test(helpers_that_are_none),
    };

    return cmocka_run_group_tests_name("credential", tests, NULL, NULL);
}
