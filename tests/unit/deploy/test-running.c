/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/running.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static Spec spec_of(void **state, const char *environment, Json **ret_environment)
{
    assert_int_equal(json_parse(environment, strlen(environment), ret_environment, NULL), 0);
    return (Spec){
        .environment = *ret_environment,
        .environment_name = "prod",
        .releases_directory = SCRATCH_PATH,
    };
}

static void add(void **state, const char *digest, const char *outcome)
{
    _cleanup_releases_ Releases releases = RELEASES_INIT;
    Json *record = json_new_object();
    unsigned number = 0;

    assert_int_equal(releases_open(SCRATCH_PATH, "prod", &releases, NULL), 0);
    assert_int_equal(releases_load(&releases, NULL), 0);
    assert_int_equal(releases_make(&releases, &number, NULL), 0);
    assert_int_equal(json_set_string(record, "app", "greeter"), 0);
    assert_int_equal(json_set_string(record, "digest", digest), 0);
    assert_int_equal(json_set_string(record, "commit", digest), 0);
    assert_int_equal(json_set_string(record, "version", "v1"), 0);
    assert_int_equal(json_set_string(record, "outcome", outcome), 0);
    assert_int_equal(releases_add_take(&releases, number, record, NULL, NULL), 0);
}

static void nothing_was_ever_deployed(void **state)
{
    _cleanup_running_ Running remembered = RUNNING_INIT, asked = RUNNING_INIT;
    _cleanup_json_ Json *environment = NULL;
    Spec spec =
        spec_of(state, "{\"engine\":\"local\",\"address\":\"unix:/nonexistent\"}", &environment);

    assert_int_equal(running_remember(&spec, &remembered, NULL), 0);
    assert_false(remembered.is_running);
    assert_null(running_commit(&remembered));
    assert_null(running_digest(&remembered));
    assert_null(running_version(&remembered));
    assert_int_equal(running_ask(&spec, NULL, &asked, NULL), 0); /* of nothing no engine is asked */
    assert_false(asked.is_running);
}

static void the_last_that_succeeded_is_remembered(void **state)
{
    _cleanup_running_ Running running = RUNNING_INIT;
    _cleanup_json_ Json *environment = NULL;
    Spec spec = spec_of(state, "{\"engine\":\"local\"}", &environment);

    add(state, "first", "succeeded");
    add(state, "second", "succeeded");
    add(state, "third", "failed");
    assert_int_equal(running_remember(&spec, &running, NULL), 0);
    assert_true(running.is_running);
    assert_string_equal(running_digest(&running), "second");
    assert_string_equal(running_commit(&running), "second");
    assert_string_equal(running_version(&running), "v1");
}

/* Whoever took its engine out of agent.json is told, and nothing is guessed. */
static void without_its_engine_nothing_is_known(void **state)
{
    _cleanup_running_ Running running = RUNNING_INIT;
    _cleanup_json_ Json *environment = NULL;
    _cleanup_error_ Error err = {0};
    Spec spec = spec_of(state, "{\"engine\":\"steam\"}", &environment);

    add(state, "first", "succeeded");
    assert_true(running_ask(&spec, NULL, &running, &err) < 0);
    assert_non_null(strstr(error_text(&err), "'prod'"));
    assert_false(running.is_running);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(nothing_was_ever_deployed),
        scratch_test(the_last_that_succeeded_is_remembered),
        scratch_test(without_its_engine_nothing_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
