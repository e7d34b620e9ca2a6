/* SPDX-License-Identifier: MIT */
/* Against a real sshd, and against peers that are none. */
#include "protocol/ssh/ssh-exec.h"

#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/ssh/sshd.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_an_unknown_host(void **state)
{
    const Sshd *s = *state;

    sshd_configure(s, "IdentityFile @/id_ed25519\nUserKnownHostsFile @/nothing");
    sshd_expect(s, NULL, SSH_WAY_LIBRARY, SSH_HOST_UNKNOWN, "is in no known_hosts",
                "ssh-keyscan -t", "/nothing", NULL);
}

static void test_a_changed_host_key(void **state)
{
    const Sshd *s = *state;
    _cleanup_free_ char *key = sshd_read(s, "id_stranger.pub");
    char text[512];

    (void)snprintf(text, sizeof(text), "[127.0.0.1]:%u %s", s->port, key);
    sshd_write(s, "changed", text);
    sshd_configure(s, "IdentityFile @/id_ed25519\nUserKnownHostsFile @/changed");
    sshd_expect(s, NULL, SSH_WAY_LIBRARY, SSH_HOST_CHANGED, "has changed", "/changed:1 has another",
                "ssh-keygen -f", NULL);
}

/* sshd has two keys; the one that is known is the one that is asked for. */
static void test_the_known_type_is_asked_for(void **state)
{
    static const char *const names[] = {"host_ed25519.pub", "host_ecdsa.pub"};
    const Sshd *s = *state;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *key = sshd_read(s, names[i]);
        SshSession *session;
        char text[512];

        (void)snprintf(text, sizeof(text), "[127.0.0.1]:%u %s", s->port, key);
        sshd_write(s, "one", text);
        sshd_configure(s, "IdentityFile @/id_ed25519\nUserKnownHostsFile @/one");
        session = sshd_connect(s, SSH_WAY_LIBRARY);
        session = ssh_session_free(session);
    }
}

/* Two commands at once, each read when the other waits. */
static void test_several_channels(void **state)
{
    const Sshd *s = *state;
    _cleanup_(ssh_session_freep) SshSession *session = NULL;
    SshChannel *channels[3];
    _cleanup_error_ Error err = {0};
    size_t got[3] = {0};
    unsigned n_over = 0;

    sshd_configure(s, "IdentityFile @/id_ed25519");
    session = sshd_connect(s, SSH_WAY_LIBRARY);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ssh_channel_open(session, "head -c 5000000 /dev/zero", &channels[i], &err),
                         0);
    }
    while (n_over < 3) {
        struct pollfd fds[SSH_CHANNEL_WATCH_MAX];
        bool is_idle = true;

        n_over = 0;
        for (size_t i = 0; i < 3; i++) {
            char data[70000];
            ssize_t n = ssh_channel_read(channels[i], SSH_STDOUT, data, sizeof(data), &err);

            assert_true(n >= 0 || n == -EAGAIN);
            got[i] += n > 0 ? (size_t)n : 0;
            n_over += n == 0;
            is_idle &= n <= 0;
        }
        if (is_idle && n_over < 3) {
            (void)poll(fds, ssh_channel_watch(channels[0], false, fds), 60000);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(got[i], 5000000);
        channels[i] = ssh_channel_free(channels[i]);
    }
}

static pid_t child_of_session(SshSession *session)
{
    _cleanup_buffer_ Buffer out = {0};
    _cleanup_error_ Error err = {0};

    /* The parent of the shell is the sshd of this session. */
    assert_int_equal(
        ssh_exec_check(session, "sed -n 's/^PPid:\t//p' /proc/$$/status", NULL, 60000, &out, &err),
        0);
    return (pid_t)atoi(buffer_text(&out));
}

static void test_a_killed_session_is_no_end_of_output(void **state)
{
    const Sshd *s = *state;
    _cleanup_(ssh_session_freep) SshSession *session = NULL;
    _cleanup_(ssh_channel_freep) SshChannel *channel = NULL;
    _cleanup_error_ Error err = {0};
    char data[4096];
    ssize_t n;

    sshd_configure(s, "IdentityFile @/id_ed25519");
    session = sshd_connect(s, SSH_WAY_LIBRARY);
    assert_int_equal(ssh_channel_open(session, "yes", &channel, &err), 0);
    assert_int_equal(kill(child_of_session(session), SIGKILL), 0);
    while ((n = ssh_channel_read(channel, SSH_STDOUT, data, sizeof(data), &err)) > 0 ||
           n == -EAGAIN) {
        struct pollfd fds[SSH_CHANNEL_WATCH_MAX];

        if (n == -EAGAIN) {
            (void)poll(fds, ssh_channel_watch(channel, false, fds), 60000);
        }
    }
    assert_int_equal(n, SSH_BROKEN);
    expect_words(error_text(&err), "broke");
}

