/* SPDX-License-Identifier: MIT */
#include "protocol/base/fd.h"
#include "tests/unit/calls/fixture.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OLD "20260101t000000000-aaaa"
#define OLD_PATH(name) "state/calls/" OLD "/" name

/* One finished call made by hand, one that runs, one that waits for it. */
typedef struct Three {
    Fixture f;
    Call *running;
    Call *waiting;
} Three;

static void open_three(Three *t)
{
    fixture_init(&t->f, "\"slots\":2");
    fixture_write_call(&t->f, OLD, "succeed", "k0", "old");
    fixture_write(&t->f, OLD_PATH("journal.ndjson"),
                  "{\"seq\":1,\"time\":1767225601000000,\"type\":\"started\",\"pid\":1}\n"
                  "{\"seq\":2,\"time\":1767225601000000,\"type\":\"report\",\"line\":"
                  "\"{\\\"type\\\":\\\"artifact\\\",\\\"name\\\":\\\"notes\\\",\\\"file\\\":"
                  "\\\"notes.txt\\\",\\\"size\\\":5,\\\"sha256\\\":\\\"" DIGEST
                  "\\\",\\\"format\\\":\\\"file\\\"}\"}\n"
                  "{\"seq\":3,\"time\":1767225602000000,\"type\":\"finished\",\"status\":"
                  "\"failed\",\"exitCode\":3,\"reason\":\"why not\",\"survivors\":0}\n");
    fixture_write(&t->f, OLD_PATH("status.json"), "{}");
    fixture_write(&t->f, OLD_PATH("artifacts/notes.txt"), "hello");
    fixture_open(&t->f);
    assert_int_equal(index_add(&t->f.calls->index, OLD, "k0", "old"), 0);
    t->running = fixture_start(&t->f, "wait", "k1", "r");
    t->waiting = fixture_start(&t->f, "wait", "k2", "r");
}

static void close_three(Three *t)
{
    assert_int_equal(calls_cancel(t->f.calls, t->waiting, NULL), 0);
    assert_int_equal(calls_cancel(t->f.calls, t->running, NULL), 0);
    fixture_wait_state(&t->f, t->running, CALL_FINISHED);
    fixture_done(&t->f);
}

