/* SPDX-License-Identifier: MIT */
#include "tests/unit/calls/fixture.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a follower gave, one event a line: "SEQ TYPE DATA". */
typedef struct Seen {
    CallFollower *follower;
    Buffer text;
    unsigned n_ready;
    bool may_read;
    int problem;
} Seen;

static const char *const type_names[_CALL_EVENT_TYPE_MAX] = {
    [CALL_EVENT_STARTED] = "started",   [CALL_EVENT_LOG] = "log",
    [CALL_EVENT_PROGRESS] = "progress", [CALL_EVENT_OUTPUT] = "output",
    [CALL_EVENT_ARTIFACT] = "artifact", [CALL_EVENT_FINISHED] = "finished",
};

static void note(Seen *seen, const CallEvent *event)
{
    Buffer *b = &seen->text;

    assert_int_equal(
        buffer_append_format(b, "%llu %s", (unsigned long long)event->seq, type_names[event->type]),
        0);
    assert_true(event->time_us > 0);
    if (event->type == CALL_EVENT_LOG) {
        assert_int_equal(buffer_append_format(b, " %s %lld %.*s", event->stream,
                                              (long long)event->offset, (int)event->len,
                                              event->data),
                         0);
    } else {
        assert_non_null(event->details);
        assert_int_equal(buffer_append_text(b, "\n"), 0);
    }
}

static void read_all(Seen *seen)
{
    CallEvent event;
    int r;

    while ((r = call_follower_next(seen->follower, &event, NULL)) > 0) {
        note(seen, &event);
    }
    seen->problem = r;
}

static void on_ready(CallFollower *follower, void *userdata)
{
    Seen *seen = userdata;

    assert_ptr_equal(follower, seen->follower);
    assert_true(seen->may_read);
    seen->n_ready++;
    read_all(seen);
}

