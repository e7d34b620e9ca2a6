/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/waiting.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/endpoint/fake-calls.h"

#include <errno.h>
#include <string.h>

typedef struct Fixture {
    Calls *calls;
    Call *call;
    Waiting w;
    Json *id;
    unsigned n_woken;
} Fixture;

static void on_woken(void *userdata)
{
    ((Fixture *)userdata)->n_woken++;
}

static int set_up(void **state)
{
    static Fixture f;

    f = (Fixture){.calls = fake_calls_new(), .id = json_new_int(7)};
    f.call = fake_calls_add(f.calls, "a");
    waiting_init(&f.w, f.calls, on_woken, &f);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    waiting_done(&f->w);
    f->id = json_unref(f->id);
    f->calls = fake_calls_free(f->calls);
    return 0;
}

static void expect_taken(Fixture *f, bool is_last_chance, int64_t wanted_id, const char *wanted)
{
    _cleanup_json_ Json *id = NULL;
    _cleanup_free_ char *call = NULL;

    assert_int_equal(waiting_take(&f->w, is_last_chance, &id, &call), 1);
    assert_int_equal(json_as_int(id, -1), wanted_id);
    assert_string_equal(call, wanted);
}

static void it_waits_for_the_end_and_for_nothing_else(void **state)
{
    Fixture *f = *state;
    _cleanup_json_ Json *id = NULL;
    _cleanup_free_ char *call = NULL;

    assert_int_equal(waiting_add(&f->w, f->id, f->call, NULL), 0);
    fake_call_log(f->call, "stdout", "x", 1);
    assert_int_equal(f->n_woken, 0);
    assert_false(waiting_has_finished(&f->w));
    assert_int_equal(waiting_take(&f->w, false, &id, &call), 0);
    fake_call_finish(f->call);
    assert_int_equal(f->n_woken, 1);
    assert_true(waiting_has_finished(&f->w));
    expect_taken(f, false, 7, "a");
    assert_int_equal(f->w.n, 0);
    assert_int_equal(fake_call_n_followers(f->call), 0);
}

static void a_call_that_is_over_is_found_at_once(void **state)
{
    Fixture *f = *state;

    fake_call_finish(f->call);
    assert_int_equal(waiting_add(&f->w, f->id, f->call, NULL), 0);
    expect_taken(f, false, 7, "a");
}

static void one_that_cannot_be_followed_is_over(void **state)
{
    Fixture *f = *state;

    assert_int_equal(waiting_add(&f->w, f->id, f->call, NULL), 0);
    fake_calls_fail_next(f->calls, -EIO);
    fake_call_log(f->call, "stdout", "x", 1);
    expect_taken(f, false, 7, "a");
}

static void the_last_chance_gives_also_the_unfinished(void **state)
{
    Fixture *f = *state;
    Call *other = fake_calls_add(f->calls, "b");

    assert_int_equal(waiting_add(&f->w, f->id, f->call, NULL), 0);
    assert_int_equal(waiting_add(&f->w, f->id, other, NULL), 0);
    fake_call_finish(other);
    expect_taken(f, true, 7, "b");
    expect_taken(f, true, 7, "a");
}

static void health_waits_for_the_engines(void **state)
{
    Fixture *f = *state;
    _cleanup_json_ Json *id = NULL;
    _cleanup_free_ char *call = NULL;

    assert_int_equal(waiting_add_health(&f->w, f->id, NULL), 0); /* there are none */
    assert_int_equal(f->w.n, 0);
    fake_calls_set_engines(f->calls);
    assert_int_equal(waiting_add_health(&f->w, f->id, NULL), 1);
    assert_int_equal(waiting_take(&f->w, false, &id, &call), 0);
    assert_true(fake_calls_tell_engines(f->calls));
    assert_int_equal(f->n_woken, 1);
    assert_int_equal(waiting_take(&f->w, false, &id, &call), 1);
    assert_int_equal(json_as_int(id, -1), 7);
    assert_null(call);
}

static void who_hung_up_waits_for_no_engine(void **state)
{
    Fixture *f = *state;

    fake_calls_set_engines(f->calls);
    assert_int_equal(waiting_add_health(&f->w, f->id, NULL), 1);
    waiting_done(&f->w);
    assert_int_equal(f->w.n, 0);
}

static void there_is_a_limit(void **state)
{
    Fixture *f = *state;
    _cleanup_error_ Error err = {0};

    for (int i = 0; i < WAITING_MAX; i++) {
        assert_int_equal(waiting_add(&f->w, f->id, f->call, NULL), 0);
    }
    assert_int_equal(waiting_add(&f->w, f->id, f->call, &err), -EBUSY);
    assert_non_null(strstr(err.text, "64 requests"));
    fake_call_finish(f->call);
    for (int i = 0; i < WAITING_MAX; i++) {
        expect_taken(f, false, 7, "a");
    }
    assert_int_equal(waiting_add(&f->w, f->id, f->call, NULL), 0);
}

static void a_failure_leaves_nothing_behind(void **state)
{
    Fixture *f = *state;
    _cleanup_error_ Error err = {0};

    fake_calls_fail_next(f->calls, -EIO);
    assert_int_equal(waiting_add(&f->w, f->id, f->call, &err), -EIO);
    assert_int_equal(f->w.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_waits_for_the_end_and_for_nothing_else, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_call_that_is_over_is_found_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_followed_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_chance_gives_also_the_unfinished, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(health_waits_for_the_engines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_hung_up_waits_for_no_engine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(there_is_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_leaves_nothing_behind, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
