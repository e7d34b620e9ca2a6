/* SPDX-License-Identifier: MIT */
#include "plugin/client/transport.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(strlen(path) < sizeof(address.sun_path));
    (void)strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static void expect_error(const char *address, int code, const char *words)
{
    Transport t = TRANSPORT_EMPTY;
    _cleanup_error_ Error err = {0};

    assert_int_equal(transport_open(&t, address, &err), code);
    if (!strstr(error_text(&err), words)) {
        fail_msg("'%s' is not in: %s", words, error_text(&err));
    }
    assert_int_equal(t.fd, -1);
    transport_done(&t);
}

/* What the other side says, up to a line feed or its end. */
static void read_line(Transport *t, char text[static 512])
{
    size_t n = 0;

    assert_int_equal(fd_set_nonblock(t->fd, false), 0);
    while (n < 511 && read(t->fd, text + n, 1) == 1 && text[n] != '\n') {
        n++;
    }
    text[n] = '\0';
    assert_int_equal(fd_set_nonblock(t->fd, true), 0);
}

static void expect_line(Transport *t, const char *expected)
{
    char text[512];

    read_line(t, text);
    assert_string_equal(text, expected);
}

/* A line of /proc/PID/status, as "SigBlk:\t00…": is the signal in the set? */
static bool has_signal(Transport *t, const char *name, int number)
{
    char text[512];

    read_line(t, text);
    assert_memory_equal(text, name, strlen(name));
    return strtoull(text + strlen(name) + 1, NULL, 16) >> (number - 1) & 1;
}

static void test_addresses(void **state)
{
    char longer[200] = "unix:/";

    memset(longer + 6, 'x', 150);
    expect_error("http://host", -EINVAL, "'http://host' is no agent's address");
    expect_error("unix:", -EINVAL, "too short");
    expect_error(longer, -EINVAL, "too long");
    expect_error("unix:/nowhere/agent.sock", -ENOENT, "unix:/nowhere/agent.sock");
    expect_error("ssh:host", -EINVAL, "an address is ssh://[USER@]HOST");
    expect_error("ssh://me:secret@host", -EINVAL, "a password has no place in an address");
}

