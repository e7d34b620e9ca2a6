/* SPDX-License-Identifier: MIT */
/* Queue, runs, slots, the state directory's lock. */
#include "tests/unit/calls/fixture.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void cancel(Fixture *f, Call *call)
{
    assert_int_equal(calls_cancel(f->calls, call, NULL), 0);
    fixture_wait_state(f, call, CALL_FINISHED);
}

static void check_states(const char *expected, Call *const *calls)
{
    for (; *expected; expected++, calls++) {
        assert_int_equal(call_state_name(call_state(*calls))[0], *expected);
    }
}

static bool has_running(Fixture *f, void *userdata)
{
    return f->calls->n_running == *(size_t *)userdata;
}

static void wait_for_running(Fixture *f, size_t n)
{
    fixture_wait(f, has_running, &n);
}

static void fills_the_slots_in_order(void **state)
{
    Fixture f;
    Call *c[4];

    fixture_init(&f, "\"slots\":2");
    fixture_open(&f);
    for (size_t i = 0; i < 4; i++) {
        char key[8];

        (void)snprintf(key, sizeof(key), "k%zu", i);
        c[i] = fixture_start(&f, "wait", key, NULL);
    }
    check_states("rrqq", c);
    cancel(&f, c[1]);
    wait_for_running(&f, 2);
    check_states("rfrq", c);
    cancel(&f, c[0]);
    wait_for_running(&f, 2);
    check_states("ffrr", c);
    cancel(&f, c[2]);
    cancel(&f, c[3]);
    assert_int_equal(f.calls->n_running, 0);
    fixture_done(&f);
}

/* One call of a run at a time, in order; others go past those that wait for their run. */
static void runs_one_call_of_a_run_at_a_time(void **state)
{
    static const char *const runs[] = {"a", "a", "a", "b", NULL};
    Fixture f;
    Call *c[5];

    fixture_init(&f, "\"slots\":4");
    fixture_open(&f);
    for (size_t i = 0; i < 5; i++) {
        char key[8];

        (void)snprintf(key, sizeof(key), "k%zu", i);
        c[i] = fixture_start(&f, "wait", key, runs[i]);
    }
    check_states("rqqrr", c);
    cancel(&f, c[0]);
    wait_for_running(&f, 3);
    check_states("frqrr", c);
    cancel(&f, c[1]);
    wait_for_running(&f, 3);
    check_states("ffrrr", c);
    for (size_t i = 2; i < 5; i++) {
        cancel(&f, c[i]);
    }
    fixture_done(&f);
}

static void cancels_a_queued_call_at_once(void **state)
{
    _cleanup_free_ char *status = NULL;
    Fixture f;
    Call *c[3];

    fixture_init(&f, "\"slots\":1");
    fixture_open(&f);
    c[0] = fixture_start(&f, "wait", "k0", NULL);
    c[1] = fixture_start(&f, "succeed", "k1", NULL);
    c[2] = fixture_start(&f, "succeed", "k2", NULL);
    assert_int_equal(calls_cancel(f.calls, c[1], NULL), 0);
    check_states("rfq", c);
    status = fixture_result(c[1], "/status");
    assert_string_equal(status, "\"cancelled\"");
    cancel(&f, c[0]);
    fixture_wait_state(&f, c[2], CALL_FINISHED);
    fixture_done(&f);
}

