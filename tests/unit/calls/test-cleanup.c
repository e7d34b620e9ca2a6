/* SPDX-License-Identifier: MIT */
#include "agent/calls/cleanup.h"

#include "tests/unit/calls/fixture.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY ((int64_t)24 * 3600)
#define T0 ((int64_t)1767225600) /* 2026-01-01 */

static const CleanupDisk plenty = {.free_bytes = 900000, .total_bytes = 1000000};
static const CleanupDisk short_of = {.free_bytes = 10000, .total_bytes = 1000000};

static void set_time(Fixture *f, const char *path, int64_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

    assert_int_equal(utimensat(f->fd, path, times, 0), 0);
}

/* A finished call of day `day`, with its workspace. */
static void write_finished(Fixture *f, unsigned day, const char *run, char id[static CALL_ID_SIZE])
{
    char path[160], key[16];

    (void)snprintf(id, CALL_ID_SIZE, "202601%02ut000000000-aaaa", day);
    (void)snprintf(key, sizeof(key), "k%u", day);
    fixture_write_call(f, id, "succeed", key, run);
    (void)snprintf(path, sizeof(path), "state/calls/%s/status.json", id);
    fixture_write(f, path, "{}");
    set_time(f, path, T0 + (day - 1) * DAY);
    (void)snprintf(path, sizeof(path), "state/runs/%s/workspace/file", run ? run : id);
    fixture_write(f, path, "x");
    (void)snprintf(path, sizeof(path), "state/runs/%s/calls/%s", run ? run : id, id);
    fixture_write(f, path, "");
    (void)snprintf(path, sizeof(path), "state/idempotency/%s", key);
    fixture_write(f, "state/idempotency/x", "");
    assert_true(symlinkat(id, f->fd, path) == 0);
}

static bool has(Fixture *f, const char *format, const char *name)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "state/%s/%s", format, name);
    return fixture_exists(f, path);
}

static size_t step(Fixture *f, int64_t now_seconds, const CleanupDisk *disk)
{
    size_t removed = 99;

    assert_int_equal(cleanup_step(f->calls, now_seconds * 1000000, disk, &removed), 0);
    return removed;
}

#define THREE_DAYS 3

static void write_three(Fixture *f, const char *settings, char ids[THREE_DAYS][CALL_ID_SIZE])
{
    fixture_init(f, settings);
    for (unsigned i = 0; i < THREE_DAYS; i++) {
        write_finished(f, i + 1, NULL, ids[i]);
    }
    fixture_open(f);
}

static void removes_by_age(void **state)
{
    char ids[THREE_DAYS][CALL_ID_SIZE];
    Fixture f;

    write_three(&f, "\"keep\":{\"days\":10}", ids);
    assert_int_equal(step(&f, T0 + 10 * DAY, &plenty), 0);
    assert_int_equal(step(&f, T0 + 11 * DAY + 1, &plenty), 2);
    assert_null(calls_find(f.calls, ids[0]));
    assert_null(calls_find(f.calls, ids[1]));
    assert_non_null(calls_find(f.calls, ids[2]));
    assert_false(has(&f, "calls", ids[0]));
    assert_false(has(&f, "runs", ids[0])); /* its workspace with it */
    assert_false(has(&f, "idempotency", "k1"));
    assert_true(has(&f, "calls", ids[2]));
    assert_true(has(&f, "runs", ids[2]));
    assert_true(has(&f, "idempotency", "k3"));
    fixture_done(&f);
}

static void removes_by_number(void **state)
{
    char ids[THREE_DAYS][CALL_ID_SIZE];
    Fixture f;

    write_three(&f, "\"keep\":{\"calls\":2}", ids);
    assert_int_equal(step(&f, T0 + 5 * DAY, &plenty), 1);
    assert_false(has(&f, "calls", ids[0])); /* the oldest */
    assert_true(has(&f, "calls", ids[1]));
    assert_int_equal(step(&f, T0 + 5 * DAY, &plenty), 0);
    fixture_done(&f);
}

