/* SPDX-License-Identifier: MIT */
#include "agent/deploy/deploy.h"

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

/* Deploys "new" over whatever serves. */
static void run(Fake *fake, DeployOutcome *outcome)
{
    _cleanup_engine_current_ EngineCurrent before = {0};
    _cleanup_error_ Error err = {0};
    KeptRelease *release = fake_release(fake, "new");
    int r = fake->deploy.engine->current(fake->deploy.session, "app", &before, &err);

    fake->n_current = 0; /* the test's own question does not count */
    assert_int_equal(
        deploy_run(&fake->deploy, release, r == ENGINE_ABSENT ? NULL : &before, outcome, &err), 0);
    assert_null(err.text);
}

static void assert_outcome(const Fake *fake, unsigned number, const char *outcome)
{
    _cleanup_json_ Json *record = fake_record(fake, number);

    assert_string_equal(json_get_string(record, "outcome"), outcome);
    assert_non_null(json_get_string(record, "finishedAt"));
}

static void assert_says(const char *text, const char *wanted)
{
    if (!text || !strstr(text, wanted)) {
        fail_msg("'%s' is not in '%s'", wanted, text ? text : "(nothing)");
    }
}

/* ---- it goes well -----------------------------------------------------------------------------
 */

static void success_is_all_new_and_healthy(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_SUCCEEDED);
    assert_null(outcome.reason);
    assert_string_equal(outcome.current.deployment, "new");
    assert_int_equal(fake->n_apply, 1);
    assert_string_equal(buffer_text(&fake->progress), "0/2 1/2 2/2 ");
    assert_outcome(fake, 2, "succeeded");
}

static void the_first_one_replaces_nothing(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    _cleanup_json_ Json *record = NULL;
    Fake *fake = *state;

    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_SUCCEEDED);
    record = fake_record(fake, 1);
    assert_false(json_has(record, "before"));
}

/* What is needed to put it back is on disk before the engine hears of anything. */
static void what_ran_before_is_written_down_first(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    _cleanup_json_ Json *record = NULL, *replaced = NULL;
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->apply_answers[0] = -EINVAL;
    run(fake, &outcome);
    record = fake_record(fake, 2);
    assert_string_equal(json_get_string(json_get(record, "before"), "deployment"), "old");
    assert_int_equal(json_get_int(json_get(record, "before"), "number", 0), 1);
    assert_int_equal(releases_read_file(&fake->releases, 2, RELEASES_REPLACED, &replaced, NULL), 0);
    assert_string_equal(json_get_string(replaced, "of"), "old");
}

static void a_claim_of_success_is_not_enough(void **state)
{
    static const FakeStep claims[] = {
        {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 1, 0}},
        {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 2, 1}},
        {.state = ENGINE_SUCCEEDED, .counts = {2, 1, 1, 0}},
        {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 2, 0}},
        {.state = _ENGINE_STATE_MAX},
    };
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake->steps = claims;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_SUCCEEDED);
    assert_int_equal(fake->n_poll, 4);
}

static void an_engine_that_is_away_for_a_moment(void **state)
{
    static const FakeStep away[] = {
        {.answer = ENGINE_AWAY},
        {.answer = ENGINE_AWAY},
        {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 2, 0}},
        {.state = _ENGINE_STATE_MAX},
    };
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake->steps = away;
    fake->apply_answers[0] = fake->apply_answers[1] = ENGINE_AWAY;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_SUCCEEDED);
    assert_int_equal(fake->n_apply, 3);
    assert_int_equal(fake->n_deployments, 1);
    assert_says(buffer_text(&fake->log), "asking again");
}

static void another_deployment_is_let_finish(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake->apply_answers[0] = fake->apply_answers[1] = ENGINE_BUSY;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_SUCCEEDED);
    assert_int_equal(fake->n_apply, 3);
}

static void delays_grow_and_are_bounded(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake->steps = fake_hanging;
    run(fake, &outcome);
    assert_true(fake->longest_wait_ms <= OBSERVE_DELAY_LAST_MS * 6 / 5);
    assert_true(fake->longest_wait_ms >= OBSERVE_DELAY_LAST_MS * 4 / 5);
    assert_true(fake->n_poll < 120); /* in 60 s */
    assert_true(fake->now_ms <= 1000 + 60000 + 10);
}

/* ---- it does not ------------------------------------------------------------------------------
 */

