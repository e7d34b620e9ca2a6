/* SPDX-License-Identifier: MIT */
/* The program ssh is a script that runs its last word here. */
#include "plugin/ssh/carry.h"

#include "protocol/base/clock.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

typedef struct Line {
    Carry carry;
    int ours; /* the other end of in_fd and out_fd, as a client has it */
    int errors;
} Line;

static void begin(void **state, const char *command, Line *line)
{
    static const char script[] = "#!/bin/sh\nfor word; do :; done\nexec sh -c \"$word\"\n";
    SshAddress address = {.host = (char *)"h"};
    SshOptions options = {.way = SSH_WAY_PROGRAM};
    _cleanup_error_ Error err = {0};
    char path[512], config[128];
    int pair[2], errors[2];

    scratch_write(SCRATCH_FD, "bin/ssh", script, strlen(script), 0755);
    scratch_write_text(SCRATCH_FD, "config", "");
    (void)snprintf(config, sizeof(config), "%s/config", SCRATCH_PATH);
    (void)snprintf(path, sizeof(path), "%s/bin:/usr/bin:/bin", SCRATCH_PATH);
    (void)setenv("PATH", path, 1);
    (void)signal(SIGPIPE, SIG_IGN);
    options.config_path = config;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(errors, O_CLOEXEC), 0);
    *line = (Line){
        .carry = {.in_fd = pair[1], .out_fd = pair[1], .err_fd = errors[1]},
        .ours = pair[0],
        .errors = errors[0],
    };
    if (ssh_session_open(&address, &options, &line->carry.session, &err) < 0 ||
        ssh_channel_open(line->carry.session, command, &line->carry.channel, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void end(Line *line)
{
    line->carry.channel = ssh_channel_free(line->carry.channel);
    line->carry.session = ssh_session_free(line->carry.session);
    carry_done(&line->carry);
    line->ours = fd_close(line->ours);
    line->errors = fd_close(line->errors);
    (void)fd_close(line->carry.in_fd);
    (void)fd_close(line->carry.err_fd);
}

static void expect_pipe(int fd, const char *expected)
{
    char text[256];
    ssize_t n;

    assert_int_equal(fd_set_nonblock(fd, true), 0);
    n = read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    assert_string_equal(text, expected);
}

static void test_both_ways_and_the_end(void **state)
{
    _cleanup_error_ Error err = {0};
    SshStatus status;
    Line line;

    begin(state, "cat; exit 7", &line);
    assert_int_equal(fd_write_all(line.ours, "hello\n", 6), 0);
    assert_int_equal(shutdown(line.ours, SHUT_WR), 0);
    assert_int_equal(carry_run(&line.carry, &status, &err), 1);
    assert_int_equal(status.exit_code, 7);
    assert_true(line.carry.has_spoken);
    expect_pipe(line.ours, "hello\n");
    end(&line);
}

/* A child is the client: it writes all before it reads a byte, so every buffer on the way fills. */
static void test_more_than_any_buffer(void **state)
{
    enum { SIZE = 3000000 };
    _cleanup_error_ Error err = {0};
    SshStatus status;
    int wait_status;
    Line line;
    pid_t pid;

    begin(state, "cat", &line);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *much = malloc(SIZE), *back = malloc(SIZE);
        pid_t writer;

        for (size_t i = 0; i < SIZE; i++) {
            much[i] = (char)(i * 7 + i / 251);
        }
        writer = fork();
        if (writer == 0) {
            _exit(fd_write_all(line.ours, much, SIZE) < 0 || shutdown(line.ours, SHUT_WR) < 0);
        }
        (void)close(line.carry.in_fd);
        _exit(fd_read_full(line.ours, back, SIZE) != SIZE || memcmp(much, back, SIZE) != 0);
    }
    assert_int_equal(carry_run(&line.carry, &status, &err), 1);
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_int_equal(wait_status, 0);
    end(&line);
}

/* What it says on stderr before it works is kept for the reason; after that it is for people. */
static void test_stderr(void **state)
{
    _cleanup_error_ Error err = {0};
    SshStatus status;
    Line line;

    begin(state, "echo early >&2; exit 3", &line);
    assert_int_equal(carry_run(&line.carry, &status, &err), 1);
    assert_string_equal(buffer_text(&line.carry.early_errors), "early\n");
    expect_pipe(line.errors, "");
    end(&line);

    begin(state, "echo early >&2; read x; echo word; read x; echo late >&2", &line);
    assert_int_equal(fd_write_all(line.ours, "1\n2\n", 4), 0);
    assert_int_equal(carry_run(&line.carry, &status, &err), 1);
    assert_int_equal(line.carry.early_errors.len, 0);
    expect_pipe(line.errors, "early\nlate\n");
    end(&line);
}

static void test_early_stderr_has_a_limit(void **state)
{
    _cleanup_error_ Error err = {0};
    SshStatus status;
    Line line;

    begin(state, "head -c 100000 /dev/zero | tr '\\0' x >&2; echo the end >&2", &line);
    assert_int_equal(carry_run(&line.carry, &status, &err), 1);
    assert_int_equal(line.carry.early_errors.len, CARRY_EARLY_MAX);
    assert_non_null(strstr(buffer_text(&line.carry.early_errors), "xthe end\n"));
    end(&line);
}

/* The client is gone: the command is told the end of its input, and its words go nowhere. */
static void test_nobody_reads(void **state)
{
    _cleanup_error_ Error err = {0};
    SshStatus status;
    Line line;

    begin(state, "cat; echo more; exit 5", &line);
    assert_int_equal(fd_write_all(line.ours, "hello\n", 6), 0);
    line.ours = fd_close(line.ours);
    assert_int_equal(carry_run(&line.carry, &status, &err), 1);
    assert_int_equal(status.exit_code, 5);
    end(&line);
}

static void test_a_command_that_says_nothing(void **state)
{
    _cleanup_error_ Error err = {0};
    SshStatus status;
    Line line;

    begin(state, "exec cat", &line);
    line.carry.first_byte_by_ms = clock_monotonic_ms() + 50;
    assert_int_equal(carry_run(&line.carry, &status, &err), SSH_TIMED_OUT);
    assert_non_null(strstr(error_text(&err), "says nothing"));
    end(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_both_ways_and_the_end),
        scratch_test(test_more_than_any_buffer),
        scratch_test(test_stderr),
        scratch_test(test_early_stderr_has_a_limit),
        scratch_test(test_nobody_reads),
        scratch_test(test_a_command_that_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
