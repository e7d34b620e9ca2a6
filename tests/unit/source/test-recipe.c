/* SPDX-License-Identifier: MIT */
#include "agent/source/recipe.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static void read_recipe(void **state, const char *text, Recipe *ret)
{
    _cleanup_error_ Error err = {0};

    if (text) {
        scratch_write_text(SCRATCH_FD, RECIPE_FILE, text);
    }
    if (recipe_read(SCRATCH_FD, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void get_step(void **state, const Recipe *recipe, RecipeStepKind kind, RecipeStep *ret)
{
    _cleanup_error_ Error err = {0};

    if (recipe_get_step(recipe, SCRATCH_FD, kind, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void test_whole(void **state)
{
    _cleanup_recipe_ Recipe recipe = {0};
    _cleanup_recipe_step_ RecipeStep build = {0}, test = {0}, verify = {0};

    read_recipe(state,
                "{\"$schema\": \"x\", \"name\": \"greeter\",\n"
                "\"build\": {\"command\": [\"make\", \"-j2\"], \"directory\": \"src\","
                " \"env\": {\"A\": \"1\"}, \"timeoutSeconds\": 1.5,"
                " \"artifacts\": [{\"name\": \"a\", \"files\": [\"x\", \"!y\"]}]},\n"
                "\"test\": {\"command\": \"make check\\nx\", \"junit\": [\"out/*.xml\"]},\n"
                "\"package\": {\"files\": [{\"from\": \"a\", \"to\": \"/b\", \"mode\": \"0755\"}],"
                " \"ports\": [80]}, \"deploy\": {\"template\": \"t.json\"},"
                "\"verify\": {}}",
                &recipe);
    assert_true(recipe.is_there);
    assert_string_equal(json_get_string(recipe.root, "name"), "greeter");

    get_step(state, &recipe, RECIPE_BUILD, &build);
    assert_string_equal(build.argv[0], "make");
    assert_string_equal(build.argv[1], "-j2");
    assert_null(build.argv[2]);
    assert_string_equal(build.title, "make");
    assert_string_equal(build.directory, "src");
    assert_string_equal(json_get_string(build.env, "A"), "1");
    assert_int_equal(build.timeout_ms, 1500);
    assert_int_equal(build.n_artifacts, 1);
    assert_string_equal(build.artifacts[0].name, "a");
    assert_int_equal(build.artifacts[0].n_patterns, 2);
    assert_string_equal(build.artifacts[0].patterns[1], "!y");
    assert_int_equal(build.n_junit, 0);

    get_step(state, &recipe, RECIPE_TEST, &test);
    assert_string_equal(test.argv[0], "sh");
    assert_string_equal(test.argv[1], "-eu");
    assert_string_equal(test.argv[2], "-c");
    assert_string_equal(test.argv[3], "make check\nx");
    assert_null(test.argv[4]);
    assert_true(test.is_junit_declared);
    assert_int_equal(test.n_junit, 1);
    assert_int_equal(test.timeout_ms, 0);

    get_step(state, &recipe, RECIPE_VERIFY, &verify);
    assert_null(verify.argv);
}

static void test_no_file(void **state)
{
    _cleanup_recipe_ Recipe recipe = {0};
    _cleanup_recipe_step_ RecipeStep build = {0}, test = {0}, verify = {0};

    read_recipe(state, NULL, &recipe);
    assert_false(recipe.is_there);
    get_step(state, &recipe, RECIPE_BUILD, &build);
    get_step(state, &recipe, RECIPE_TEST, &test);
    get_step(state, &recipe, RECIPE_VERIFY, &verify);
    assert_null(build.argv);
    assert_null(test.argv);
    assert_null(verify.argv);
    assert_int_equal(build.n_junit, 0);
    assert_int_equal(test.n_junit, 3);
    assert_false(test.is_junit_declared);
}

static void expect_command(void **state, RecipeStepKind kind, const char *text, const char *title)
{
    _cleanup_recipe_ Recipe recipe = {0};
    _cleanup_recipe_step_ RecipeStep step = {0};

    read_recipe(state, text, &recipe);
    get_step(state, &recipe, kind, &step);
    if (!title) {
        assert_null(step.argv);
        return;
    }
    assert_non_null(step.argv);
    assert_string_equal(step.title, title);
}

static void test_conventions(void **state)
{
    scratch_write_text(SCRATCH_FD, "Makefile", "all:\n");
    expect_command(state, RECIPE_BUILD, "{}", "make");
    expect_command(state, RECIPE_TEST, "{}", NULL);
    scratch_write_text(SCRATCH_FD, "Makefile", "all:\ncheck: all\n");
    expect_command(state, RECIPE_TEST, "{}", "make check");
    scratch_write_text(SCRATCH_FD, "GNUmakefile", "all:\n"); /* which make takes instead */
    expect_command(state, RECIPE_TEST, "{}", NULL);
    scratch_write_text(SCRATCH_FD, "build.sh", "");
    scratch_write_text(SCRATCH_FD, "test.sh", "");
    scratch_write_text(SCRATCH_FD, "smoke.sh", "");
    expect_command(state, RECIPE_BUILD, "{}", "./build.sh");
    expect_command(state, RECIPE_TEST, "{}", "./test.sh");
    expect_command(state, RECIPE_VERIFY, "{}", "./smoke.sh");
    expect_command(state, RECIPE_BUILD, "{\"build\": {\"command\": [\"x\"]}}", "x");
}

static void test_conventions_of_a_directory(void **state)
{
    _cleanup_recipe_ Recipe recipe = {0};
    _cleanup_error_ Error err = {0};
    RecipeStep step = {0};

    scratch_write_text(SCRATCH_FD, "build.sh", "");
    scratch_write_text(SCRATCH_FD, "sub/Makefile", "all:\n");
    expect_command(state, RECIPE_BUILD, "{\"build\": {\"directory\": \"sub\"}}", "make");
    read_recipe(state, "{\"build\": {\"directory\": \"gone\"}}", &recipe);
    assert_int_equal(recipe_get_step(&recipe, SCRATCH_FD, RECIPE_BUILD, &step, &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), "/build/directory: 'gone'"));
    assert_null(step.argv);
}

/* A directory is no script. */
static void test_directory_of_that_name(void **state)
{
    scratch_write_text(SCRATCH_FD, "build.sh/x", "");
    expect_command(state, RECIPE_BUILD, NULL, NULL);
}

static void test_makefile_targets(void **state)
{
    static const struct {
        const char *text;
        bool has_check;
    } cases[] = {
        {"check:\n", true},
        {"check: all\n", true},
        {"test check :\n", true},
        {"check::\n", true},
        {"\n\n# x\ncheck:", true},
        {"check := 1\n", false},
        {"check ::= 1\n", false},
        {"check = a:b\n", false},
        {"checks:\n", false},
        {"all: check\n", false},
        {"\tcheck: x\n", false},
        {"# check:\n", false},
        {"", false},
        {"check", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (recipe_makefile_has_target(cases[i].text, "check") != cases[i].has_check) {
            fail_msg("wrong about: %s", cases[i].text);
        }
    }
}

static void expect_mistakes(const char *text, const char *const *mistakes, size_t n)
{
    _cleanup_error_ Error err = {0};
    Recipe recipe = {0};

    assert_int_equal(recipe_parse(text, strlen(text), &recipe, &err), -EINVAL);
    assert_null(recipe.root);
    for (size_t i = 0; i < n; i++) {
        if (!strstr(error_text(&err), mistakes[i])) {
            fail_msg("'%s' is not in: %s", mistakes[i], error_text(&err));
        }
    }
}

#define EXPECT_MISTAKES(text, ...)                               \
    do {                                                         \
        static const char *const _mistakes[] = {__VA_ARGS__};    \
        expect_mistakes(text, _mistakes, ARRAY_SIZE(_mistakes)); \
    } while (0)

static void test_mistakes(void **state)
{
    EXPECT_MISTAKES("{", "line 1, column 2");
    EXPECT_MISTAKES("[]", "(top)");
    EXPECT_MISTAKES("{\"biuld\": {}}", "/biuld");
    EXPECT_MISTAKES("{\n\"build\": {\"command\": []},\n\"test\": {\"env\": {\"1A\": \"\"}}}",
                    "line 2: /build/command: ", "line 3: /test/env");
    EXPECT_MISTAKES(
        "{\"build\": {\"directory\": \"..\"},\n\"verify\": {\"junit\": [\"a\", \"b/../c\"]}}",
        "line 1: /build/directory: '..' leads out", "line 2: /verify/junit/1: 'b/../c' leads out");
    EXPECT_MISTAKES("{\"package\": {\"files\": [{\"from\": \"!../a\", \"to\": \"/b/../..\"}]}}",
                    "/package/files/0/from: ", "/package/files/0/to: '/b/../..' leads out");
    EXPECT_MISTAKES("{\"build\": {\"artifacts\": [{\"name\": \"a\", \"files\": [\"x\"]},\n"
                    "{\"name\": \"a\", \"files\": [\"!../x\"]}]}}",
                    "line 2: /build/artifacts/1/name: 'a' is the name of another",
                    "line 2: /build/artifacts/1/files/0: '!../x' leads out");
    EXPECT_MISTAKES("{\"build\": {\"timeoutSeconds\": 0}}", "/build/timeoutSeconds: ");
    EXPECT_MISTAKES(
        "{\"package\": {\"platforms\": [\"linux/amd64\", \"amd64\", \"linux/amd64\"],\n"
        "\"files\": [{\"from\": \"a\", \"to\": \"/b\", \"platform\": \"linux/arm64\"}]}}",
        "line 1: /package/platforms/1: ",
        "line 1: /package/platforms/2: 'linux/amd64' is there twice",
        "line 2: /package/files/0/platform: 'linux/arm64' is none of");
    EXPECT_MISTAKES("{\"package\": {\"base\": \"./a/../../b\"}}",
                    "line 1: /package/base: './a/../../b' leads out");
    EXPECT_MISTAKES("{\"package\": {\"dockerfile\": \"../Dockerfile\",\n"
                    "\"files\": [{\"from\": \"a\", \"to\": \"/b\"}]}}",
                    "line 1: /package/dockerfile: '../Dockerfile' leads out",
                    "line 2: /package/files: '../Dockerfile' builds the image");
    EXPECT_MISTAKES("{\"package\": {\"base\": \"/etc\", \"compression\": \"xz\",\n"
                    "\"stopSignal\": \"KILL\", \"healthCheck\": {\"retries\": 0}, \"archive\": 1}}",
                    "line 1: /package/base: ", "line 1: /package/compression: ",
                    "line 2: /package/stopSignal: ", "line 2: /package/healthCheck/retries: ",
                    "line 2: /package/healthCheck: ", "line 2: /package/archive: ");
    EXPECT_MISTAKES("{\"package\": {\"ports\": [0, 65536]}}", "/package/ports/0",
                    "/package/ports/1");
    EXPECT_MISTAKES(
        "{\"package\": {\"files\": [{\"from\": \"a\", \"to\": \"b\", \"mode\": \"999\"}]}}",
        "/package/files/0/to: ", "/package/files/0/mode: ");
}

/* A name that only begins with two dots leads nowhere. */
static void test_harmless_dots(void **state)
{
    static const char text[] = "{\"build\": {\"directory\": \"..a\", \"artifacts\": "
                               "[{\"name\": \"a\", \"files\": [\"a../b\", \"x/...\"]}]}}";
    _cleanup_recipe_ Recipe recipe = {0};

    assert_int_equal(recipe_parse(text, strlen(text), &recipe, NULL), 0);
}

static void test_too_large(void **state)
{
    size_t n = ((size_t)1 << 20) + 1;
    _cleanup_free_ char *text = malloc(n);
    _cleanup_error_ Error err = {0};
    Recipe recipe = {0};

    assert_non_null(text);
    memset(text, ' ', n);
    scratch_write(SCRATCH_FD, RECIPE_FILE, text, n, 0644);
    assert_int_equal(recipe_read(SCRATCH_FD, &recipe, &err), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_whole),
        scratch_test(test_no_file),
        scratch_test(test_conventions),
        scratch_test(test_conventions_of_a_directory),
        scratch_test(test_directory_of_that_name),
        cmocka_unit_test(test_makefile_targets),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_harmless_dots),
        scratch_test(test_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