static void failure_says_why_and_what_serves(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->steps = fake_failure;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_string_equal(outcome.reason,
                        "version 2 did not come up: instance 1 exited with status 3; version 1 "
                        "(commit c0ffee) still serves");
    assert_says(buffer_text(&fake->log), "no such table");
    assert_true(outcome.is_restored);
    assert_string_equal(outcome.current.deployment, "old");
    assert_int_equal(fake->n_apply, 1);
    assert_int_equal(fake->n_cancel, 0);
    assert_outcome(fake, 2, "failed");
}

/* An engine that would try for ever is told to stop at once, not at the deadline. */
static void what_will_not_come_up_is_cancelled(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;
    int64_t began_ms = fake->now_ms;

    fake_run_before(fake, "old");
    fake->steps = fake_failing;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_string_equal(outcome.reason, "version 2 did not come up: it crashed twice; version 1 "
                                        "(commit c0ffee) still serves");
    assert_int_equal(fake->n_cancel, 1);
    assert_in_range(fake->now_ms - began_ms, 1, 1000);
    assert_outcome(fake, 2, "failed");
}

/* What ran before is not well because it runs again. */
static void what_is_back_may_not_be_well(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->serving_counts.healthy = 1;
    fake->steps = fake_failure;
    run(fake, &outcome);
    assert_says(outcome.reason, "version 1 (commit c0ffee) is back, but it is not well: 1 of 2 "
                                "instances are healthy");
    assert_false(outcome.is_restored);
}

static void a_first_failure_leaves_nothing(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake->steps = fake_failure;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_says(outcome.reason, "nothing ran before it, and nothing runs now");
    assert_false(outcome.is_restored);
}

static void the_deadline_cancels(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->steps = fake_hanging;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_says(outcome.reason, "version 2 was not there within 60 s: 1 of 2 instances were "
                                "healthy, 2 old ones were left; version 1 (commit c0ffee) still");
    assert_int_equal(fake->n_cancel, 1);
    assert_outcome(fake, 2, "failed");
}

/* An engine that replaces in place has lost what ran before: it is put back, as a deployment of its
 * own. */
static void what_ran_before_is_put_back(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    _cleanup_json_ Json *record = NULL;
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->steps = fake_failure;
    fake->replaces_at_once = true;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_says(outcome.reason, "version 1 (commit c0ffee) was put back");
    assert_true(outcome.is_restored);
    assert_string_equal(fake->serving, "new-back");
    record = fake_record(fake, 2);
    assert_string_equal(json_get_string(record, "putBackAs"), "new-back");
    assert_outcome(fake, 2, "failed");
}

static void putting_back_may_fail_too(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->steps = fake->back_steps = fake_failure;
    fake->replaces_at_once = true;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_false(outcome.is_restored);
    assert_says(outcome.reason, "putting back version 1 (commit c0ffee) failed as well");
}

/* Never undo what somebody else has done meanwhile. */
static void what_is_none_of_ours_is_left_alone(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->serves_another = true;
    free(fake->serving);
    fake->serving = strdup("other");
    {
        KeptRelease *release = fake_release(fake, "new");
        EngineCurrent before = {.deployment = (char *)"old"};

        assert_int_equal(deploy_run(&fake->deploy, release, &before, &outcome, NULL), 0);
    }
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_says(outcome.reason, "but 'app' runs deployment 'other'");
    assert_says(outcome.reason, "deployment 'other', which is none of this, runs now");
    assert_int_equal(fake->n_apply, 1);
}

static void the_engine_says_no(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->apply_answers[0] = -EINVAL;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_says(outcome.reason, "was not deployed, nothing has changed: the fake engine answers");
    assert_outcome(fake, 2, "failed");
}

static void an_app_that_stays_busy_refuses(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    for (size_t i = 0; i < FAKE_STEPS_MAX; i++) {
        fake->apply_answers[i] = ENGINE_BUSY;
    }
    fake->n_apply = 0;
    fake->cancel_at_ms = 1200; /* soon enough that the script does not run out */
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_REFUSED);
    assert_says(outcome.reason, "nothing has changed");
}

/* Whether it was taken is not known, so its end is left open: the record says nothing that may be
 * wrong. */
static void an_engine_that_stays_away_leaves_it_open(void **state)
{
    static const FakeStep away[] = {{.answer = ENGINE_AWAY}, {.state = _ENGINE_STATE_MAX}};
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    _cleanup_json_ Json *record = NULL;
    Fake *fake = *state;

    fake->steps = away;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_says(outcome.reason, "what became of deployment new is not known");
    record = fake_record(fake, 1);
    assert_false(json_has(record, "outcome"));
    assert_non_null(releases_find_unsettled(&fake->releases));
}