static void removes_when_the_disk_is_short(void **state)
{
    char ids[THREE_DAYS][CALL_ID_SIZE];
    Fixture f;

    write_three(&f, "\"keep\":{\"diskFreePercent\":5}", ids);
    assert_false(cleanup_is_disk_short(f.config, &plenty));
    assert_true(cleanup_is_disk_short(f.config, &short_of));
    assert_int_equal(step(&f, T0 + 5 * DAY, &plenty), 0);
    assert_int_equal(step(&f, T0 + 5 * DAY, &short_of), 3);
    fixture_done(&f);
}

static void keeps_the_workspace_of_a_run_that_has_calls(void **state)
{
    char ids[2][CALL_ID_SIZE];
    Fixture f;

    fixture_init(&f, "\"keep\":{\"days\":10}");
    write_finished(&f, 1, "r", ids[0]);
    write_finished(&f, 5, "r", ids[1]);
    fixture_open(&f);
    assert_int_equal(step(&f, T0 + 12 * DAY, &plenty), 1);
    assert_true(has(&f, "runs", "r/workspace/file"));
    assert_int_equal(step(&f, T0 + 15 * DAY, &plenty), 1);
    assert_false(has(&f, "runs", "r"));
    fixture_done(&f);
}

static void ignore_ready(CallFollower *follower, void *userdata)
{
}

static void keeps_what_is_in_use(void **state)
{
    char ids[2][CALL_ID_SIZE];
    CallFollower *follower;
    Call *running;
    Fixture f;

    fixture_init(&f, "\"keep\":{\"days\":1}");
    write_finished(&f, 1, "r", ids[0]);
    write_finished(&f, 2, NULL, ids[1]);
    fixture_open(&f);
    running = fixture_start(&f, "wait", "live", "r");
    assert_int_equal(
        call_follow(calls_find(f.calls, ids[1]), 0, ignore_ready, NULL, &follower, NULL), 0);
    assert_int_equal(step(&f, T0 + 100 * DAY, &plenty), 0);
    assert_true(has(&f, "calls", ids[0])); /* of a run that goes on */
    assert_true(has(&f, "calls", ids[1])); /* somebody reads it */
    (void)call_follower_free(follower);
    assert_int_equal(calls_cancel(f.calls, running, NULL), 0);
    fixture_wait_state(&f, running, CALL_FINISHED);
    assert_int_equal(step(&f, T0 + 100 * DAY, &plenty), 2);
    assert_true(has(&f, "runs", "r/workspace/file"));
    fixture_done(&f);
}

static void never_removes_what_is_not_finished(void **state)
{
    Fixture f;
    Call *calls[2];

    fixture_init(&f, "\"slots\":1,\"keep\":{\"days\":1,\"calls\":1}");
    fixture_open(&f);
    calls[0] = fixture_start(&f, "wait", "k0", NULL);
    calls[1] = fixture_start(&f, "succeed", "k1", NULL);
    assert_int_equal(step(&f, T0 + 100000 * DAY, &short_of), 0);
    assert_int_equal(f.calls->n_all, 2);
    assert_int_equal(calls_cancel(f.calls, calls[0], NULL), 0);
    fixture_wait_state(&f, calls[1], CALL_FINISHED);
    fixture_done(&f);
}

static void write_input(Fixture *f, const char *name, int64_t seconds)
{
    char path[80];

    (void)snprintf(path, sizeof(path), "state/inputs/%s", name);
    fixture_write(f, path, "x");
    set_time(f, path, seconds);
}

static void removes_inputs_with_the_calls_of_their_time(void **state)
{
    char ids[THREE_DAYS][CALL_ID_SIZE];
    Fixture f;

    write_three(&f, "\"keep\":{\"days\":10}", ids);
    write_input(&f, "of-first", T0 - 60);
    write_input(&f, "of-first.sha256", T0 - 60);
    write_input(&f, "of-third", T0 + 2 * DAY - 60);
    write_input(&f, "begun.part", T0 - 60);
    assert_int_equal(step(&f, T0 + 5 * DAY, &plenty), 0);
    assert_true(has(&f, "inputs", "of-first"));
    assert_int_equal(step(&f, T0 + 11 * DAY + 1, &plenty), 2);
    assert_false(has(&f, "inputs", "of-first"));
    assert_false(has(&f, "inputs", "of-first.sha256"));
    assert_false(has(&f, "inputs", "begun.part"));
    assert_true(has(&f, "inputs", "of-third"));
    fixture_done(&f);
}

