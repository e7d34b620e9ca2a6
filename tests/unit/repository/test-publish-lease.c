/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/publish-lease.h"

#include "protocol/base/clock.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MINUTE_US ((int64_t)60 * 1000000)

static void expect_since(int64_t us_ago, bool is_over)
{
    char text[128], since[CLOCK_TEXT_SIZE];

    (void)snprintf(text, sizeof(text), "call c1\n%s\n",
                   clock_format(clock_wall_us() - us_ago, since));
    assert_int_equal(publish_lease_is_over(text), is_over);
}

static void test_it_runs_out(void **state)
{
    expect_since(0, false);
    expect_since(-MINUTE_US, false); /* a clock that is ahead */
    expect_since(PUBLISH_LEASE_US - MINUTE_US, false);
    expect_since(PUBLISH_LEASE_US + MINUTE_US, true);
}

static void test_what_says_nothing_is_held(void **state)
{
    static const char *const texts[] = {"", "\n", "call c1", "call c1\nyesterday\n",
                                        "call c1\n\nboot pid:[1] 0\n"};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_false(publish_lease_is_over(texts[i]));
    }
}

static void test_a_process_that_lives(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(1024);

    assert_int_equal(publish_lease_format("call c1 (process 7 on h)\nx", &text), 0);
    assert_int_equal(strncmp(text.data, "call c1 (process 7 on h)\n2", 26), 0);
    assert_false(publish_lease_is_over(text.data));
}

/* Long before the time is over. */
static void test_a_process_that_is_gone(void **state)
{
    char text[1024] = "";
    int pipes[2];
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    if (pid == 0) {
        _cleanup_buffer_ Buffer own = BUFFER_INIT(1024);

        _exit(publish_lease_format("child", &own) == 0 &&
                      write(pipes[1], own.data, own.len) == (ssize_t)own.len
                  ? 0
                  : 1);
    }
    (void)close(pipes[1]);
    n = read(pipes[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    (void)close(pipes[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(publish_lease_is_over(text));
    /* Of another boot it is anybody's guess. */
    *strrchr(text, 'p') = 'q';
    assert_false(publish_lease_is_over(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_runs_out),
        cmocka_unit_test(test_what_says_nothing_is_held),
        cmocka_unit_test(test_a_process_that_lives),
        cmocka_unit_test(test_a_process_that_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