static void follow(Seen *seen, Call *call, uint64_t after)
{
    _cleanup_error_ Error err = {0};

    *seen = (Seen){0};
    if (call_follow(call, after, on_ready, seen, &seen->follower, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void stop(Seen *seen)
{
    seen->follower = call_follower_free(seen->follower);
    buffer_done(&seen->text);
}

static bool is_done(Fixture *f, void *userdata)
{
    const Seen *seen = userdata;

    return call_follower_is_done(seen->follower);
}

#define ALL "1 started\n2 log stdout 0 hello\n3 log stderr 6 world\n4 output\n5 finished\n"

static void follows_from_the_first_event(void **state)
{
    Fixture f;
    Seen seen;

    fixture_init(&f, "");
    fixture_open(&f);
    follow(&seen, fixture_start(&f, "report", "k", NULL), 0);
    seen.may_read = true;
    read_all(&seen);
    fixture_wait(&f, is_done, &seen);
    assert_string_equal(buffer_text(&seen.text), ALL);
    assert_int_equal(seen.problem, 0);
    stop(&seen);
    fixture_done(&f);
}

static void replays_from_any_event(void **state)
{
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_open(&f);
    call = fixture_start(&f, "report", "k", NULL);
    fixture_wait_state(&f, call, CALL_FINISHED);
    for (uint64_t after = 0; after < 5; after++) {
        const char *expected = ALL;
        char start[8];
        Seen seen;

        (void)snprintf(start, sizeof(start), "%llu ", (unsigned long long)after + 1);
        follow(&seen, call, after);
        read_all(&seen);
        assert_string_equal(buffer_text(&seen.text), strstr(expected, start));
        assert_true(call_follower_is_done(seen.follower));
        stop(&seen);
    }
    fixture_done(&f);
}

static void is_done_beyond_the_end(void **state)
{
    static const uint64_t afters[] = {5, 6, UINT64_MAX};
    Fixture f;
    Call *call;

    fixture_init(&f, "");
    fixture_open(&f);
    call = fixture_start(&f, "report", "k", NULL);
    fixture_wait_state(&f, call, CALL_FINISHED);
    for (size_t i = 0; i < ARRAY_SIZE(afters); i++) {
        Seen seen;

        follow(&seen, call, afters[i]);
        read_all(&seen);
        assert_string_equal(buffer_text(&seen.text), "");
        assert_true(call_follower_is_done(seen.follower));
        stop(&seen);
    }
    fixture_done(&f);
}

static bool has_begun(Fixture *f, void *userdata)
{
    const Seen *seen = userdata;

    return seen->text.len > 0;
}

/* Ready is said by the loop, never by a function that was called. */
static void waits_through_queue_and_run(void **state)
{
    Fixture f;
    Call *first, *second;
    Seen seen;

    fixture_init(&f, "\"slots\":1");
    fixture_open(&f);
    first = fixture_start(&f, "wait", "k1", NULL);
    second = fixture_start(&f, "wait", "k2", NULL);
    follow(&seen, second, 0);
    read_all(&seen);
    assert_string_equal(buffer_text(&seen.text), "");
    assert_false(call_follower_is_done(seen.follower));
    assert_int_equal(calls_cancel(f.calls, first, NULL), 0);
    seen.may_read = true;
    fixture_wait(&f, has_begun, &seen);
    assert_string_equal(buffer_text(&seen.text), "1 started\n");
    seen.may_read = false;
    assert_int_equal(calls_cancel(f.calls, second, NULL), 0);
    seen.may_read = true;
    fixture_wait(&f, is_done, &seen);
    assert_string_equal(buffer_text(&seen.text), "1 started\n2 finished\n");
    stop(&seen);
    fixture_done(&f);
}

static void tells_the_end_of_a_queued_call(void **state)
{
    Fixture f;
    Call *first, *second;
    Seen seen, end_only;

    fixture_init(&f, "\"slots\":1");
    fixture_open(&f);
    first = fixture_start(&f, "wait", "k1", NULL);
    second = fixture_start(&f, "succeed", "k2", NULL);
    follow(&seen, second, 0);
    follow(&end_only, second, UINT64_MAX); /* is never read, only told */
    read_all(&seen);
    assert_int_equal(calls_cancel(f.calls, second, NULL), 0);
    seen.may_read = end_only.may_read = true;
    fixture_wait(&f, is_done, &seen);
    fixture_wait(&f, is_done, &end_only);
    assert_string_equal(buffer_text(&seen.text), "1 finished\n");
    assert_string_equal(buffer_text(&end_only.text), "");
    assert_int_equal(end_only.n_ready, 1);
    stop(&seen);
    stop(&end_only);
    assert_int_equal(calls_cancel(f.calls, first, NULL), 0);
    fixture_wait_state(&f, first, CALL_FINISHED);
    fixture_done(&f);
}

/* The journal has its last record, the shim still lives: the event comes when the result stands. */
static void gives_the_end_only_when_it_is_settled(void **state)
{
    Fixture f;
    Call *call;
    Seen seen;
    char path[128];
    CallSpec spec = {.action = "wait", .created_us = 1};

    fixture_init(&f, "");
    fixture_open(&f);
    call = call_new(f.calls, "20260101t000000000-aaaa");
    assert_int_equal(call_make_live(call, &spec), 0);
    fixture_write_call(&f, call->id, "wait", "k", NULL);
    (void)snprintf(path, sizeof(path), "state/calls/%s/journal.ndjson", call->id);
    fixture_write(&f, path,
                  "{\"seq\":1,\"time\":5,\"type\":\"started\",\"pid\":1}\n"
                  "{\"seq\":2,\"time\":6,\"type\":\"finished\",\"status\":\"succeeded\"}\n");
    call_set_state(call, CALL_RUNNING);
    follow(&seen, call, 0);
    read_all(&seen);
    assert_string_equal(buffer_text(&seen.text), "1 started\n");
    assert_false(call_follower_is_done(seen.follower));
    call_set_state(call, CALL_FINISHED);
    read_all(&seen);
    assert_string_equal(buffer_text(&seen.text), "1 started\n2 finished\n");
    stop(&seen);
    call_let_go(call);
    (void)call_free(call);
    fixture_done(&f);
}

static void write_finished(Fixture *f, const char *journal, const char *log)
{
    fixture_write_call(f, "20260101t000000000-aaaa", "build", "k", NULL);
    fixture_write(f, "state/calls/20260101t000000000-aaaa/status.json",
                  "{\"seq\":3,\"time\":7,\"type\":\"finished\",\"status\":\"succeeded\"}\n");
    fixture_write(f, "state/calls/20260101t000000000-aaaa/journal.ndjson", journal);
    if (log) {
        fixture_write(f, "state/calls/20260101t000000000-aaaa/output.log", log);
    }
    fixture_open(f);
}

static void gives_what_there_is_of_a_log(void **state)
{
    Fixture f;
    Seen seen;

    fixture_init(&f, "");
    write_finished(&f,
                   "{\"seq\":1,\"time\":5,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":0,"
                   "\"length\":3}\n"
                   "{\"seq\":2,\"time\":6,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":3,"
                   "\"length\":9}\n"
                   "{\"seq\":3,\"time\":7,\"type\":\"finished\",\"status\":\"succeeded\"}\n",
                   "ab\ncd\n");
    follow(&seen, calls_find(f.calls, "20260101t000000000-aaaa"), 0);
    read_all(&seen);
    assert_string_equal(buffer_text(&seen.text),
                        "1 log stdout 0 ab\n2 log stdout 3 cd\n3 finished\n");
    stop(&seen);
    fixture_done(&f);
}

static void refuses_a_record_that_is_too_long(void **state)
{
    Fixture f;
    Seen seen;

    fixture_init(&f, "");
    write_finished(&f,
                   "{\"seq\":1,\"time\":5,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":0,"
                   "\"length\":65537}\n",
                   "x");
    follow(&seen, calls_find(f.calls, "20260101t000000000-aaaa"), 0);
    read_all(&seen);
    assert_int_equal(seen.problem, -EBADMSG);
    stop(&seen);
    fixture_done(&f);
}

static void holds_no_buffer_while_it_waits(void **state)
{
    Fixture f;
    Call *call;
    Seen seen;

    fixture_init(&f, "");
    fixture_open(&f);
    call = fixture_start(&f, "wait", "k", NULL);
    follow(&seen, call, 0);
    seen.may_read = true;
    read_all(&seen);
    fixture_wait(&f, has_begun, &seen);
    assert_null(seen.follower->data);
    assert_null(seen.follower->journal.buffer.data);
    assert_int_equal(calls_cancel(f.calls, call, NULL), 0);
    fixture_wait(&f, is_done, &seen);
    stop(&seen);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_from_the_first_event),
        cmocka_unit_test(replays_from_any_event),
        cmocka_unit_test(is_done_beyond_the_end),
        cmocka_unit_test(waits_through_queue_and_run),
        cmocka_unit_test(tells_the_end_of_a_queued_call),
        cmocka_unit_test(gives_the_end_only_when_it_is_settled),
        cmocka_unit_test(gives_what_there_is_of_a_log),
        cmocka_unit_test(refuses_a_record_that_is_too_long),
        cmocka_unit_test(holds_no_buffer_while_it_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
