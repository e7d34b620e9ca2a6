/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/deploy-host.h"

#include "protocol/base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

static void cancelling_signals(sigset_t *ret)
{
    (void)sigemptyset(ret);
    (void)sigaddset(ret, SIGTERM);
    (void)sigaddset(ret, SIGINT);
}

/* The signals are blocked, so waiting for them is how time passes. */
static void wait_for_signal(int64_t milliseconds, DeployHostState *state)
{
    struct timespec time = {
        .tv_sec = (time_t)(milliseconds / 1000),
        .tv_nsec = (long)(milliseconds % 1000) * 1000000,
    };
    sigset_t signals;

    cancelling_signals(&signals);
    if (sigtimedwait(&signals, NULL, &time) > 0) {
        if (!state->is_cancelled) {
            (void)printf("cancelled\n");
            (void)fflush(stdout);
        }
        state->is_cancelled = true;
    }
}

static int64_t now_ms(void *userdata)
{
    return clock_monotonic_ms();
}

/* Once cancelled, another signal does not shorten the way back. */
static void wait_ms(int64_t milliseconds, void *userdata)
{
    DeployHostState *state = userdata;
    int64_t deadline = clock_monotonic_ms() + milliseconds;
    bool was_cancelled = state->is_cancelled;

    while (milliseconds > 0) {
        wait_for_signal(milliseconds, state);
        if (state->is_cancelled && !was_cancelled) {
            return;
        }
        milliseconds = deadline - clock_monotonic_ms();
    }
}

static bool is_cancelled(void *userdata)
{
    DeployHostState *state = userdata;

    wait_for_signal(0, state);
    return state->is_cancelled;
}

static void say(const char *text, void *userdata)
{
    (void)printf("%s\n", text);
    (void)fflush(stdout);
}

/* Losing a progress report loses nothing that counts. */
static void progress(const char *phase, const EngineCounts *counts, void *userdata)
{
    DeployHostState *state = userdata;

    ReportProgress report = {
        .phase = phase,
        .done = counts->healthy,
        .total = counts->wanted,
        .unit = "instances",
    };

    if (report_progress(state->report, &report) < 0) {
        (void)fprintf(stderr, "the progress could not be reported\n");
    }
}

void deploy_host_open(Report *report, DeployHostState *state, DeployHost *ret)
{
    sigset_t signals;

    cancelling_signals(&signals);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    *state = (DeployHostState){.report = report};
    *ret = (DeployHost){
        .now_ms = now_ms,
        .wait_ms = wait_ms,
        .is_cancelled = is_cancelled,
        .say = say,
        .progress = progress,
        .userdata = state,
    };
}
