/* SPDX-License-Identifier: MIT */
#include "agent/source/process.h"

#include "protocol/base/clock.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <signal.h>

static ProcessExit run(const ProcessOptions *options)
{
    _cleanup_error_ Error err = {0};
    ProcessExit how = {.exit_code = -2};

    if (process_run(options, &how, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return how;
}

#define SHELL(text) ((const char *const[]){"sh", "-c", text, NULL})

static void expect_output(const ProcessOptions *options, const char *wanted)
{
    _cleanup_buffer_ Buffer output = BUFFER_INIT(1 << 20);
    ProcessOptions o = *options;
    ProcessExit how;

    o.output = &output;
    how = run(&o);
    assert_true(process_exit_is_success(&how));
    assert_string_equal(buffer_text(&output), wanted);
}

static void test_input(void **state)
{
    scratch_write_text(SCRATCH_FD, "input", "read me");
    {
        _cleanup_fd_ int fd = openat(SCRATCH_FD, "input", O_RDONLY | O_CLOEXEC);

        expect_output(&(ProcessOptions){.argv = SHELL("cat; echo ."), .input_fd = fd},
                      "read me.\n");
    }
}

static void test_exit_codes(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    ProcessExit how = run(&(ProcessOptions){.argv = SHELL("exit 3")});

    assert_int_equal(how.exit_code, 3);
    assert_int_equal(how.signal, 0);
    assert_false(process_exit_is_success(&how));
    assert_int_equal(process_exit_describe(&how, 0, &text), 0);
    assert_string_equal(buffer_text(&text), "exited with status 3");
}

static void test_signal(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    ProcessExit how = run(&(ProcessOptions){.argv = SHELL("kill -KILL $$")});

    assert_int_equal(how.exit_code, -1);
    assert_int_equal(how.signal, SIGKILL);
    assert_false(process_exit_is_success(&how));
    assert_int_equal(process_exit_describe(&how, 0, &text), 0);
    assert_string_equal(buffer_text(&text), "was ended by signal 9 (Killed)");
}

/* stdin is empty, no descriptor leaks, ignored signals are back, the environment is what was given.
 */
static void test_surroundings(void **state)
{
    char path[] = "PATH=/usr/bin:/bin", own[] = "OWN=1";
    char *env[] = {path, own, NULL};
    _cleanup_fd_ int leaked = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */
    _cleanup_buffer_ Buffer wanted = BUFFER_INIT(0);

    assert_true(leaked > 2);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(
        buffer_append_format(&wanted, "0\nclosed\n0000000000000000\n1 none\n%s\n", SCRATCH_PATH),
        0);
    {
        _cleanup_free_ char *script = NULL;
        const char *argv[] = {"sh", "-c", NULL, NULL};

        assert_true(asprintf(&script,
                             "wc -c; [ -e /proc/$$/fd/%d ] && echo open || echo closed; "
                             "sed -n 's/^SigIgn:.//p' /proc/$$/status; echo $OWN ${HOME-none}; pwd",
                             leaked) > 0);
        argv[2] = script;
        expect_output(&(ProcessOptions){.argv = argv, .env = env, .directory = SCRATCH_PATH},
                      buffer_text(&wanted));
    }
    (void)signal(SIGPIPE, SIG_DFL);
}

static void test_group(void **state)
{
    /* Its own process group, or its own session. */
    expect_output(&(ProcessOptions){.argv = SHELL("[ $(ps -o pgid= -p $$) = $$ ] && echo yes")},
                  "yes\n");
    expect_output(&(ProcessOptions){.argv = SHELL("[ $(ps -o sid= -p $$) = $$ ] && echo yes"),
                                    .is_detached = true},
                  "yes\n");
}

/* PATH is that of the program, not ours. */
static void test_path(void **state)
{
    _cleanup_free_ char *path = NULL;
    char *env[] = {NULL, NULL};

    scratch_write(SCRATCH_FD, "bin/mine", "#!/bin/sh\necho found\n", 21, 0755);
    assert_true(asprintf(&path, "PATH=%s/bin", SCRATCH_PATH) > 0);
    env[0] = path;
    expect_output(&(ProcessOptions){.argv = (const char *const[]){"mine", NULL}, .env = env},
                  "found\n");
}

static void expect_no_start(const ProcessOptions *options, int code, const char *mistake)
{
    _cleanup_error_ Error err = {0};
    ProcessExit how = {.exit_code = -2};

    assert_int_equal(process_run(options, &how, &err), code);
    assert_int_equal(how.exit_code, -2);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
}

static void test_no_start(void **state)
{
    ProcessOptions o = {.argv = (const char *const[]){"no-such-program", NULL}};

    expect_no_start(&o, -ENOENT, "command not found: no-such-program");
    o.argv = (const char *const[]){"./gone.sh", NULL};
    o.directory = SCRATCH_PATH;
    expect_no_start(&o, -ENOENT, "command not found: ./gone.sh");
    scratch_write_text(SCRATCH_FD, "plain.sh", "#!/bin/sh\n");
    o.argv = (const char *const[]){"./plain.sh", NULL};
    expect_no_start(&o, -EACCES, "'./plain.sh' is not executable");
    scratch_write(SCRATCH_FD, "odd.sh", "#!/no/such/shell\n", 17, 0755);
    o.argv = (const char *const[]){"./odd.sh", NULL};
    expect_no_start(&o, -ENOENT, "interpreter");
    o.argv = (const char *const[]){"true", NULL};
    o.directory = "/no/such/directory";
    expect_no_start(&o, -ENOENT, "directory '/no/such/directory'");
}

static void test_output_limit(void **state)
{
    _cleanup_buffer_ Buffer output = BUFFER_INIT(1000);

    expect_no_start(&(ProcessOptions){.argv = SHELL("yes | head -c 100000"), .output = &output},
                    -ENOBUFS, "1000 bytes");
}

/* The end of stderr is kept, and all of it reaches the log. */
static void test_complaints(void **state)
{
    _cleanup_buffer_ Buffer complaints = BUFFER_INIT(PROCESS_COMPLAINTS_MAX + 1);
    _cleanup_fd_ int log_fd = openat(SCRATCH_FD, "log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    _cleanup_fd_ int stderr_fd = dup(STDERR_FILENO);
    _cleanup_free_ char *log = NULL;
    size_t n;

    assert_int_equal(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
    (void)run(&(ProcessOptions){
        .argv = SHELL("seq -w 100000 | head -c 70000 >&2; echo fatal: the end >&2"),
        .complaints = &complaints});
    assert_int_equal(dup2(stderr_fd, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(complaints.len, PROCESS_COMPLAINTS_MAX);
    assert_string_equal(complaints.data + complaints.len - 15, "fatal: the end\n");
    log = scratch_read(SCRATCH_FD, "log", &n);
    assert_int_equal(n, 70000 + 15);
}

/* What it leaves behind with its pipe in hand keeps nobody waiting. */
static void test_left_behind(void **state)
{
    _cleanup_buffer_ Buffer output = BUFFER_INIT(1000);
    int64_t before_ms = clock_monotonic_ms();
    pid_t left;

    (void)run(&(ProcessOptions){.argv = SHELL("sleep 100 & echo $!"), .output = &output});
    assert_true(clock_monotonic_ms() - before_ms < 50000);
    left = atoi(buffer_text(&output));
    assert_true(left > 1);
    assert_int_equal(kill(left, SIGKILL), 0);
}

static void test_timeout(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    ProcessExit how = run(&(ProcessOptions){
        .argv = (const char *const[]){"sleep", "100", NULL}, .timeout_ms = 20, .grace_ms = 60000});

    assert_true(how.is_timed_out);
    assert_int_equal(how.signal, SIGTERM);
    assert_int_equal(process_exit_describe(&how, 2500, &text), 0);
    assert_string_equal(buffer_text(&text), "ran longer than its 2.5 seconds and was ended");
    /* One that will not be told. */
    how = run(&(ProcessOptions){.argv = SHELL("trap '' TERM; while :; do sleep 0.01; done"),
                                .timeout_ms = 50,
                                .grace_ms = 20});
    assert_true(how.is_timed_out);
    assert_int_equal(how.signal, SIGKILL);
    /* One that ends well when told was still too slow. */
    how = run(
        &(ProcessOptions){.argv = SHELL("trap 'exit 0' TERM; echo; while :; do sleep 0.01; done"),
                          .timeout_ms = 200,
                          .grace_ms = 60000});
    assert_int_equal(how.exit_code, 0);
    assert_false(process_exit_is_success(&how));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes), scratch_test(test_input),
        cmocka_unit_test(test_signal),     scratch_test(test_surroundings),
        cmocka_unit_test(test_group),      scratch_test(test_path),
        scratch_test(test_no_start),       cmocka_unit_test(test_output_limit),
        scratch_test(test_complaints),     cmocka_unit_test(test_left_behind),
        cmocka_unit_test(test_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