/* A stopped sshd: its kernel takes what comes, and nobody answers. */
static void test_a_silent_peer_is_found_out(void **state)
{
    const Sshd *s = *state;
    _cleanup_(ssh_session_freep) SshSession *session = NULL;
    _cleanup_error_ Error err = {0};
    SshStatus status;
    pid_t child;

    sshd_configure(s, "IdentityFile @/id_ed25519\nServerAliveInterval 1\nServerAliveCountMax 1");
    session = sshd_connect(s, SSH_WAY_LIBRARY);
    child = child_of_session(session);
    assert_int_equal(kill(child, SIGSTOP), 0);
    /* Opening a channel has a limit of its own; here an open one waits. */
    assert_int_equal(kill(child, SIGCONT), 0);
    {
        _cleanup_(ssh_channel_freep) SshChannel *channel = NULL;
        int r = 0;

        assert_int_equal(ssh_channel_open(session, "cat", &channel, &err), 0);
        assert_int_equal(kill(child, SIGSTOP), 0);
        while (r == 0) {
            struct pollfd fds[SSH_CHANNEL_WATCH_MAX];
            char data[100];
            ssize_t n = ssh_channel_read(channel, SSH_STDOUT, data, sizeof(data), &err);

            assert_int_equal(n, -EAGAIN);
            (void)poll(fds, ssh_channel_watch(channel, false, fds),
                       ssh_session_get_timeout_ms(session));
            r = ssh_session_process(session, &err);
        }
        assert_int_equal(r, SSH_TIMED_OUT);
        expect_words(error_text(&err), "has not been heard of");
        assert_true(ssh_channel_get_status(channel, &status, &err) < 0);
    }
    (void)kill(child, SIGCONT);
}

/* ---- peers that are no sshd -------------------------------------------------------------------
 */

static int listen_anywhere(Sshd *fake)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(fd, 4), 0);
    fake->port = ntohs(address.sin_port);
    return fd;
}

/* A child that says `text` to the first connection, and hangs up or waits. */
static pid_t answer(int listener, const char *text, bool is_hanging_up)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = accept(listener, NULL, NULL);
        char byte;

        (void)!write(fd, text, strlen(text));
        (void)shutdown(fd, is_hanging_up ? SHUT_WR : SHUT_RD);
        while (!is_hanging_up && read(fd, &byte, 1) >= 0) {
            (void)pause();
        }
        _exit(0);
    }
    return pid;
}

static void test_peers_that_are_no_ssh_server(void **state)
{
    static const struct {
        const char *text;
        bool is_hanging_up;
        int code;
        const char *words;
    } rows[] = {
        {"", true, SSH_BROKEN, "hung up"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", true, SSH_BROKEN, "greeting the SSH server"},
        {"SSH-2.0-x\r\n", true, SSH_BROKEN, "hung up"},
        {"", false, SSH_TIMED_OUT, "does not answer in time"},
        {"SSH-2.0-x\r\n", false, SSH_TIMED_OUT, "does not answer in time"},
    };
    Sshd fake = *(const Sshd *)*state;

    sshd_configure(&fake, "ConnectTimeout 1\nIdentityFile none");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_fd_ int listener = listen_anywhere(&fake);
        pid_t pid = answer(listener, rows[i].text, rows[i].is_hanging_up);

        sshd_expect(&fake, NULL, SSH_WAY_LIBRARY, rows[i].code, rows[i].words, NULL);
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unknown_host),
        cmocka_unit_test(test_a_changed_host_key),
        cmocka_unit_test(test_the_known_type_is_asked_for),
        cmocka_unit_test(test_several_channels),
        cmocka_unit_test(test_a_killed_session_is_no_end_of_output),
        cmocka_unit_test(test_a_silent_peer_is_found_out),
        cmocka_unit_test(test_peers_that_are_no_ssh_server),
    };

    return cmocka_run_group_tests(tests, sshd_setup, sshd_teardown);
}
