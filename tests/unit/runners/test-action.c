/* SPDX-License-Identifier: MIT */
#include "agent/runners/action.h"

#include "tests/unit/scratch.h"

#include <errno.h>

/* An action as action_open leaves it, on a workspace that somebody else filled. */
static void open_action(void **state, Action *action)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_fd_ int fd = openat(SCRATCH_FD, "spec", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    (void)mkdirat(SCRATCH_FD, "run", 0755);
    (void)mkdirat(SCRATCH_FD, "run/workspace", 0755);
    (void)mkdirat(SCRATCH_FD, "call", 0755);
    assert_true(asprintf(&text,
                         "{\"call\":\"c1\",\"action\":\"build\",\"run\":\"r1\",\"directories\":"
                         "{\"call\":\"%s/call\",\"workspace\":\"%s/run/workspace\","
                         "\"cache\":\"%s/cache\"}}",
                         SCRATCH_PATH, SCRATCH_PATH, SCRATCH_PATH) > 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(spec_read(fd, &action->spec, NULL), 0);
    action->report.fd =
        openat(SCRATCH_FD, "reports", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void close_action(Action *action)
{
    (void)fd_close(action->report.fd);
    action_done(action);
}

static void prepare(Action *action)
{
    _cleanup_error_ Error err = {0};

    if (action_prepare(action, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static bool is_reported(void **state, const char *text)
{
    _cleanup_free_ char *reports = scratch_read(SCRATCH_FD, "reports", NULL);

    return strstr(reports, text) != NULL;
}

static void test_prepare(void **state)
{
    _cleanup_(close_action) Action action = ACTION_INIT;

    open_action(state, &action);
    scratch_write_text(SCRATCH_FD, "run/workspace/slipway.json", "{\"name\": \"greeter\"}");
    prepare(&action);
    assert_string_equal(action.name, "greeter");
    assert_true(action.recipe.is_there);
    assert_true(action.workspace_fd >= 0);
    assert_true(is_reported(state, "\"phase\":\"source\""));
    assert_false(is_reported(state, "\"commit\"")); /* nobody knows one */
}

static void test_no_source(void **state)
{
    _cleanup_(close_action) Action refused = ACTION_INIT, optional = ACTION_INIT;
    _cleanup_error_ Error err = {0};

    open_action(state, &refused);
    assert_int_equal(action_prepare(&refused, &err), -ENOENT);
    open_action(state, &optional);
    optional.is_source_optional = true;
    prepare(&optional);
    assert_true(optional.source.is_none);
}

static void test_environment(void **state)
{
    _cleanup_(close_action) Action action = ACTION_INIT;
    _cleanup_json_ Json *own = json_new_object();
    _cleanup_environment_ Environment env = {0};
    RecipeStep step = {.env = own};

    assert_int_equal(json_set_string(own, "GREETING", "hello"), 0);
    assert_int_equal(json_set_string(own, "SLIPWAY_COMMIT", "forged"), 0);
    assert_int_equal(json_set_string(own, "BUILD_ID", "own"), 0);
    open_action(state, &action);
    action.source = (Source){.commit = strdup("abc"),
                             .ref = strdup("refs/heads/main"),
                             .version = strdup("v1"),
                             .repository = strdup("https://git.example/a"),
                             .committed_at = 1700000000};
    assert_int_equal(setenv("SLIPWAY_TEST_INHERITED", "yes", 1), 0);
    assert_int_equal(action_make_environment(&action, &step, &env, NULL), 0);
    assert_string_equal(environment_get(&env, "SLIPWAY_TEST_INHERITED"), "yes");
    assert_string_equal(environment_get(&env, "GREETING"), "hello");
    assert_string_equal(environment_get(&env, "SLIPWAY_COMMIT"),
                        "abc"); /* not the recipe's to say */
    assert_string_equal(environment_get(&env, "SLIPWAY_REF"), "refs/heads/main");
    assert_string_equal(environment_get(&env, "SLIPWAY_VERSION"), "v1");
    assert_string_equal(environment_get(&env, "SLIPWAY_REPOSITORY"), "https://git.example/a");
    assert_string_equal(environment_get(&env, "SOURCE_DATE_EPOCH"), "1700000000");
    assert_string_equal(environment_get(&env, "GIT_BRANCH"), "main");
    assert_string_equal(environment_get(&env, "BUILD_ID"), "own");
    assert_string_equal(environment_get(&env, "BUILD_TAG"), "slipway-build-r1");
    assert_string_equal(environment_get(&env, "WORKSPACE"), action.spec.workspace);
}

/* What an earlier source has left in the environment does not speak for one without a commit. */
static void test_environment_without_commit(void **state)
{
    _cleanup_(close_action) Action action = ACTION_INIT;
    _cleanup_environment_ Environment env = {0};
    const RecipeStep step = {0};

    assert_int_equal(setenv("SLIPWAY_COMMIT", "old", 1), 0);
    open_action(state, &action);
    action.source = (Source){.version = strdup("x"), .committed_at = SOURCE_TIME_UNKNOWN};
    assert_int_equal(action_make_environment(&action, &step, &env, NULL), 0);
    assert_int_equal(unsetenv("SLIPWAY_COMMIT"), 0);
    assert_null(environment_get(&env, "SLIPWAY_COMMIT"));
    assert_string_equal(environment_get(&env, "SOURCE_DATE_EPOCH"), "315532800");
}

static int run_step(void **state, const char *recipe, const char *script)
{
    _cleanup_(close_action) Action action = ACTION_INIT;
    _cleanup_recipe_step_ RecipeStep step = {0};
    _cleanup_environment_ Environment env = {0};
    _cleanup_error_ Error err = {0};
    int r;

    open_action(state, &action);
    scratch_write_text(SCRATCH_FD, "run/workspace/slipway.json", recipe);
    scratch_write(SCRATCH_FD, "run/workspace/test.sh", script, strlen(script), 0755);
    prepare(&action);
    assert_int_equal(recipe_get_step(&action.recipe, action.workspace_fd, RECIPE_TEST, &step, NULL),
                     0);
    assert_int_equal(action_make_environment(&action, &step, &env, NULL), 0);
    r = action_run_step(&action, &step, &env, &err);
    if (r < 0) {
        print_message("%s\n", error_text(&err));
    }
    return r;
}

#define JUNIT(content) "#!/bin/sh\necho '<testsuite>" content "</testsuite>' > junit.xml\n"

static void test_step_succeeds(void **state)
{
    assert_int_equal(run_step(state,
                              "{\"test\":{\"artifacts\":[{\"name\":\"a\",\"files\":[\"*.xml\"]}]}}",
                              JUNIT("<testcase/>")),
                     0);
    assert_true(is_reported(state, "\"name\":\"tests\""));
    assert_true(is_reported(state, "\"type\":\"artifact\""));
    assert_false(is_reported(state, "\"reason\""));
}

static void test_step_fails(void **state)
{
    assert_int_equal(run_step(state,
                              "{\"test\":{\"artifacts\":[{\"name\":\"a\",\"files\":[\"*.xml\"]}]}}",
                              JUNIT("<testcase><failure/></testcase><testcase/>") "exit 7\n"),
                     1);
    assert_true(is_reported(state,
                            "{\"type\":\"reason\",\"text\":\"./test.sh exited with status 7; "
                            "1 of 2 tests failed\",\"exitCode\":7}"));
    assert_true(is_reported(state, "\"type\":\"artifact\"")); /* what there is to look at */
}

static void test_tests_fail_alone(void **state)
{
    assert_int_equal(run_step(state, "{}", JUNIT("<testcase><error/></testcase>")), 1);
    assert_true(is_reported(state, "\"text\":\"1 of 1 tests failed\""));
}

static void test_results_are_missing(void **state)
{
    assert_int_equal(run_step(state, "{\"test\":{\"junit\":[\"out/*.xml\"]}}", "#!/bin/sh\n"), 1);
    assert_true(is_reported(state, "wrote no JUnit file"));
}

static void test_artifact_is_missing(void **state)
{
    assert_int_equal(run_step(state,
                              "{\"test\":{\"artifacts\":[{\"name\":\"a\",\"files\":[\"gone\"]}]}}",
                              "#!/bin/sh\n"),
                     -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_prepare),
        scratch_test(test_no_source),
        scratch_test(test_environment),
        scratch_test(test_environment_without_commit),
        scratch_test(test_step_succeeds),
        scratch_test(test_step_fails),
        scratch_test(test_tests_fail_alone),
        scratch_test(test_results_are_missing),
        scratch_test(test_artifact_is_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
