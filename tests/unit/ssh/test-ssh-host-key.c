/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-host-key.h"

#include "protocol/base/text.h"
#include "protocol/ssh/ssh-session.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define ED "AAAAC3NzaC1lZDI1NTE5AAAAIGRSXXWdCvgybm8zTS0aNa6SOiulFvfIBet9Mwk0qvS6"
#define ED_OTHER "AAAAC3NzaC1lZDI1NTE5AAAAIP7xVTdDW69QxdBMU6oywxstESXktP1VjwIzQH625auR"
#define FINGERPRINT "SHA256:g910c7D2h6gVGS8Gqv6oV8McIaEYb5bO+PfCqd1oEgI"

static const char *const algorithms[] = {"ecdsa-sha2-nistp256", "ssh-ed25519", "ssh-rsa"};
static const char *const newer[] = {"ecdsa-sha2-nistp256", "ssh-ed25519", "rsa-sha2-512",
                                    "rsa-sha2-256", "ssh-rsa"};

/* A configuration whose user's file is these lines. */
static SshConfig configure(void **state, const char *text)
{
    SshConfig c = {
        .host_name = (char *)"web",
        .port = 2222,
        .known_hosts = {.n = 1},
        .system_known_hosts = {.n = 1},
    };

    scratch_write_text(SCRATCH_FD, "known_hosts", text);
    scratch_write_text(SCRATCH_FD, "empty", "");
    assert_true(asprintf(&c.known_hosts.items[0], "%s/known_hosts", SCRATCH_PATH) > 0);
    assert_true(asprintf(&c.system_known_hosts.items[0], "%s/empty", SCRATCH_PATH) > 0);
    return c;
}

static void forget(SshConfig *c)
{
    free(c->known_hosts.items[0]);
    free(c->system_known_hosts.items[0]);
}

static void expect_preference(void **state, const char *known, const char *const *offered, size_t n,
                              const char *expected, bool is_out_of_reach)
{
    SshConfig c = configure(state, known);
    SshHostKeyPreference preference;

    assert_int_equal(ssh_host_key_prefer(&c, offered, n, &preference, NULL), 0);
    assert_string_equal(preference.algorithms, expected);
    assert_int_equal(preference.is_out_of_reach, is_out_of_reach);
    free(preference.algorithms);
    forget(&c);
}

static void test_what_is_known_is_asked_for_first(void **state)
{
    expect_preference(state, "", algorithms, 3, "ecdsa-sha2-nistp256,ssh-ed25519,ssh-rsa", false);
    expect_preference(state, "[web]:2222 ssh-ed25519 " ED "\n", algorithms, 3,
                      "ssh-ed25519,ecdsa-sha2-nistp256,ssh-rsa", false);
    /* Without SHA-2 a key of RSA is of no use. */
    expect_preference(state, "[web]:2222 ssh-rsa AAAA\n", algorithms, 3,
                      "ssh-rsa,ecdsa-sha2-nistp256,ssh-ed25519", true);
    expect_preference(state, "[web]:2222 ssh-rsa AAAA\n", newer, 5,
                      "rsa-sha2-512,rsa-sha2-256,ssh-rsa,ecdsa-sha2-nistp256,ssh-ed25519", false);
    expect_preference(state, "[web]:2222 ssh-rsa AAAA\n[web]:2222 ssh-ed25519 " ED "\n", algorithms,
                      3, "ssh-ed25519,ssh-rsa,ecdsa-sha2-nistp256", false);
}

static void expect_answer(void **state, const char *known, int code, const char *words)
{
    SshConfig c = configure(state, known);
    _cleanup_buffer_ Buffer key = {0};
    _cleanup_error_ Error err = {0};
    int r;

    assert_int_equal(text_decode_base64(&key, ED, strlen(ED)), 0);
    r = ssh_host_key_check(&c, key.data, key.len, &err);
    if (r != code || !strstr(error_text(&err), words)) {
        fail_msg("%d: %s", r, error_text(&err));
    }
    forget(&c);
}

static void test_answers(void **state)
{
    expect_answer(state, "[web]:2222 ssh-ed25519 " ED "\n", 0, "");
    expect_answer(state, "[web]:2222 ecdsa-sha2-nistp256 AAAA\n", 1, "");
    expect_answer(state, "@cert-authority * ssh-ed25519 " ED "\n", 1, "");
    expect_answer(state, "web ssh-ed25519 " ED "\n", SSH_HOST_UNKNOWN, FINGERPRINT);
}

static void test_an_unknown_host_is_told_how_to_be_known(void **state)
{
    char words[256];

    (void)snprintf(words, sizeof(words), "ssh-keyscan -t ed25519 -p 2222 web >> %s/known_hosts",
                   SCRATCH_PATH);
    expect_answer(state, "", SSH_HOST_UNKNOWN, words);
}

static void test_a_changed_key_is_told_how_to_be_forgotten(void **state)
{
    static const char known[] = "\n[web]:2222 ssh-ed25519 " ED_OTHER "\n";
    char words[256];

    (void)snprintf(words, sizeof(words), "%s/known_hosts:2 has another", SCRATCH_PATH);
    expect_answer(state, known, SSH_HOST_CHANGED, words);
    (void)snprintf(words, sizeof(words), "ssh-keygen -f %s/known_hosts -R '[web]:2222'",
                   SCRATCH_PATH);
    expect_answer(state, known, SSH_HOST_CHANGED, words);
    expect_answer(state, known, SSH_HOST_CHANGED, FINGERPRINT);
}

static void test_a_revoked_key_is_refused(void **state)
{
    expect_answer(state, "@revoked * ssh-ed25519 " ED "\n[web]:2222 ssh-ed25519 " ED "\n",
                  SSH_HOST_CHANGED, "was revoked by");
}

static void test_an_alias_has_no_port(void **state)
{
    SshConfig c = configure(state, "the-web ssh-ed25519 " ED "\n");
    _cleanup_buffer_ Buffer key = {0};

    c.host_key_alias = (char *)"the-web";
    assert_int_equal(text_decode_base64(&key, ED, strlen(ED)), 0);
    assert_int_equal(ssh_host_key_check(&c, key.data, key.len, NULL), 0);
    forget(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_what_is_known_is_asked_for_first),
        scratch_test(test_answers),
        scratch_test(test_an_unknown_host_is_told_how_to_be_known),
        scratch_test(test_a_changed_key_is_told_how_to_be_forgotten),
        scratch_test(test_a_revoked_key_is_refused),
        scratch_test(test_an_alias_has_no_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
