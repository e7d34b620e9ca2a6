/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/subscription.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/endpoint/fake-calls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct Fixture {
    Calls *calls;
    Subscriptions s;
    Buffer out;
    unsigned n_woken;
} Fixture;

static void on_woken(void *userdata)
{
    ((Fixture *)userdata)->n_woken++;
}

static int set_up(void **state)
{
    static Fixture f;

    f = (Fixture){.calls = fake_calls_new()};
    subscriptions_init(&f.s, on_woken, &f);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    subscriptions_done(&f->s);
    buffer_done(&f->out);
    f->calls = fake_calls_free(f->calls);
    return 0;
}

/* How many lines one pull gives. */
static unsigned pull(Fixture *f, size_t enough)
{
    unsigned n = 0;

    buffer_clear(&f->out);
    assert_int_equal(subscriptions_pull(&f->s, &f->out, enough, NULL), 0);
    for (const char *at = buffer_text(&f->out); (at = strchr(at, '\n')); at++) {
        n++;
    }
    return n;
}

static void what_was_missed_comes_once(void **state)
{
    Fixture *f = *state;
    Call *call = fake_calls_add(f->calls, "a");

    fake_call_log(call, "stdout", "1", 1);
    fake_call_log(call, "stdout", "2", 1);
    assert_int_equal(subscriptions_add(&f->s, call, 1, NULL), 0);
    assert_true(subscriptions_has_ready(&f->s));
    assert_int_equal(pull(f, 100000), 1);
    assert_non_null(strstr(buffer_text(&f->out), "\"seq\":2,"));
    assert_false(subscriptions_has_ready(&f->s));
    assert_int_equal(pull(f, 100000), 0);
}

static void news_wake_once_until_they_are_read(void **state)
{
    Fixture *f = *state;
    Call *call = fake_calls_add(f->calls, "a");

    assert_int_equal(subscriptions_add(&f->s, call, 0, NULL), 0);
    assert_int_equal(pull(f, 100000), 0);
    fake_call_log(call, "stdout", "1", 1);
    fake_call_log(call, "stdout", "2", 1);
    assert_int_equal(f->n_woken, 1);
    assert_int_equal(pull(f, 100000), 2);
    fake_call_log(call, "stdout", "3", 1);
    assert_int_equal(f->n_woken, 2);
}

static void after_the_last_event_it_is_gone(void **state)
{
    Fixture *f = *state;
    Call *call = fake_calls_add(f->calls, "a");

    assert_int_equal(subscriptions_add(&f->s, call, 0, NULL), 0);
    fake_call_finish(call);
    assert_int_equal(pull(f, 100000), 1);
    assert_int_equal(f->s.n, 0);
    assert_int_equal(fake_call_n_followers(call), 0);
}

static void attaching_again_moves_the_point(void **state)
{
    Fixture *f = *state;
    Call *call = fake_calls_add(f->calls, "a");

    fake_call_log(call, "stdout", "1", 1);
    fake_call_log(call, "stdout", "2", 1);
    assert_int_equal(subscriptions_add(&f->s, call, 0, NULL), 0);
    assert_int_equal(pull(f, 100000), 2);
    assert_int_equal(subscriptions_add(&f->s, call, 1, NULL), 0);
    assert_int_equal(f->s.n, 1);
    assert_int_equal(fake_call_n_followers(call), 1);
    assert_int_equal(pull(f, 100000), 1);
}

static void nothing_comes_after_a_detach(void **state)
{
    Fixture *f = *state;
    Call *call = fake_calls_add(f->calls, "a");

    fake_call_log(call, "stdout", "1", 1);
    assert_int_equal(subscriptions_add(&f->s, call, 0, NULL), 0);
    subscriptions_remove(&f->s, "a");
    subscriptions_remove(&f->s, "a");
    assert_int_equal(pull(f, 100000), 0);
    assert_int_equal(f->s.n, 0);
}

static void a_full_window_is_not_filled_further(void **state)
{
    Fixture *f = *state;
    Call *call = fake_calls_add(f->calls, "a");
    static char data[4096];

    memset(data, 'x', sizeof(data));
    for (int i = 0; i < 100; i++) {
        fake_call_log(call, "stdout", data, sizeof(data));
    }
    assert_int_equal(subscriptions_add(&f->s, call, 0, NULL), 0);
    assert_int_equal(pull(f, 10000), 3);
    assert_true(f->out.len < 10000 + 4096 + 256);
    assert_true(subscriptions_has_ready(&f->s));
    assert_int_equal(pull(f, 1000000), 97);
}

/* One that logs without end leaves room for the others. */
static void calls_take_turns(void **state)
{
    Fixture *f = *state;
    Call *loud = fake_calls_add(f->calls, "loud"), *quiet = fake_calls_add(f->calls, "quiet");
    static char data[4096];

    memset(data, 'x', sizeof(data));
    for (int i = 0; i < 200; i++) {
        fake_call_log(loud, "stdout", data, sizeof(data));
    }
    fake_call_log(quiet, "stdout", "psst", 4);
    assert_int_equal(subscriptions_add(&f->s, loud, 0, NULL), 0);
    assert_int_equal(subscriptions_add(&f->s, quiet, 0, NULL), 0);
    assert_true(pull(f, 200000) > 30);
    assert_non_null(strstr(buffer_text(&f->out), "psst"));
}

static void there_is_a_limit(void **state)
{
    Fixture *f = *state;
    _cleanup_error_ Error err = {0};
    Call *call = NULL;

    for (int i = 0; i <= SUBSCRIPTIONS_MAX; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "c%d", i);
        call = fake_calls_add(f->calls, id);
        assert_int_equal(subscriptions_add(&f->s, call, 0, &err),
                         i < SUBSCRIPTIONS_MAX ? 0 : -EBUSY);
    }
    assert_non_null(strstr(err.text, "follows 1024 calls"));
    /* One that is followed already is no new one. */
    assert_int_equal(subscriptions_add(&f->s, calls_find(f->calls, "c5"), 0, NULL), 0);
    subscriptions_remove(&f->s, "c0");
    assert_int_equal(subscriptions_add(&f->s, call, 0, NULL), 0);
}

static void a_failure_names_the_call(void **state)
{
    Fixture *f = *state;
    _cleanup_error_ Error err = {0};
    Call *call = fake_calls_add(f->calls, "a");

    fake_calls_fail_next(f->calls, -EIO);
    assert_int_equal(subscriptions_add(&f->s, call, 0, &err), -EIO);
    assert_int_equal(f->s.n, 0);
    assert_int_equal(subscriptions_add(&f->s, call, 0, &err), 0);
    fake_calls_fail_next(f->calls, -EIO);
    assert_int_equal(subscriptions_pull(&f->s, &f->out, 1000, &err), -EIO);
    assert_string_equal(err.text, "following call 'a': made to fail");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_missed_comes_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(news_wake_once_until_they_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_the_last_event_it_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(attaching_again_moves_the_point, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_comes_after_a_detach, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_window_is_not_filled_further, set_up, tear_down),
        cmocka_unit_test_setup_teardown(calls_take_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(there_is_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_names_the_call, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
