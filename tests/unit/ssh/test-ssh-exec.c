/* SPDX-License-Identifier: MIT */
/* Against a real sshd; each case by libssh2 and by the program ssh. */
#include "protocol/ssh/ssh-exec.h"

#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/ssh/sshd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIMEOUT_MS 60000

typedef void (*Case)(const Sshd *s, SshSession *session);

static void by_both(void **state, Case run)
{
    static const int ways[] = {SSH_WAY_LIBRARY, SSH_WAY_PROGRAM};
    const Sshd *s = *state;

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        _cleanup_(ssh_session_freep) SshSession *session = sshd_connect(s, ways[i]);

        assert_int_equal(ssh_session_is_program(session), ways[i] == SSH_WAY_PROGRAM);
        run(s, session);
    }
}

static SshStatus capture(SshSession *session, const char *command, const char *input, Buffer *out,
                         Buffer *errors)
{
    _cleanup_error_ Error err = {0};
    SshStatus status;

    if (ssh_exec_capture(session, command, input, TIMEOUT_MS, out, errors, &status, &err) < 0) {
        fail_msg("%s: %s", command, error_text(&err));
    }
    return status;
}

static void streams(const Sshd *s, SshSession *session)
{
    _cleanup_buffer_ Buffer out = {0}, errors = {0};
    SshStatus status = capture(session, "cat; echo wrong >&2; exit 7", "one\ntwo\n", &out, &errors);

    assert_string_equal(buffer_text(&out), "one\ntwo\n");
    assert_string_equal(buffer_text(&errors), "wrong\n");
    assert_int_equal(status.exit_code, 7);
    assert_false(status.is_signalled);
}

static void test_streams_and_status(void **state)
{
    by_both(state, streams);
}

/* libssh2 calls the exit status of such a command 0. */
static void test_a_signal_is_no_success(void **state)
{
    _cleanup_(ssh_session_freep) SshSession *session = sshd_connect(*state, SSH_WAY_LIBRARY);
    _cleanup_error_ Error err = {0};
    SshStatus status = capture(session, "kill -KILL $$", NULL, NULL, NULL);

    assert_true(status.is_signalled);
    assert_string_equal(status.signal, "KILL");
    assert_int_equal(ssh_exec_check(session, "kill -TERM $$", NULL, TIMEOUT_MS, NULL, &err),
                     -EREMOTEIO);
    expect_words(error_text(&err), "was ended by SIGTERM");
}

static void checked(const Sshd *s, SshSession *session)
{
    _cleanup_buffer_ Buffer out = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(ssh_exec_check(session, "echo fine", NULL, TIMEOUT_MS, &out, &err), 0);
    assert_string_equal(buffer_text(&out), "fine\n");
    assert_int_equal(
        ssh_exec_check(session, "echo 'no room' >&2; exit 3", NULL, TIMEOUT_MS, NULL, &err),
        -EREMOTEIO);
    expect_words(error_text(&err), "ended with exit status 3: no room");
}

static void test_what_must_succeed(void **state)
{
    by_both(state, checked);
}

/* Input that is not read must not hang the command, nor output that is not wanted. */
static void unread(const Sshd *s, SshSession *session)
{
    _cleanup_free_ char *much = malloc(3000001);
    SshStatus status;

    assert_non_null(much);
    memset(much, 'x', 3000000);
    much[3000000] = '\0';
    status = capture(session, "exec <&-; head -c 3000000 /dev/zero; exit 5", much, NULL, NULL);
    assert_int_equal(status.exit_code, 5);
}

static void test_input_that_nobody_reads(void **state)
{
    by_both(state, unread);
}

/* More than every window on the way, in both directions at once. */
static void echoed(const Sshd *s, SshSession *session)
{
    _cleanup_free_ char *much = malloc(6000001);
    _cleanup_buffer_ Buffer out = {0};

    assert_non_null(much);
    for (size_t i = 0; i < 6000000; i++) {
        much[i] = (char)('a' + i % 7 + i / 1000 % 13);
    }
    much[6000000] = '\0';
    assert_int_equal(capture(session, "cat", much, &out, NULL).exit_code, 0);
    assert_int_equal(out.len, 6000000);
    assert_memory_equal(out.data, much, 6000000);
}

static void test_much_there_and_back(void **state)
{
    by_both(state, echoed);
}

static void limited(const Sshd *s, SshSession *session)
{
    _cleanup_buffer_ Buffer out = BUFFER_INIT(1000);
    _cleanup_error_ Error err = {0};
    SshStatus status;

    assert_int_equal(ssh_exec_capture(session, "head -c 5000 /dev/zero", NULL, TIMEOUT_MS, &out,
                                      NULL, &status, &err),
                     -ENOBUFS);
    error_done(&err);
    assert_int_equal(ssh_exec_capture(session, "yes", NULL, 200, NULL, NULL, &status, &err),
                     SSH_TIMED_OUT);
    expect_words(error_text(&err), "took more than");
}

static void test_limits(void **state)
{
    by_both(state, limited);
}

static void quoted(const Sshd *s, SshSession *session)
{
    static const char word[] = "it's $HOME; `id` \"two\"\n\\ *";
    _cleanup_buffer_ Buffer command = {0}, out = {0};

    assert_int_equal(buffer_append_text(&command, "printf %s "), 0);
    assert_int_equal(ssh_quote(&command, word), 0);
    assert_int_equal(capture(session, buffer_text(&command), NULL, &out, NULL).exit_code, 0);
    assert_string_equal(buffer_text(&out), word);
}

static void test_quoting(void **state)
{
    by_both(state, quoted);
}

static void files(const Sshd *s, SshSession *session)
{
    _cleanup_fd_ int from = -1, to = -1;
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *sent = NULL, *got = NULL;
    char there[128], here[128];
    struct stat st;

    (void)snprintf(there, sizeof(there), "%s/it's there", s->directory);
    (void)snprintf(here, sizeof(here), "%s/fetched", s->directory);
    sshd_write(s, "to-send", "#!/bin/sh\necho sent\n");
    (void)snprintf(here, sizeof(here), "%s/to-send", s->directory);
    from = open(here, O_RDONLY | O_CLOEXEC);
    if (ssh_exec_upload(session, from, there, 0755, TIMEOUT_MS, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_int_equal(stat(there, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    (void)snprintf(here, sizeof(here), "%s/fetched", s->directory);
    to = open(here, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(ssh_exec_download(session, there, to, TIMEOUT_MS, &err), 0);
    sent = sshd_read(s, "to-send");
    got = sshd_read(s, "fetched");
    assert_string_equal(sent, got);

    assert_int_equal(ssh_exec_upload(session, from, "/nowhere/at all", 0644, TIMEOUT_MS, &err),
                     -EREMOTEIO);
    expect_words(error_text(&err), "sending '/nowhere/at all'");
    assert_int_equal(ssh_exec_download(session, "/nowhere/at all", to, TIMEOUT_MS, &err),
                     -EREMOTEIO);
    expect_words(error_text(&err), "fetching '/nowhere/at all'");
}

static void test_files(void **state)
{
    by_both(state, files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_and_status),
        cmocka_unit_test(test_a_signal_is_no_success),
        cmocka_unit_test(test_what_must_succeed),
        cmocka_unit_test(test_input_that_nobody_reads),
        cmocka_unit_test(test_much_there_and_back),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, sshd_setup, sshd_teardown);
}
