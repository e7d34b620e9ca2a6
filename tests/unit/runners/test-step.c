/* SPDX-License-Identifier: MIT */
#include "agent/runners/step.h"

#include "tests/unit/scratch.h"

#include <unistd.h>

static void run(void **state, const RecipeStep *step, StepResult *ret)
{
    _cleanup_environment_ Environment env = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(environment_set(&env, "PATH", getenv("PATH")), 0);
    assert_int_equal(environment_set(&env, "OWN", "1"), 0);
    if (step_run(
            &(StepRequest){.step = step, .workspace = SCRATCH_PATH, .env = &env, .grace_ms = 1000},
            ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

#define ARGV(...) ((const char *[]){__VA_ARGS__, NULL})

static void test_success(void **state)
{
    const RecipeStep step = {.argv = ARGV("sh", "-c", "pwd > where; echo $OWN >> where"),
                             .title = "x",
                             .directory = "sub"};
    _cleanup_step_result_ StepResult result = {0};
    char wanted[100];

    assert_int_equal(mkdirat(SCRATCH_FD, "sub", 0755), 0);
    run(state, &step, &result);
    assert_true(result.is_success);
    assert_int_equal(result.exit_code, 0);
    assert_null(result.reason);
    (void)snprintf(wanted, sizeof(wanted), "%s/sub\n1\n", SCRATCH_PATH);
    scratch_expect_text(SCRATCH_FD, "sub/where", wanted);
}

static void test_failures(void **state)
{
    _cleanup_step_result_ StepResult exited = {0}, killed = {0}, slow = {0};

    run(state, &(RecipeStep){.argv = ARGV("sh", "-c", "exit 3"), .title = "./build.sh"}, &exited);
    assert_false(exited.is_success);
    assert_int_equal(exited.exit_code, 3);
    assert_string_equal(exited.reason, "./build.sh exited with status 3");
    run(state, &(RecipeStep){.argv = ARGV("sh", "-c", "kill -SEGV $$"), .title = "x"}, &killed);
    assert_int_equal(killed.exit_code, -1);
    assert_string_equal(killed.reason, "x was ended by signal 11 (Segmentation fault)");
    run(state, &(RecipeStep){.argv = ARGV("sleep", "60"), .title = "sleep", .timeout_ms = 20},
        &slow);
    assert_false(slow.is_success);
    assert_string_equal(slow.reason, "sleep ran longer than its 0.02 seconds and was ended");
}

/* A script in slipway.json is told by its first line. */
static void test_long_titles(void **state)
{
    _cleanup_step_result_ StepResult lines = {0}, wide = {0};
    char title[301];

    run(state, &(RecipeStep){.argv = ARGV("false"), .title = "make\nfalse"}, &lines);
    assert_string_equal(lines.reason, "make… exited with status 1");
    memset(title, 'a', 300);
    title[300] = '\0';
    run(state, &(RecipeStep){.argv = ARGV("false"), .title = title}, &wide);
    assert_true(strlen(wide.reason) < 160);
    assert_non_null(strstr(wide.reason, "a… exited with status 1"));
}

static void test_not_started(void **state)
{
    _cleanup_step_result_ StepResult missing = {0}, plain = {0}, nowhere = {0};

    run(state, &(RecipeStep){.argv = ARGV("no-such-program"), .title = "x"}, &missing);
    assert_false(missing.is_success);
    assert_int_equal(missing.exit_code, 127);
    assert_string_equal(missing.reason, "command not found: no-such-program");
    scratch_write_text(SCRATCH_FD, "plain.sh", "#!/bin/sh\n");
    run(state, &(RecipeStep){.argv = ARGV("./plain.sh"), .title = "x"}, &plain);
    assert_int_equal(plain.exit_code, 126);
    run(state, &(RecipeStep){.argv = ARGV("true"), .title = "x", .directory = "gone"}, &nowhere);
    assert_false(nowhere.is_success);
    assert_non_null(strstr(nowhere.reason, "gone"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_success),
        scratch_test(test_failures),
        scratch_test(test_long_titles),
        scratch_test(test_not_started),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