/* The order survives a restart, and what runs keeps its slot. */
static void keeps_the_queue_over_a_restart(void **state)
{
    Fixture f;
    Call *c[3];
    char ids[3][CALL_ID_SIZE];

    fixture_init(&f, "\"slots\":1");
    fixture_open(&f);
    for (size_t i = 0; i < 3; i++) {
        char key[8];

        (void)snprintf(key, sizeof(key), "k%zu", i);
        c[i] = fixture_start(&f, "wait", key, NULL);
        (void)snprintf(ids[i], sizeof(ids[i]), "%s", call_id(c[i]));
    }
    fixture_close(&f);
    fixture_open(&f);
    for (size_t i = 0; i < 3; i++) {
        c[i] = calls_find(f.calls, ids[i]);
        assert_non_null(c[i]);
    }
    while (c[0]->live->control_fd < 0) {
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    }
    check_states("rqq", c);
    cancel(&f, c[0]);
    wait_for_running(&f, 1);
    check_states("frq", c);
    cancel(&f, c[1]);
    wait_for_running(&f, 1);
    cancel(&f, c[2]);
    fixture_done(&f);
}

/* As another process would. Exits with 0 where the directory is held. */
static int try_in_child(Fixture *f)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        _cleanup_error_ Error err = {0};
        Calls *second;
        uv_loop_t loop;
        bool is_held = uv_loop_init(&loop) == 0 &&
                       calls_open(&loop, f->config, &second, &err) == -EWOULDBLOCK &&
                       strstr(error_text(&err), f->config->state_directory);

        _exit(is_held ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void is_alone_in_its_state_directory(void **state)
{
    Fixture f;

    fixture_init(&f, "");
    fixture_open(&f);
    assert_int_equal(try_in_child(&f), 0);
    fixture_close(&f);
    assert_int_equal(try_in_child(&f), 1);
    fixture_open(&f);
    fixture_done(&f);
}

/* A child between fork and exec has all descriptors of an agent that was killed: the lock of the
 * state directory is not among what it inherits. */
static void leaves_its_lock_behind_for_nobody(void **state)
{
    int pipe_fds[2];
    char byte;
    pid_t pid;
    Fixture f;

    fixture_init(&f, "");
    fixture_open(&f);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        (void)close(pipe_fds[1]);
        _exit(read(pipe_fds[0], &byte, 1) == 0 ? 0 : 1);
    }
    fixture_close(&f);
    assert_int_equal(try_in_child(&f), 1);
    (void)close(pipe_fds[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)close(pipe_fds[0]);
    fixture_done(&f);
}

static void finds_calls(void **state)
{
    Fixture f;

    fixture_init(&f, "");
    fixture_write_call(&f, "20260101t000000003-cccc", "succeed", "c", NULL);
    fixture_write_call(&f, "20260101t000000001-aaaa", "succeed", "a", NULL);
    fixture_write_call(&f, "20260101t000000002-bbbb", "succeed", "b", NULL);
    fixture_open(&f);
    assert_string_equal(call_id(calls_find(f.calls, "20260101t000000002-bbbb")),
                        "20260101t000000002-bbbb");
    assert_null(calls_find(f.calls, "20260101t000000002-bbba"));
    assert_null(calls_find(f.calls, ""));
    assert_null(calls_find(f.calls, "zzz"));
    while (f.calls->n_queued + f.calls->n_running > 0) {
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    }
    fixture_done(&f);
}

static void reads_the_time_of_an_id(void **state)
{
    assert_int_equal(calls_id_time("20260101t000000250-aaaa"), 1767225600250000);
    assert_int_equal(calls_id_time("20260101t000000250-aaa"), 0);
    assert_int_equal(calls_id_time("20261301t000000250-aaaa"), 0);
    assert_int_equal(calls_id_time("20260101t000000x50-aaaa"), 0);
    assert_int_equal(calls_id_time("20260101t0000002500aaaa"), 0);
    assert_int_equal(calls_id_time(""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_the_slots_in_order),
        cmocka_unit_test(runs_one_call_of_a_run_at_a_time),
        cmocka_unit_test(cancels_a_queued_call_at_once),
        cmocka_unit_test(keeps_the_queue_over_a_restart),
        cmocka_unit_test(is_alone_in_its_state_directory),
        cmocka_unit_test(leaves_its_lock_behind_for_nobody),
        cmocka_unit_test(finds_calls),
        cmocka_unit_test(reads_the_time_of_an_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