static void an_engine_that_forgets_it(void **state)
{
    static const FakeStep unknown[] = {{.state = ENGINE_UNKNOWN}, {.state = _ENGINE_STATE_MAX}};
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->steps = unknown;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_says(outcome.reason, "the engine does not know the deployment any more");
    assert_true(fake->now_ms < 1000 + OBSERVE_ODD_MS + 2000);
}

/* ---- cancelling -------------------------------------------------------------------------------
 */

static void cancelling_leaves_the_old_one(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->steps = fake_hanging;
    fake->cancel_at_ms = 1500;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_CANCELLED);
    assert_string_equal(outcome.reason,
                        "version 2 was cancelled; version 1 (commit c0ffee) still serves");
    assert_int_equal(fake->n_cancel, 1);
    assert_outcome(fake, 2, "cancelled");
}

static void cancelling_comes_too_late(void **state)
{
    static const FakeStep done[] = {
        {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 2, 0}},
        {.state = _ENGINE_STATE_MAX},
    };
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->steps = fake_hanging;
    fake->cancelled = done;
    fake->cancel_at_ms = 1500;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_SUCCEEDED);
    assert_outcome(fake, 2, "succeeded");
}

static void cancelling_keeps_to_its_grace(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->steps = fake->cancelled = fake_hanging;
    fake->cancel_at_ms = 1500;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_CANCELLED);
    assert_true(fake->now_ms < 1500 + fake->deploy.grace_ms + 3000);
}

/* ---- settling ---------------------------------------------------------------------------------
 */

/* As after a kill -9: the record is there, `applied` says whether the engine heard of it. */
static KeptRelease *leave_unsettled(Fake *fake, bool is_applied)
{
    _cleanup_json_ Json *specification = json_new_object();
    KeptRelease *release;

    fake_run_before(fake, "old");
    release = fake_release(fake, "new");
    if (is_applied) {
        assert_int_equal(
            fake->deploy.engine->apply(fake->deploy.session, "app", specification, "new", NULL), 0);
    }
    fake->n_apply = 0;
    return release;
}

static void one_under_way_becomes_this_calls_own(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;
    KeptRelease *release = leave_unsettled(fake, true);

    assert_int_equal(deploy_settle(&fake->deploy, release, true, &outcome, NULL), DEPLOY_RESUMED);
    assert_int_equal(outcome.result, DEPLOY_SUCCEEDED);
    assert_int_equal(fake->n_apply, 0);
    assert_int_equal(fake->n_deployments, 1);
    assert_outcome(fake, 2, "succeeded");
}

static void one_that_never_arrived_is_sent_with_its_own_id(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;
    KeptRelease *release = leave_unsettled(fake, false);

    assert_int_equal(deploy_settle(&fake->deploy, release, true, &outcome, NULL), DEPLOY_RESUMED);
    assert_int_equal(outcome.result, DEPLOY_SUCCEEDED);
    assert_int_equal(fake->n_apply, 1);
    assert_string_equal(fake->deployments[0].id, "new");
}

static void one_that_never_arrived_and_is_not_wanted_is_lost(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;
    KeptRelease *release = leave_unsettled(fake, false);

    assert_int_equal(deploy_settle(&fake->deploy, release, false, &outcome, NULL), 0);
    assert_int_equal(fake->n_apply, 0);
    assert_outcome(fake, 2, "lost");
}

static void one_under_way_makes_room_for_another(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;
    KeptRelease *release;

    fake->steps = fake_hanging;
    release = leave_unsettled(fake, true);
    assert_int_equal(deploy_settle(&fake->deploy, release, false, &outcome, NULL), 0);
    assert_int_equal(fake->n_cancel, 1);
    assert_outcome(fake, 2, "cancelled");
    assert_null(outcome.reason);
}

static void one_that_ended_meanwhile_is_written_down(void **state)
{
    static const FakeStep done[] = {
        {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 2, 0}},
        {.state = _ENGINE_STATE_MAX},
    };
    static const struct {
        const FakeStep *steps;
        const char *outcome;
    } cases[] = {{done, "succeeded"}, {fake_failure + 1, "failed"}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
        Fake *fake = fake_new();
        KeptRelease *release;

        fake->steps = cases[i].steps;
        release = leave_unsettled(fake, true);
        assert_int_equal(deploy_settle(&fake->deploy, release, true, &outcome, NULL), 0);
        assert_int_equal(fake->n_apply, 0);
        assert_outcome(fake, 2, cases[i].outcome);
        (void)fake_free(fake);
    }
}

