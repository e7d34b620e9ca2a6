/* SPDX-License-Identifier: MIT */
#include "agent/forward/forward-watch.h"

#include "protocol/base/clock.h"
#include "tests/unit/scratch.h"

#include <sys/wait.h>
#include <uv.h>

#define PATIENCE_MS 20000
#define LOOK_MS 5

typedef struct Fixture {
    void **state;
    uv_loop_t loop;
    AgentConfig config;
    char *state_directory, *libexec_directory;
    Json *forward;
    ForwardWatch *watch;
    bool is_closed;
} Fixture;

/* `program` is what slipway-audit-forward does. */
static void fixture_open(Fixture *f, void **state, const char *program)
{
    static const char forward[] = "{\"url\":\"https://collector.example/x\"}";

    *f = (Fixture){.state = state};
    assert_true(asprintf(&f->state_directory, "%s/state", SCRATCH_PATH) > 0);
    assert_true(asprintf(&f->libexec_directory, "%s/libexec", SCRATCH_PATH) > 0);
    scratch_write(SCRATCH_FD, "libexec/slipway-audit-forward", program, strlen(program), 0755);
    scratch_write_text(SCRATCH_FD, "state/audit/log.head", "{\"seq\":1,\"sha256\":\"0\"}");
    assert_int_equal(json_parse(forward, strlen(forward), &f->forward, NULL), 0);
    f->config = (AgentConfig){.name = (char *)"prod-1",
                              .state_directory = f->state_directory,
                              .libexec_directory = f->libexec_directory,
                              .forward = f->forward};
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(forward_watch_open(&f->loop, &f->config, &f->watch, NULL), 0);
    assert_non_null(f->watch);
}

static void on_closed(void *userdata)
{
    *(bool *)userdata = true;
}

static void fixture_close(Fixture *f)
{
    forward_watch_close(f->watch, on_closed, &f->is_closed);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(f->is_closed);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    (void)json_unref(f->forward);
    free(f->state_directory);
    free(f->libexec_directory);
}

static size_t count_runs(void **state)
{
    _cleanup_free_ char *text =
        file_exists(SCRATCH_FD, "runs") ? scratch_read(SCRATCH_FD, "runs", NULL) : NULL;
    size_t n = 0;

    for (const char *at = text; at && *at; at++) {
        n += *at == '\n';
    }
    return n;
}

static void on_look(uv_timer_t *timer)
{
}

/* What a program writes is no event of the loop, so it is looked for every few milliseconds. */
static void wait_for_runs(Fixture *f, size_t n)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    uv_timer_t look;

    assert_int_equal(uv_timer_init(&f->loop, &look), 0);
    assert_int_equal(uv_timer_start(&look, on_look, LOOK_MS, LOOK_MS), 0);
    while (count_runs(f->state) < n) {
        assert_true(clock_monotonic_ms() < deadline);
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&look);
    uv_close((uv_handle_t *)&look, NULL);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT); /* lets go of it */
}

/* Said of each run: what it was given. Then all is as if it were sent. */
#define SENDS                                                                                 \
    "#!/bin/sh\ncp \"$1/log.head\" \"$1/x\"\n"                                                \
    "sed 's|^{|{\"url\":\"https://collector.example/x\",|' \"$1/x\" >\"$1/forwarded.json\"\n" \
    "echo \"$2\" >>\"$1/../../runs\"\n"
#define FAILS "#!/bin/sh\necho x >>\"$1/../../runs\"\nexit 1\n"

static void starts_it_for_what_waits(void **state)
{
    _cleanup_free_ char *runs = NULL;
    Fixture f;

    fixture_open(&f, state, SENDS);
    wait_for_runs(&f, 1);
    runs = scratch_read(SCRATCH_FD, "runs", NULL);
    assert_string_equal(runs, "{\"url\":\"https://collector.example/x\",\"agent\":\"prod-1\"}\n");
    /* A new record, as a runner writes it: the head is renamed into place. */
    assert_int_equal(file_replace(SCRATCH_FD, "state/audit/log.head",
                                  "{\"seq\":2,\"sha256\":\"0\"}", 22, 0600, NULL),
                     0);
    wait_for_runs(&f, 2);
    fixture_close(&f);
    assert_int_equal(count_runs(state), 2);
}

/* Again a second later, and after that only in two more. */
static void waits_longer_each_time_it_fails(void **state)
{
    int64_t began = clock_monotonic_ms();
    Fixture f;

    fixture_open(&f, state, FAILS);
    wait_for_runs(&f, 2);
    assert_true(clock_monotonic_ms() - began >= (int64_t)FORWARD_RETRY_FIRST_MS);
    fixture_close(&f);
    assert_int_equal(count_runs(state), 2);
}

/* It is ended with the agent. */
static void leaves_nothing_behind(void **state)
{
    _cleanup_free_ char *text = NULL;
    Fixture f;
    pid_t pid;

    fixture_open(&f, state, "#!/bin/sh\necho $$ >>\"$1/../../runs\"\nexec sleep 600\n");
    wait_for_runs(&f, 1);
    text = scratch_read(SCRATCH_FD, "runs", NULL);
    pid = (pid_t)strtol(text, NULL, 10);
    fixture_close(&f);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void not_configured_is_nothing(void **state)
{
    AgentConfig config = {.name = (char *)"x"};
    ForwardWatch *watch = NULL;
    bool is_closed = false;

    assert_int_equal(forward_watch_open(NULL, &config, &watch, NULL), 0);
    assert_null(watch);
    forward_watch_close(watch, on_closed, &is_closed);
    assert_true(is_closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(starts_it_for_what_waits),
        scratch_test(waits_longer_each_time_it_fails),
        scratch_test(leaves_nothing_behind),
        scratch_test(not_configured_is_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