static void keeps_the_input_of_a_call_that_waits(void **state)
{
    static const char text[] = "{\"source\":{\"input\":\"wanted\"}}";
    _cleanup_json_ Json *parameters = NULL;
    CallRequest request = {.action = "wait", .idempotency_key = "live"};
    bool is_existing;
    Call *call;
    Fixture f;

    fixture_init(&f, "\"keep\":{\"days\":1}");
    fixture_open(&f);
    write_input(&f, "wanted", T0);
    write_input(&f, "unwanted", T0);
    assert_int_equal(json_parse(text, strlen(text), &parameters, NULL), 0);
    request.parameters = parameters;
    assert_int_equal(calls_start(f.calls, &request, &call, &is_existing, NULL), 0);
    assert_int_equal(step(&f, T0 + 5 * DAY, &plenty), 0);
    assert_true(has(&f, "inputs", "wanted"));
    assert_false(has(&f, "inputs", "unwanted"));
    assert_int_equal(calls_cancel(f.calls, call, NULL), 0);
    fixture_wait_state(&f, call, CALL_FINISHED);
    fixture_done(&f);
}

static void leaves_the_runners_own_alone(void **state)
{
    char id[CALL_ID_SIZE];
    Fixture f;

    fixture_init(&f, "\"keep\":{\"days\":1}");
    write_finished(&f, 1, NULL, id);
    fixture_write(&f, "state/cache/git/x", "x");
    fixture_write(&f, "state/releases/prod/000001/record.json", "x");
    fixture_open(&f);
    assert_int_equal(step(&f, T0 + 100 * DAY, &short_of), 1);
    assert_true(has(&f, "cache", "git/x"));
    assert_true(has(&f, "releases", "prod/000001/record.json"));
    fixture_done(&f);
}

/* Twice the same name in the trash. */
static void discards_a_name_again(void **state)
{
    Fixture f;

    fixture_init(&f, "");
    fixture_open(&f);
    for (int i = 0; i < 2; i++) {
        fixture_write(&f, "state/runs/r/workspace/file", "x");
        assert_int_equal(cleanup_discard(f.calls, f.calls->index.runs_fd, "r"), 0);
        assert_false(has(&f, "runs", "r"));
    }
    assert_int_equal(cleanup_discard(f.calls, f.calls->index.runs_fd, "r"), 0);
    fixture_done(&f);
}

/* Many at once are done in steps, so that nothing else waits. */
static void works_in_steps(void **state)
{
    Fixture f;
    size_t removed;

    fixture_init(&f, "\"keep\":{\"calls\":1}");
    for (unsigned i = 0; i < 70; i++) {
        char path[80];

        (void)snprintf(path, sizeof(path), "state/calls/20260101t000000%03u-aaaa/status.json", i);
        fixture_write(&f, path, "{}");
        set_time(&f, path, T0);
    }
    fixture_open(&f);
    assert_int_equal(cleanup_step(f.calls, T0 * 1000000, &plenty, &removed), 1);
    assert_int_equal(removed, 64);
    assert_int_equal(cleanup_step(f.calls, T0 * 1000000, &plenty, &removed), 0);
    assert_int_equal(removed, 5);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removes_by_age),
        cmocka_unit_test(removes_by_number),
        cmocka_unit_test(removes_when_the_disk_is_short),
        cmocka_unit_test(keeps_the_workspace_of_a_run_that_has_calls),
        cmocka_unit_test(keeps_what_is_in_use),
        cmocka_unit_test(never_removes_what_is_not_finished),
        cmocka_unit_test(removes_inputs_with_the_calls_of_their_time),
        cmocka_unit_test(keeps_the_input_of_a_call_that_waits),
        cmocka_unit_test(leaves_the_runners_own_alone),
        cmocka_unit_test(discards_a_name_again),
        cmocka_unit_test(works_in_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
