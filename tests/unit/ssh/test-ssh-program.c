/* SPDX-License-Identifier: MIT */
/* A program ssh that the test writes: what it is told, and what is made of what it says. */
#include "protocol/ssh/ssh-exec.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/scratch.h"
#include "tests/unit/ssh/sshd.h"

#include <errno.h>
#include <signal.h>

static SshSession *open_by(void **state, const char *script, const SshAddress *address)
{
    SshOptions options = {.way = SSH_WAY_PROGRAM};
    _cleanup_error_ Error err = {0};
    SshSession *session = NULL;
    char path[512], config[128];

    scratch_write(SCRATCH_FD, "bin/ssh", script, strlen(script), 0755);
    scratch_write_text(SCRATCH_FD, "config", "ConnectTimeout 7\n");
    (void)snprintf(config, sizeof(config), "%s/config", SCRATCH_PATH);
    options.config_path = config;
    (void)snprintf(path, sizeof(path), "%s/bin:/usr/bin:/bin", SCRATCH_PATH);
    (void)setenv("PATH", path, 1);
    if (ssh_session_open(address, &options, &session, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return session;
}

static void test_what_it_is_told(void **state)
{
    SshAddress address = {.host = (char *)"web", .user = (char *)"me", .port = 22};
    _cleanup_(ssh_session_freep) SshSession *session =
        open_by(state, "#!/bin/sh\nfor word; do echo \"<$word>\"; done\n", &address);
    _cleanup_buffer_ Buffer out = {0};
    _cleanup_error_ Error err = {0};
    char config[160];

    assert_int_equal(ssh_exec_check(session, "a command; of 'two'", NULL, 60000, &out, &err), 0);
    (void)snprintf(config, sizeof(config), "<-F%s/config>", SCRATCH_PATH);
    expect_words(buffer_text(&out), "<-oStrictHostKeyChecking=yes>\n");
    expect_words(buffer_text(&out), "<-oBatchMode=yes>\n");
    expect_words(buffer_text(&out), "<-oConnectTimeout=7>\n");
    expect_words(buffer_text(&out), config);
    expect_words(buffer_text(&out), "<-p22>\n<-lme>\n<-->\n<web>\n<a command; of 'two'>\n");
    assert_string_equal(ssh_session_get_name(session), "me@web");
}

static void test_what_it_says(void **state)
{
    static const struct {
        const char *says;
        int code;
    } rows[] = {
        {"ssh: Could not resolve hostname web: Name or service not known", SSH_NAME_NOT_FOUND},
        {"ssh: connect to host web port 22: Connection refused", SSH_REFUSED},
        {"ssh: connect to host web port 22: Connection timed out", SSH_TIMED_OUT},
        {"@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
         SSH_HOST_CHANGED},
        {"No ED25519 host key is known for web.\nHost key verification failed.", SSH_HOST_UNKNOWN},
        {"me@web: Permission denied (publickey).", SSH_NO_KEY_ACCEPTED},
        {"Connection to web closed by remote host.", SSH_BROKEN},
        {"", SSH_BROKEN},
    };
    SshAddress address = {.host = (char *)"web"};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(ssh_session_freep) SshSession *session = NULL;
        _cleanup_error_ Error err = {0};
        SshStatus status;
        char script[512];
        int r;

        (void)snprintf(script, sizeof(script), "#!/bin/sh\necho '%s' >&2\nexit 255\n",
                       rows[i].says);
        session = open_by(state, script, &address);
        r = ssh_exec_capture(session, "true", NULL, 60000, NULL, NULL, &status, &err);
        if (r != rows[i].code || !strstr(error_text(&err), rows[i].says)) {
            fail_msg("'%s': %d: %s", rows[i].says, r, error_text(&err));
        }
        expect_words(error_text(&err), "libssh2 cannot: asked for");
    }
}

static void test_it_is_killed_or_missing(void **state)
{
    SshAddress address = {.host = (char *)"web"};
    _cleanup_(ssh_session_freep) SshSession *session =
        open_by(state, "#!/bin/sh\nkill -KILL $$\n", &address);
    _cleanup_error_ Error err = {0};
    SshStatus status;

    assert_int_equal(ssh_exec_capture(session, "true", NULL, 60000, NULL, NULL, &status, &err),
                     SSH_BROKEN);
    expect_words(error_text(&err), "ended by signal 9");
    (void)setenv("PATH", "/nowhere", 1);
    assert_int_equal(ssh_exec_capture(session, "true", NULL, 60000, NULL, NULL, &status, &err),
                     -ENOENT);
    expect_words(error_text(&err), "starting the program ssh");
}

/* Whoever gives up does not wait for a program that does not end by itself. */
static void test_giving_up(void **state)
{
    SshAddress address = {.host = (char *)"web"};
    _cleanup_(ssh_session_freep) SshSession *session =
        open_by(state, "#!/bin/sh\nexec sleep 600\n", &address);
    _cleanup_error_ Error err = {0};
    SshStatus status;

    assert_int_equal(ssh_exec_capture(session, "true", NULL, 50, NULL, NULL, &status, &err),
                     SSH_TIMED_OUT);
}

static int setup(void **state)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return scratch_setup(state);
}
#define program_test(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        program_test(test_what_it_is_told),
        program_test(test_what_it_says),
        program_test(test_it_is_killed_or_missing),
        program_test(test_giving_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
