/* SPDX-License-Identifier: MIT */
/* One life for each case; what needs an agent beside it is in tests/integration/test-shim.py. */
#include "agent/shim/supervise.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/shim/call-dir.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

typedef struct Life {
    JournalEnd end;
    char *reason;
} Life;

static Life live(const char *program, const char *script, const SuperviseRequest *limits)
{
    _cleanup_(journal_done) Journal journal = JOURNAL_INIT;
    _cleanup_(control_done) Control control;
    Cgroup cgroup = CGROUP_INIT;
    Mask mask = {0};
    char *argv[] = {(char *)(uintptr_t)program, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};
    SuperviseRequest request = limits ? *limits : (SuperviseRequest){.grace_ms = 1000};
    Life life;

    control_init(&control, -1);
    request.argv = argv;
    request.mask = &mask;
    request.cgroup = &cgroup;
    request.control = &control;
    request.journal = &journal;
    assert_int_equal(journal_open(&journal, call_dir_fd, NULL), 0);
    assert_int_equal(supervise_run(&request, &life.end, &life.reason, NULL), 0);
    assert_int_equal(journal_finished(&journal, &life.end, NULL), 0);
    assert_int_equal(life.end.survivors, 0);
    return life;
}

static void assert_ends(Life life, const char *status, int exit_code, int signal_number,
                        const char *reason)
{
    assert_string_equal(life.end.status, status);
    assert_int_equal(life.end.exit_code, exit_code);
    assert_int_equal(life.end.signal, signal_number);
    assert_string_equal(life.end.reason, reason);
    free(life.reason);
}

static void test_how_a_runner_ends_by_itself(void **state)
{
    assert_ends(live("/bin/sh", "exit 0", NULL), "succeeded", 0, 0, "");
}

static void test_failure(void **state)
{
    assert_ends(live("/bin/sh", "exit 4", NULL), "failed", 4, 0, "exited with status 4");
}

static void test_refusal(void **state)
{
    assert_ends(live("/bin/sh", "exit 100", NULL), "refused", 100, 0, "");
}

static void test_signal(void **state)
{
    assert_ends(live("/bin/sh", "kill -ABRT $$", NULL), "failed", -1, SIGABRT,
                "ended by signal 6 (Aborted)");
}

static void test_no_such_program(void **state)
{
    char *records;

    assert_ends(live("/no/such", "", NULL), "failed", -1, 0,
                "cannot start '/no/such': there is no such file");
    records = call_dir_read("journal.ndjson");
    assert_non_null(strstr(records, "\"seq\":1,"));
    assert_non_null(strstr(records, "\"type\":\"started\""));
    free(records);
}

static void test_a_time_limit(void **state)
{
    SuperviseRequest limits = {.timeout_ms = 30, .grace_ms = 10000};

    assert_ends(live("/bin/sh", "exec sleep 1000", &limits), "timed_out", -1, SIGTERM,
                "took longer than 0.03 seconds");
}

static void test_silence(void **state)
{
    SuperviseRequest limits = {.silence_timeout_ms = 30};

    assert_ends(live("/bin/sh", "trap '' TERM; while :; do :; done", &limits), "timed_out", -1,
                SIGKILL, "wrote nothing for 0.03 seconds");
}

static void test_a_log_that_cannot_be_written(void **state)
{
    struct rlimit before, limit;
    Life life;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 1 << 20; /* a child that counts its coverage writes less than that */
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    life = live("/bin/sh", "exec yes", NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_string_equal(life.end.status, "failed");
    assert_string_equal(life.end.reason, "cannot write 'output.log': File too large");
    free(life.reason);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, call_dir_make, call_dir_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_how_a_runner_ends_by_itself),
        TEST(test_failure),
        TEST(test_refusal),
        TEST(test_signal),
        TEST(test_no_such_program),
        TEST(test_a_time_limit),
        TEST(test_silence),
        TEST(test_a_log_that_cannot_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