/* The way to a host is walked by slipway-ssh, which hangs up where it cannot and says why. */
static void test_ssh_says_why(void **state)
{
    static const struct {
        const char *address;
        const char *words;
        bool is_final;
    } rows[] = {
        {"ssh://127.0.0.1:1", "no SSH server at its port 1", false},
        {"ssh://127.0.0.1:1?agnt=x", "'agnt=' means nothing", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        _cleanup_free_ char *reason = NULL;
        Transport t = TRANSPORT_EMPTY;
        bool is_final = !rows[i].is_final;
        char text[512];

        assert_int_equal(transport_open(&t, rows[i].address, &err), 0);
        assert_string_equal(t.address, rows[i].address);
        assert_int_equal(transport_get_patience_ms(&t, 1), TRANSPORT_SSH_PATIENCE_MS);
        assert_int_equal(fd_set_nonblock(t.fd, false), 0);
        assert_int_equal(read(t.fd, text, sizeof(text)), 0); /* not a byte of anything */
        reason = transport_take_reason(&t, &is_final);
        assert_non_null(reason);
        if (!strstr(reason, rows[i].words) || is_final != rows[i].is_final) {
            fail_msg("%s: %d", reason, is_final);
        }
        transport_done(&t);
        assert_int_equal(t.status_fd, -1);
    }
}

/* Its socket has ended, and it is about to exit. */
static void test_a_reason_before_its_end(void **state)
{
    _cleanup_free_ char *reason = NULL;
    _cleanup_fd_ int theirs = -1;
    Transport t = TRANSPORT_EMPTY;
    bool is_final = false;
    int pair[2];

    assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
    t.status_fd = pair[0];
    theirs = pair[1];
    assert_int_equal(write(theirs, "final it is so", 14), 14);
    reason = transport_take_reason(&t, &is_final);
    assert_non_null(reason);
    assert_string_equal(reason, "it is so");
    assert_true(is_final);
    transport_done(&t);
}

static void test_others_have_no_reason(void **state)
{
    _cleanup_error_ Error err = {0};
    Transport t = TRANSPORT_EMPTY;
    bool is_final = false;

    assert_int_equal(transport_open(&t, "stdio:true", &err), 0);
    assert_int_equal(transport_get_patience_ms(&t, 7), 7);
    assert_null(transport_take_reason(&t, &is_final));
    transport_done(&t);
}

static void test_unix(void **state)
{
    _cleanup_fd_ int listener = -1, theirs = -1;
    _cleanup_error_ Error err = {0};
    Transport t = TRANSPORT_EMPTY;
    char path[128], address[160];

    (void)snprintf(path, sizeof(path), "%s/agent.sock", SCRATCH_PATH);
    (void)snprintf(address, sizeof(address), "unix:%s", path);
    listener = listen_at(path);
    assert_int_equal(transport_open(&t, address, &err), 0);
    assert_string_equal(t.address, address);
    assert_true(fcntl(t.fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(t.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(t.pid, 0);
    transport_close(&t);
    assert_int_equal(t.fd, -1);

    assert_int_equal(transport_reopen(&t, &err), 0);
    (void)close(accept(listener, NULL, NULL)); /* the first one */
    theirs = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(fd_write_all(theirs, "hello\n", 6), 0);
    expect_line(&t, "hello");
    transport_close(&t);
    listener = fd_close(listener);
    assert_int_equal(transport_reopen(&t, &err), -ECONNREFUSED);
    transport_done(&t);
    assert_null(t.address);
}

static void test_handed_over(void **state)
{
    _cleanup_error_ Error err = {0};
    Transport t = TRANSPORT_EMPTY;

    assert_int_equal(transport_reopen(&t, &err), -ENOTSUP);
}

/* stdin and stdout of the command are the socket, its stderr is ours. */
static void test_command(void **state)
{
    _cleanup_error_ Error err = {0};
    Transport t = TRANSPORT_EMPTY;
    pid_t pid;

    assert_int_equal(transport_open(&t, "stdio:X=7; echo \"$X\" && exec cat", &err), 0);
    assert_string_equal(t.address, "stdio:X=7; echo \"$X\" && exec cat");
    expect_line(&t, "7");
    assert_int_equal(fd_write_all(t.fd, "back\n", 5), 0);
    expect_line(&t, "back");
    pid = t.pid;
    assert_true(pid > 0);
    assert_int_equal(getpgid(pid), pid); /* Ctrl-C is not for it */
    transport_close(&t);                 /* cat ends with its stdin */
    assert_int_equal(t.pid, 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);

    assert_int_equal(transport_reopen(&t, &err), 0);
    expect_line(&t, "7");
    transport_done(&t);
}

/* It starts with the signals as a shell would have them, whatever this program did to its own. */
static void test_signals(void **state)
{
    _cleanup_error_ Error err = {0};
    Transport t = TRANSPORT_EMPTY;
    sigset_t usr1;

    (void)sigemptyset(&usr1);
    (void)sigaddset(&usr1, SIGUSR1);
    assert_int_equal(sigprocmask(SIG_BLOCK, &usr1, NULL), 0);
    (void)signal(SIGUSR2, SIG_IGN);
    assert_int_equal(
        transport_open(&t, "stdio:exec grep -E '^Sig(Blk|Ign)' /proc/self/status", &err), 0);
    assert_false(has_signal(&t, "SigBlk:", SIGUSR1));
    assert_false(has_signal(&t, "SigIgn:", SIGUSR2));
    transport_done(&t);
    (void)signal(SIGUSR2, SIG_DFL);
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &usr1, NULL), 0);
}

static void test_no_such_command(void **state)
{
    _cleanup_error_ Error err = {0};
    Transport t = TRANSPORT_EMPTY;
    char byte;

    /* sh is there, so this shows only as an end of file. */
    assert_int_equal(transport_open(&t, "stdio:exec /nowhere/agent 2>/dev/null", &err), 0);
    assert_int_equal(fd_set_nonblock(t.fd, false), 0);
    assert_int_equal(read(t.fd, &byte, 1), 0);
    transport_done(&t);
}

/* ---- without an address ------------------------------------------------------------------------
 */

#define SYSTEM_SOCKET "/run/slipway/agent.sock"

static int clear_environment(void **state)
{
    (void)unsetenv("SLIPWAY_AGENT");
    (void)unsetenv("SLIPWAY_STATE");
    (void)unsetenv("XDG_STATE_HOME");
    return scratch_setup(state);
}

static int restore_environment(void **state)
{
    (void)unsetenv("SLIPWAY_AGENT");
    (void)unsetenv("SLIPWAY_STATE");
    return scratch_teardown(state);
}
#define default_test(f) cmocka_unit_test_setup_teardown(f, clear_environment, restore_environment)

static void test_from_environment(void **state)
{
    _cleanup_error_ Error err = {0};
    Transport t = TRANSPORT_EMPTY;

    assert_int_equal(setenv("SLIPWAY_AGENT", "stdio:echo from-environment", 1), 0);
    assert_int_equal(transport_open(&t, NULL, &err), 0);
    expect_line(&t, "from-environment");
    transport_done(&t);
    assert_int_equal(setenv("SLIPWAY_AGENT", "nonsense", 1), 0);
    expect_error(NULL, -EINVAL, "$SLIPWAY_AGENT: 'nonsense'");
}

static void test_user_socket(void **state)
{
    _cleanup_fd_ int listener = -1;
    _cleanup_error_ Error err = {0};
    Transport t = TRANSPORT_EMPTY;
    char path[128], address[160];

    if (access(SYSTEM_SOCKET, F_OK) == 0) {
        skip(); /* the host's own agent would be found first, and rightly */
    }
    (void)snprintf(path, sizeof(path), "%s/agent.sock", SCRATCH_PATH);
    (void)snprintf(address, sizeof(address), "unix:%s", path);
    listener = listen_at(path);
    assert_int_equal(setenv("SLIPWAY_STATE", SCRATCH_PATH, 1), 0);
    assert_int_equal(transport_open(&t, NULL, &err), 0);
    assert_string_equal(t.address, address);
    transport_done(&t);
}

/* A PATH that holds nothing but an agent of the test's own. */
static void test_starts_one(void **state)
{
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *path = strdup(getenv("PATH"));
    Transport t = TRANSPORT_EMPTY;

    if (access(SYSTEM_SOCKET, F_OK) == 0) {
        skip();
    }
    scratch_write(SCRATCH_FD, "slipway-agent", "#!/bin/sh\necho \"started with $*\"\n", 33, 0755);
    assert_int_equal(setenv("PATH", SCRATCH_PATH, 1), 0);
    assert_int_equal(setenv("SLIPWAY_STATE", SCRATCH_PATH, 1), 0);
    assert_int_equal(transport_open(&t, NULL, &err), 0);
    assert_string_equal(t.address, "stdio:");
    expect_line(&t, "started with --stdio");
    transport_done(&t);

    /* Nothing anywhere: all that was tried is told. */
    assert_int_equal(unlinkat(SCRATCH_FD, "slipway-agent", 0), 0);
    expect_error(NULL, -ENOENT, "tried unix:/run/slipway/agent.sock: not there");
    expect_error(NULL, -ENOENT, SCRATCH_PATH);
    expect_error(NULL, -ENOENT, "slipway-agent --stdio");
    assert_int_equal(setenv("PATH", path, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_ssh_says_why),
        cmocka_unit_test(test_a_reason_before_its_end),
        cmocka_unit_test(test_others_have_no_reason),
        scratch_test(test_unix),
        cmocka_unit_test(test_handed_over),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_no_such_command),
        default_test(test_from_environment),
        default_test(test_user_socket),
        default_test(test_starts_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
