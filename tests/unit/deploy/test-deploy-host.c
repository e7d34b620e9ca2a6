/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/deploy-host.h"

#include "protocol/base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void time_passes(void **state)
{
    DeployHostState host_state;
    DeployHost host;
    int64_t start;

    deploy_host_open(NULL, &host_state, &host);
    start = host.now_ms(host.userdata);
    host.wait_ms(5, host.userdata);
    assert_true(host.now_ms(host.userdata) - start >= 5);
    assert_false(host.is_cancelled(host.userdata));
}

/* A signal that came before anybody looked is not lost, cuts the wait, and is remembered. */
static void signals_cancel(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        DeployHostState host_state;
        DeployHost host;
        int64_t start;

        deploy_host_open(NULL, &host_state, &host);
        assert_int_equal(kill(getpid(), signals[i]), 0);
        start = clock_monotonic_ms();
        host.wait_ms(60000, host.userdata);
        assert_true(clock_monotonic_ms() - start < 30000);
        assert_true(host.is_cancelled(host.userdata));
        assert_true(host.is_cancelled(host.userdata));
    }
}

/* On the way back, a second SIGTERM must not turn every wait into none. */
static void the_way_back_is_not_cut_short(void **state)
{
    DeployHostState host_state;
    DeployHost host;
    int64_t start;

    deploy_host_open(NULL, &host_state, &host);
    host_state.is_cancelled = true;
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    start = clock_monotonic_ms();
    host.wait_ms(10, host.userdata);
    assert_true(clock_monotonic_ms() - start >= 10);
}

static void progress_is_reported_in_instances(void **state)
{
    static const char wanted[] =
        "{\"type\":\"progress\",\"phase\":\"start\",\"done\":1,\"total\":2,"
        "\"unit\":\"instances\"}\n";
    DeployHostState host_state;
    DeployHost host;
    Report report;
    char line[256] = "";
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    report = (Report){.fd = fds[1]};
    deploy_host_open(&report, &host_state, &host);
    host.progress("start", &(EngineCounts){2, 2, 1, 1}, host.userdata);
    assert_int_equal(read(fds[0], line, sizeof(line) - 1), (ssize_t)strlen(wanted));
    assert_string_equal(line, wanted);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_passes),
        cmocka_unit_test(signals_cancel),
        cmocka_unit_test(the_way_back_is_not_cut_short),
        cmocka_unit_test(progress_is_reported_in_instances),
    };

    return cmocka_run_group_tests_name("deploy-host", tests, NULL, NULL);
}