static Json *list(Three *t, unsigned states, const char *run, size_t limit)
{
    _cleanup_error_ Error err = {0};
    Json *calls;

    if (calls_list(t->f.calls, states, run, limit, &calls, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return calls;
}

static void lists_the_newest_first(void **state)
{
    _cleanup_json_ Json *all = NULL;
    const Json *entry;
    char waits_for[64];
    Three t;

    open_three(&t);
    all = list(&t, 0, NULL, 100);
    assert_int_equal(json_length(all), 3);
    entry = json_at(all, 0);
    assert_string_equal(json_get_string(entry, "call"), call_id(t.waiting));
    assert_string_equal(json_get_string(entry, "state"), "queued");
    assert_string_equal(json_get_string(entry, "action"), "wait");
    assert_string_equal(json_get_string(entry, "run"), "r");
    assert_int_equal(json_get_int(entry, "position", 0), 1);
    (void)snprintf(waits_for, sizeof(waits_for), "call %s of the same run", call_id(t.running));
    assert_string_equal(json_get_string(entry, "waitsFor"), waits_for);
    assert_false(json_has(entry, "status"));
    entry = json_at(all, 1);
    assert_string_equal(json_get_string(entry, "state"), "running");
    assert_false(json_has(entry, "position"));
    entry = json_at(all, 2);
    assert_string_equal(json_get_string(entry, "call"), OLD);
    assert_string_equal(json_get_string(entry, "state"), "finished");
    assert_string_equal(json_get_string(entry, "status"), "failed");
    assert_string_equal(json_get_string(entry, "reason"), "why not");
    assert_string_equal(json_get_string(entry, "createdAt"), "2026-01-01T00:00:00.000000Z");
    assert_string_equal(json_get_string(entry, "startedAt"), "2026-01-01T00:00:01.000000Z");
    assert_string_equal(json_get_string(entry, "finishedAt"), "2026-01-01T00:00:02.000000Z");
    close_three(&t);
}

static void lists_what_was_asked_for(void **state)
{
    static const struct {
        unsigned states;
        const char *run;
        size_t limit, expected;
    } rows[] = {
        {0, NULL, 2, 2},
        {1u << CALL_QUEUED, NULL, 100, 1},
        {1u << CALL_RUNNING | 1u << CALL_FINISHED, NULL, 100, 2},
        {0, "r", 100, 2},
        {0, "r", 1, 1},
        {1u << CALL_RUNNING, "r", 100, 1},
        {0, "old", 100, 1},
        {0, "none", 100, 0},
    };
    Three t;

    open_three(&t);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_json_ Json *calls = list(&t, rows[i].states, rows[i].run, rows[i].limit);

        assert_int_equal(json_length(calls), rows[i].expected);
    }
    close_three(&t);
}

static void lists_a_spoiled_call(void **state)
{
    _cleanup_json_ Json *calls = NULL;
    Three t;

    open_three(&t);
    fixture_write(&t.f, OLD_PATH("spec.json"), "spoiled");
    calls = list(&t, 1u << CALL_FINISHED, NULL, 100);
    assert_int_equal(json_length(calls), 1);
    assert_string_equal(json_get_string(json_at(calls, 0), "call"), OLD);
    assert_string_equal(json_get_string(json_at(calls, 0), "createdAt"),
                        "2026-01-01T00:00:00.000000Z");
    close_three(&t);
}

static void describes_a_state(void **state)
{
    _cleanup_json_ Json *running = json_new_object(), *queued = json_new_object();
    _cleanup_json_ Json *for_slot = json_new_object();
    Call *other;
    Three t;

    open_three(&t);
    assert_int_equal(call_describe_state(t.f.calls, t.running, running), 0);
    assert_string_equal(json_get_string(running, "state"), "running");
    assert_int_equal(json_member_count(running), 1);
    t.f.calls->n_running += 2; /* no slot is free */
    other = fixture_start(&t.f, "succeed", "k3", NULL);
    assert_int_equal(call_describe_state(t.f.calls, other, for_slot), 0);
    assert_int_equal(json_get_int(for_slot, "position", 0), 2);
    assert_string_equal(json_get_string(for_slot, "waitsFor"), "a free slot");
    t.f.calls->n_running -= 2;
    calls_schedule(t.f.calls);
    fixture_wait_state(&t.f, other, CALL_FINISHED);
    close_three(&t);
}

/* The second that waits of a run names the first, not the one that runs elsewhere. */
static void names_who_is_first(void **state)
{
    _cleanup_json_ Json *text = json_new_object();
    char waits_for[64];
    Call *first, *second;
    Three t;

    open_three(&t);
    t.f.calls->n_running += 2;
    first = fixture_start(&t.f, "succeed", "k3", "s");
    second = fixture_start(&t.f, "succeed", "k4", "s");
    assert_int_equal(call_describe_state(t.f.calls, second, text), 0);
    (void)snprintf(waits_for, sizeof(waits_for), "call %s of the same run", call_id(first));
    assert_string_equal(json_get_string(text, "waitsFor"), waits_for);
    t.f.calls->n_running -= 2;
    calls_schedule(t.f.calls);
    fixture_wait_state(&t.f, second, CALL_FINISHED);
    close_three(&t);
}

static void has_no_result_before_the_end(void **state)
{
    Json *result = NULL;
    Three t;

    open_three(&t);
    assert_int_equal(call_read_result(t.running, &result, NULL), -EBUSY);
    assert_int_equal(call_read_result(t.waiting, &result, NULL), -EBUSY);
    assert_null(result);
    close_three(&t);
}

static void opens_announced_artifacts(void **state)
{
    _cleanup_json_ Json *artifacts = NULL, *none = NULL;
    _cleanup_fd_ int fd = -1;
    char text[8] = "";
    int64_t size;
    Call *old;
    Three t;

    open_three(&t);
    old = calls_find(t.f.calls, OLD);
    assert_int_equal(call_list_artifacts(old, &artifacts, NULL), 0);
    assert_int_equal(json_length(artifacts), 1);
    assert_string_equal(json_get_string(json_at(artifacts, 0), "artifact"), OLD "/notes");
    assert_false(json_has(json_at(artifacts, 0), "file"));
    assert_int_equal(call_open_artifact(old, "notes", &fd, &size, NULL), 0);
    assert_int_equal(size, 5);
    assert_int_equal(read(fd, text, sizeof(text)), 5);
    assert_string_equal(text, "hello");
    fd = fd_close(fd);
    assert_int_equal(call_open_artifact(old, "notes.txt", &fd, &size, NULL), -ENOENT);
    assert_int_equal(call_open_artifact(old, "../spec.json", &fd, &size, NULL), -ENOENT);
    assert_int_equal(call_list_artifacts(t.running, &none, NULL), 0);
    assert_int_equal(json_length(none), 0);
    assert_int_equal(call_open_artifact(t.running, "notes", &fd, &size, NULL), -ENOENT);
    fixture_write(&t.f, OLD_PATH("artifacts/notes.txt"), "cut");
    assert_int_equal(call_open_artifact(old, "notes", &fd, &size, NULL), -EIO);
    close_three(&t);
}

/* While it runs: what its journal has so far. */
static void lists_artifacts_of_a_running_call(void **state)
{
    JournalRecord record = {.type = JOURNAL_REPORT};
    _cleanup_json_ Json *line = json_new_object(), *artifacts = NULL;
    Three t;

    open_three(&t);
    assert_int_equal(json_set_string(line, "line",
                                     "{\"type\":\"artifact\",\"name\":\"a\",\"file\":\"a\","
                                     "\"size\":1,\"sha256\":\"" DIGEST "\",\"format\":\"file\"}"),
                     0);
    record.json = line;
    assert_int_equal(result_add(&t.running->live->result, call_id(t.running), &record), 0);
    assert_int_equal(call_list_artifacts(t.running, &artifacts, NULL), 0);
    assert_int_equal(json_length(artifacts), 1);
    assert_false(json_has(json_at(artifacts, 0), "file"));
    close_three(&t);
}

static void tells_its_health(void **state)
{
    _cleanup_json_ Json *health = NULL, *ill = NULL;
    const Json *ended;
    Three t;

    open_three(&t);
    assert_int_equal(calls_health(t.f.calls, &health, NULL), 0);
    assert_int_equal(json_get_int(json_get(health, "slots"), "total", -1), 2);
    assert_int_equal(json_get_int(json_get(health, "slots"), "busy", -1), 1);
    assert_int_equal(json_get_int(json_get(health, "queue"), "length", -1), 1);
    assert_true(json_has(json_get(health, "queue"), "oldestSeconds"));
    assert_int_equal(json_get_int(json_get(health, "calls"), "running", -1), 1);
    assert_int_equal(json_get_int(json_get(health, "calls"), "finished", -1), 1);
    assert_int_equal(json_get_int(json_get(health, "calls"), "lost", -1), 0);
    assert_int_equal(json_length(json_get(json_get(health, "calls"), "ended")), 0);
    assert_true(json_get_int(json_get(health, "disk"), "markBytes", -1) > 0);
    assert_true(json_has(json_get(health, "disk"), "freeInodes"));
    assert_true(json_has(json_get(health, "clock"), "time"));
    assert_true(json_get_int(json_get(health, "disk"), "totalBytes", 0) >=
                json_get_int(json_get(health, "disk"), "freeBytes", -1));
    assert_string_equal(json_get_string(health, "containment"),
                        containment_mode(&t.f.calls->containment));
    assert_int_equal(strncmp(json_get_string(health, "confinement"), "none: ", 6), 0);
    assert_false(json_has(health, "publicKey"));
    fixture_write(&t.f, "state/keys/agent.pub", "-----BEGIN PUBLIC KEY-----\n");
    assert_int_equal(unlinkat(t.f.fd, "libexec/slipway-shim", 0), 0);
    t.f.config->disk_free_percent = 101;
    t.f.config->confine = CONFINE_ALWAYS; /* which cannot be in /tmp */
    assert_int_equal(calls_cancel(t.f.calls, t.waiting, NULL), 0);
    assert_int_equal(calls_health(t.f.calls, &ill, NULL), 0);
    assert_true(json_length(json_get(ill, "problems")) ==
                3 + json_length(json_get(health, "problems")));
    assert_true(json_get_bool(health, "isWorking", false));
    assert_false(json_get_bool(ill, "isWorking", true));
    ended = json_at(json_get(json_get(ill, "calls"), "ended"), 0);
    assert_string_equal(json_get_string(ended, "action"), "wait");
    assert_string_equal(json_get_string(ended, "status"), "cancelled");
    assert_int_equal(json_get_int(ended, "count", 0), 1);
    assert_string_equal(json_get_string(ill, "publicKey"), "-----BEGIN PUBLIC KEY-----\n");
    close_three(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_the_newest_first),
        cmocka_unit_test(lists_what_was_asked_for),
        cmocka_unit_test(lists_a_spoiled_call),
        cmocka_unit_test(describes_a_state),
        cmocka_unit_test(names_who_is_first),
        cmocka_unit_test(has_no_result_before_the_end),
        cmocka_unit_test(opens_announced_artifacts),
        cmocka_unit_test(lists_artifacts_of_a_running_call),
        cmocka_unit_test(tells_its_health),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
