/* SPDX-License-Identifier: MIT */
#include "agent/deploy/observe.h"

#include "tests/unit/deploy/fake-engine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    *state = fake_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)fake_free(*state);
    return 0;
}

typedef struct Script {
    int answers[4]; /* the last one again and again */
    size_t n;
} Script;

static int ask_script(const Deploy *deploy, void *userdata, Error *err)
{
    Script *script = userdata;
    int r = script->answers[MIN(script->n, ARRAY_SIZE(script->answers) - 1)];

    script->n++;
    return r == 0 ? 0 : (error_set(err, -EIO, "answer %zu", script->n), r);
}

static void asks_until_there_is_an_answer(void **state)
{
    Script script = {.answers = {ENGINE_AWAY, ENGINE_AWAY, ENGINE_AWAY, 0}};
    _cleanup_error_ Error err = {0};
    Fake *fake = *state;

    assert_int_equal(observe_ask(&fake->deploy, 10000, false, ask_script, &script, &err), 0);
    assert_null(err.text);
    assert_int_equal(script.n, 4);
    assert_int_equal(fake->n_wait, 3);
}

static void patience_has_an_end(void **state)
{
    static const struct {
        int answer;
        int64_t patience_ms;
    } cases[] = {{ENGINE_AWAY, 500}, {ENGINE_BUSY, OBSERVE_BUSY_MS}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int a = cases[i].answer;
        Script script = {.answers = {a, a, a, a}};
        _cleanup_error_ Error err = {0};
        Fake *fake = fake_new();
        int64_t start = fake->now_ms;

        assert_int_equal(observe_ask(&fake->deploy, 500, false, ask_script, &script, &err), a);
        assert_int_equal(fake->now_ms - start, cases[i].patience_ms);
        assert_non_null(strstr(error_text(&err), "answer "));
        (void)fake_free(fake);
    }
}

static void an_answer_for_good_is_not_asked_again(void **state)
{
    Script script = {.answers = {-EINVAL}};
    _cleanup_error_ Error err = {0};
    Fake *fake = *state;

    assert_int_equal(observe_ask(&fake->deploy, 500, false, ask_script, &script, &err), -EINVAL);
    assert_int_equal(script.n, 1);
    assert_string_equal(error_text(&err), "answer 1");
}

static void a_cancellation_ends_patience_but_not_persistence(void **state)
{
    Fake *fake = *state;

    fake->cancel_at_ms = 1;
    for (int is_persistent = 0; is_persistent <= 1; is_persistent++) {
        Script script = {.answers = {ENGINE_AWAY, ENGINE_AWAY, 0, 0}};

        assert_int_equal(observe_ask(&fake->deploy, 5000, is_persistent, ask_script, &script, NULL),
                         is_persistent ? 0 : ENGINE_AWAY);
    }
}

static void observe_steps(Fake *fake, const FakeStep *steps, ObserveRequest request,
                          Observation *seen)
{
    _cleanup_json_ Json *specification = json_new_object();

    fake->steps = steps;
    assert_int_equal(
        fake->deploy.engine->apply(fake->deploy.session, "app", specification, "d", NULL), 0);
    request.app = "app";
    request.deployment = "d";
    request.timeout_ms = 60000;
    assert_int_equal(observe(&fake->deploy, &request, seen, NULL), 0);
}

static void every_end(void **state)
{
    static const FakeStep away[] = {{.answer = ENGINE_AWAY}, {.state = _ENGINE_STATE_MAX}};
    static const FakeStep nonsense[] = {{.answer = -EBADMSG}, {.state = _ENGINE_STATE_MAX}};
    static const struct {
        const FakeStep *steps;
        ObserveEnd end;
    } cases[] = {
        {fake_success, OBSERVE_SETTLED},  {fake_failure, OBSERVE_FAILED},
        {fake_hanging, OBSERVE_DEADLINE}, {away, OBSERVE_AWAY},
        {fake_failing, OBSERVE_FAILED},   {nonsense, OBSERVE_AWAY},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_observation_ Observation seen = {0};
        Fake *fake = fake_new();

        observe_steps(fake, cases[i].steps, (ObserveRequest){0}, &seen);
        assert_int_equal(seen.end, cases[i].end);
        (void)fake_free(fake);
    }
}

static void what_holds_it_up_is_told_once(void **state)
{
    _cleanup_observation_ Observation seen = {0};
    Fake *fake = *state;

    observe_steps(fake, fake_failing, (ObserveRequest){0}, &seen);
    assert_string_equal(buffer_text(&fake->log), "so far: it crashed\n");
    assert_string_equal(seen.status.reason, "it crashed twice");
}

/* Health may come and go: only what holds with all new and none old counts, and not what the engine
 * claims while another serves. */
static void what_is_odd_is_said(void **state)
{
    static const FakeStep flapping[] = {
        {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 1, 0}},
        {.state = _ENGINE_STATE_MAX},
    };
    _cleanup_observation_ Observation seen = {0}, elsewhere = {0};
    Fake *fake = *state;

    observe_steps(fake, flapping, (ObserveRequest){0}, &seen);
    assert_int_equal(seen.end, OBSERVE_DEADLINE);
    assert_non_null(strstr(seen.odd, "of 2 instances 1 are healthy"));
    fake_run_before(fake, "other");
    fake->serves_another = true;
    observe_steps(fake, fake_success + 2, (ObserveRequest){0}, &elsewhere);
    assert_int_equal(elsewhere.end, OBSERVE_FAILED);
    assert_non_null(strstr(elsewhere.odd, "runs deployment 'other'"));
}

static void a_cancellation_is_seen_unless_it_is_persistent(void **state)
{
    _cleanup_observation_ Observation first = {0}, second = {0};
    Fake *fake = *state;

    fake->cancel_at_ms = 1;
    observe_steps(fake, fake_success, (ObserveRequest){0}, &first);
    assert_int_equal(first.end, OBSERVE_CANCELLED);
    observe_steps(fake, fake_success, (ObserveRequest){.is_persistent = true}, &second);
    assert_int_equal(second.end, OBSERVE_SETTLED);
}

static void ending_takes_any_end(void **state)
{
    static const FakeStep unhealthy[] = {
        {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 0, 0}},
        {.state = _ENGINE_STATE_MAX},
    };
    static const FakeStep unknown[] = {{.state = ENGINE_UNKNOWN}, {.state = _ENGINE_STATE_MAX}};
    static const struct {
        const FakeStep *steps;
        ObserveEnd end;
    } cases[] = {{unhealthy, OBSERVE_SETTLED}, {unknown, OBSERVE_FAILED}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_observation_ Observation seen = {0};
        Fake *fake = fake_new();

        observe_steps(fake, cases[i].steps, (ObserveRequest){.is_ending = true}, &seen);
        assert_int_equal(seen.end, cases[i].end);
        assert_int_equal(fake->n_wait, 0);
        (void)fake_free(fake);
    }
}

#define with_fake(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fake(asks_until_there_is_an_answer),
        with_fake(patience_has_an_end),
        with_fake(an_answer_for_good_is_not_asked_again),
        with_fake(a_cancellation_ends_patience_but_not_persistence),
        with_fake(every_end),
        with_fake(what_holds_it_up_is_told_once),
        with_fake(what_is_odd_is_said),
        with_fake(a_cancellation_is_seen_unless_it_is_persistent),
        with_fake(ending_takes_any_end),
    };

    return cmocka_run_group_tests_name("observe", tests, NULL, NULL);
}
