/* SPDX-License-Identifier: MIT */
/* The choice between libssh2 and the program ssh, against a real sshd. */
#include "protocol/ssh/ssh-exec.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/ssh/sshd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void expect_way(const Sshd *s, const char *lines, bool is_program)
{
    _cleanup_(ssh_session_freep) SshSession *session = NULL;
    _cleanup_buffer_ Buffer out = {0};
    _cleanup_error_ Error err = {0};

    sshd_configure(s, lines);
    session = sshd_connect(s, SSH_WAY_ANY);
    if (ssh_session_is_program(session) != is_program) {
        fail_msg("'%s': not this way", lines);
    }
    if (ssh_exec_check(session, "echo there", NULL, 60000, &out, &err) < 0) {
        fail_msg("'%s': %s", lines, error_text(&err));
    }
    assert_string_equal(buffer_text(&out), "there\n");
}

static void test_libssh2_where_it_can(void **state)
{
    expect_way(*state, "IdentityFile @/id_ed25519", false);
}

static void test_a_proxy_needs_the_program(void **state)
{
    const Sshd *s = *state;
    char lines[256];

    (void)snprintf(lines, sizeof(lines),
                   "IdentityFile @/id_ed25519\nHostKeyAlias [127.0.0.1]:%u\n"
                   "ProxyCommand socat - TCP:%%h:%%p",
                   s->port);
    expect_way(s, lines, true);
}

/* Only an authority is known, whose signature libssh2 does not ask for. */
static void test_a_certificate_of_the_host_needs_the_program(void **state)
{
    const Sshd *s = *state;
    _cleanup_free_ char *key = sshd_read(s, "id_stranger.pub");
    char text[512];

    (void)snprintf(text, sizeof(text), "@cert-authority * %s", key);
    sshd_write(s, "authority", text);
    sshd_configure(s, "IdentityFile @/id_ed25519\nUserKnownHostsFile @/authority");
    {
        _cleanup_(ssh_session_freep) SshSession *session = sshd_connect(s, SSH_WAY_ANY);
        _cleanup_error_ Error err = {0};
        SshStatus status;

        assert_true(ssh_session_is_program(session));
        /* This sshd has no certificate: the program does not believe it either. */
        assert_int_equal(ssh_exec_capture(session, "true", NULL, 60000, NULL, NULL, &status, &err),
                         SSH_HOST_UNKNOWN);
        expect_words(error_text(&err), "known by an authority");
    }
}

static void test_a_passphrase_needs_the_program(void **state)
{
    const Sshd *s = *state;
    _cleanup_(ssh_session_freep) SshSession *session = NULL;
    _cleanup_error_ Error err = {0};
    SshStatus status;

    sshd_configure(s, "IdentityFile @/id_secret");
    session = sshd_connect(s, SSH_WAY_ANY);
    assert_true(ssh_session_is_program(session));
    /* Nobody is here to be asked for it: both reasons are told. */
    assert_int_equal(ssh_exec_capture(session, "true", NULL, 60000, NULL, NULL, &status, &err),
                     SSH_NO_KEY_ACCEPTED);
    expect_words(error_text(&err), "Permission denied");
    expect_words(error_text(&err), "give it to ssh-agent with ssh-add");
}

/* What no other way would mend is not tried another way. */
static void test_refusals_stay(void **state)
{
    const Sshd *s = *state;

    sshd_configure(s, "IdentityFile @/id_ed25519\nUserKnownHostsFile @/nothing");
    sshd_expect(s, NULL, SSH_WAY_ANY, SSH_HOST_UNKNOWN, "is in no known_hosts", NULL);
    sshd_configure(s, "IdentityFile @/id_stranger");
    sshd_expect(s, NULL, SSH_WAY_ANY, SSH_NO_KEY_ACCEPTED, "accepts no key of ours", NULL);
    sshd_configure(s, "Port nonsense");
    sshd_expect(s, NULL, SSH_WAY_ANY, -EINVAL, "line 1", NULL);
}

static void test_which_codes_are_final(void **state)
{
    static const int final[] = {SSH_HOST_UNKNOWN, SSH_HOST_CHANGED, SSH_NO_KEY_ACCEPTED, -EINVAL};
    static const int passing[] = {SSH_NAME_NOT_FOUND, SSH_REFUSED, SSH_TIMED_OUT, SSH_BROKEN,
                                  -EHOSTUNREACH};

    for (size_t i = 0; i < ARRAY_SIZE(final); i++) {
        assert_true(ssh_code_is_final(final[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(passing); i++) {
        assert_false(ssh_code_is_final(passing[i]));
    }
    assert_null(ssh_session_free(NULL));
    assert_null(ssh_channel_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libssh2_where_it_can),
        cmocka_unit_test(test_a_proxy_needs_the_program),
        cmocka_unit_test(test_a_certificate_of_the_host_needs_the_program),
        cmocka_unit_test(test_a_passphrase_needs_the_program),
        cmocka_unit_test(test_refusals_stay),
        cmocka_unit_test(test_which_codes_are_final),
    };

    return cmocka_run_group_tests(tests, sshd_setup, sshd_teardown);
}