static void putting_back_is_finished(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    _cleanup_json_ Json *replaced = json_new_object();
    Fake *fake = *state;
    KeptRelease *release = leave_unsettled(fake, true);

    assert_int_equal(json_set_string(release->record, "putBackAs", "new-back"), 0);
    assert_int_equal(releases_write_file(&fake->releases, 2, RELEASES_REPLACED, replaced, NULL), 0);
    assert_int_equal(deploy_settle(&fake->deploy, release, true, &outcome, NULL), 0);
    assert_string_equal(fake->serving, "new-back");
    assert_outcome(fake, 2, "failed");
}

static void nothing_is_settled_without_the_engine(void **state)
{
    static const FakeStep away[] = {{.answer = ENGINE_AWAY}, {.state = _ENGINE_STATE_MAX}};
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    _cleanup_error_ Error err = {0};
    _cleanup_json_ Json *record = NULL;
    Fake *fake = *state;
    KeptRelease *release;

    fake->steps = away;
    release = leave_unsettled(fake, true);
    assert_true(deploy_settle(&fake->deploy, release, true, &outcome, &err) < 0);
    assert_non_null(err.text);
    record = fake_record(fake, 2);
    assert_false(json_has(record, "outcome"));
}

/* ---- unchanged --------------------------------------------------------------------------------
 */

static void what_runs_already_has_to_be_healthy(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    assert_int_equal(deploy_confirm(&fake->deploy, "app", &outcome, NULL), 0);
    assert_int_equal(outcome.result, DEPLOY_UNCHANGED);
    deploy_outcome_done(&outcome);
    fake->serving_counts.healthy = 1;
    assert_int_equal(deploy_confirm(&fake->deploy, "app", &outcome, NULL), 0);
    assert_int_equal(outcome.result, DEPLOY_FAILED);
    assert_says(outcome.reason, "1 of 2 instances are healthy");
}

static void an_engine_may_find_it_unchanged(void **state)
{
    _cleanup_deploy_outcome_ DeployOutcome outcome = {0};
    Fake *fake = *state;

    fake_run_before(fake, "old");
    fake->apply_answers[0] = ENGINE_UNCHANGED;
    run(fake, &outcome);
    assert_int_equal(outcome.result, DEPLOY_UNCHANGED);
    assert_outcome(fake, 2, "unchanged");
}

#define with_fake(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fake(success_is_all_new_and_healthy),
        with_fake(the_first_one_replaces_nothing),
        with_fake(what_ran_before_is_written_down_first),
        with_fake(a_claim_of_success_is_not_enough),
        with_fake(an_engine_that_is_away_for_a_moment),
        with_fake(another_deployment_is_let_finish),
        with_fake(delays_grow_and_are_bounded),
        with_fake(failure_says_why_and_what_serves),
        with_fake(what_will_not_come_up_is_cancelled),
        with_fake(what_is_back_may_not_be_well),
        with_fake(a_first_failure_leaves_nothing),
        with_fake(the_deadline_cancels),
        with_fake(what_ran_before_is_put_back),
        with_fake(putting_back_may_fail_too),
        with_fake(what_is_none_of_ours_is_left_alone),
        with_fake(the_engine_says_no),
        with_fake(an_app_that_stays_busy_refuses),
        with_fake(an_engine_that_stays_away_leaves_it_open),
        with_fake(an_engine_that_forgets_it),
        with_fake(cancelling_leaves_the_old_one),
        with_fake(cancelling_comes_too_late),
        with_fake(cancelling_keeps_to_its_grace),
        with_fake(one_under_way_becomes_this_calls_own),
        with_fake(one_that_never_arrived_is_sent_with_its_own_id),
        with_fake(one_that_never_arrived_and_is_not_wanted_is_lost),
        with_fake(one_under_way_makes_room_for_another),
        with_fake(one_that_ended_meanwhile_is_written_down),
        with_fake(putting_back_is_finished),
        with_fake(nothing_is_settled_without_the_engine),
        with_fake(what_runs_already_has_to_be_healthy),
        with_fake(an_engine_may_find_it_unchanged),
    };

    return cmocka_run_group_tests_name("deploy", tests, NULL, NULL);
}
