/* SPDX-License-Identifier: MIT */
#include "plugin/cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const Option deploy_options[] = {
    {"param", OPTION_LIST, "K=V", NULL, "a parameter"},
    {"from", OPTION_TEXT, "CALL", NULL, "the package"},
    {"timeout", OPTION_SECONDS, "S", NULL, "seconds"},
    {"limit", OPTION_NUMBER, "N", NULL, "how many"},
    {"state", OPTION_CHOICE, "STATE", "queued|running", "a state"},
    {"detach", OPTION_FLAG, NULL, NULL, "leave it"},
    {"env", OPTION_TEXT, "E", NULL, "the environment"},
    {0},
};

static const Command command_deploy = {
    .name = "deploy",
    .synopsis = "WHAT",
    .summary = "deploy something",
    .description = "A description that is long enough to be wrapped when it is printed, because it "
                   "does not fit into one line of a terminal.",
    .options = deploy_options,
    .min_arguments = 1,
    .max_arguments = 2,
};
static const Command command_health = {.name = "health", .synopsis = "", .summary = "well?"};
static const Command *const commands[] = {&command_deploy, &command_health, NULL};

#define PARSE(options, error, ...) parse(options, error, (const char *const[]){__VA_ARGS__, NULL})

static int parse(Options *options, char **error, const char *const *words)
{
    char *argv[600] = {(char *)"slipway"};
    int argc = 1;

    for (; *words; words++) {
        argv[argc++] = (char *)*words;
    }
    *error = NULL;
    return options_parse(argc, argv, commands, options, error);
}

static void test_values(void **state)
{
    Options options;
    char *error;

    assert_int_equal(PARSE(&options, &error, "--json", "deploy", "--param", "a=1", "what",
                           "--param=b=2", "--timeout", "1.5", "--limit=7", "--from", "c1", "--from",
                           "c2", "--detach", "--state", "running", "more"),
                     0);
    assert_ptr_equal(options.command, &command_deploy);
    assert_int_equal(options.n_arguments, 2);
    assert_string_equal(options.arguments[0], "what");
    assert_string_equal(options.arguments[1], "more");
    assert_true(options_flag(&options, "json"));
    assert_true(options_flag(&options, "detach"));
    assert_false(options_flag(&options, "quiet"));
    assert_string_equal(options_item(&options, "param", 0), "a=1");
    assert_string_equal(options_item(&options, "param", 1), "b=2");
    assert_null(options_item(&options, "param", 2));
    assert_string_equal(options_text(&options, "from", NULL), "c2"); /* the last one counts */
    assert_string_equal(options_text(&options, "state", NULL), "running");
    assert_string_equal(options_text(&options, "color", "auto"), "auto");
    assert_true(options_seconds(&options, "timeout") == 1.5);
    assert_int_equal(options_number(&options, "limit", 0), 7);
    options_done(&options);

    assert_int_equal(PARSE(&options, &error, "health"), 0);
    assert_true(options_seconds(&options, "timeout") == 0);
    assert_int_equal(options_number(&options, "limit", 100), 100);
    options_done(&options);
}

/* Who writes it out means the same. */
static void test_synonym(void **state)
{
    Options options;
    char *error;

    assert_int_equal(PARSE(&options, &error, "deploy", "--environment", "prod", "what"), 0);
    assert_string_equal(options_text(&options, "env", ""), "prod");
    options_done(&options);
    assert_int_equal(PARSE(&options, &error, "deploy", "--environment=prod", "what"), 0);
    assert_string_equal(options_text(&options, "env", ""), "prod");
    options_done(&options);
    assert_int_equal(PARSE(&options, &error, "health", "--environment", "prod"), -1);
    assert_non_null(strstr(error, "there is no option --environment"));
    free(error);
    options_done(&options);
}

static void test_literal(void **state)
{
    Options options;
    char *error;

    assert_int_equal(PARSE(&options, &error, "deploy", "--", "--json", "-x"), 0);
    assert_string_equal(options.arguments[0], "--json");
    assert_string_equal(options.arguments[1], "-x");
    assert_false(options_flag(&options, "json"));
    options_done(&options);
    assert_int_equal(PARSE(&options, &error, "deploy", "-"), 0); /* a dash alone is a word */
    assert_string_equal(options.arguments[0], "-");
    options_done(&options);
    assert_int_equal(PARSE(&options, &error, "deploy", "what", "--from", "--json"), 0);
    assert_string_equal(options_text(&options, "from", NULL), "--json");
    options_done(&options);
}

static void test_help(void **state)
{
    Options options;
    char *error;

    assert_int_equal(PARSE(&options, &error, "--version"), 0);
    assert_true(options.wants_version);
    options_done(&options);
    assert_int_equal(PARSE(&options, &error, "--help"), 0);
    assert_true(options.wants_help && !options.command);
    options_done(&options);
    assert_int_equal(PARSE(&options, &error, "-h"), 0);
    assert_true(options.wants_help);
    options_done(&options);
    /* Asked for help, nobody is told what is missing. */
    assert_int_equal(PARSE(&options, &error, "deploy", "--help"), 0);
    assert_true(options.wants_help && options.command == &command_deploy);
    options_done(&options);
}

static void expect_mistake(const char *const *words, const char *expected)
{
    Options options;
    char *error;

    assert_int_equal(parse(&options, &error, words), -1);
    assert_non_null(error);
    if (!strstr(error, expected)) {
        fail_msg("'%s' is not in: %s", expected, error);
    }
    free(error);
    options_done(&options);
}
#define MISTAKE(expected, ...) expect_mistake((const char *const[]){__VA_ARGS__, NULL}, expected)

static void test_mistakes(void **state)
{
    const char *const nothing[] = {NULL};

    expect_mistake(nothing, "say what to do");
    MISTAKE("there is no command 'depoly'; did you mean 'deploy'?", "depoly");
    MISTAKE("did you mean 'health'?", "hea");
    MISTAKE("there is no command 'xyzzy'", "xyzzy");
    MISTAKE("there is no option --form; did you mean --from?", "deploy", "--form", "x");
    MISTAKE("did you mean --json?", "--jsn", "health");
    MISTAKE("there is no option --xyzzy", "deploy", "--xyzzy=1");
    /* An option of one command is none of another. */
    MISTAKE("there is no option --param", "health", "--param", "x");
    MISTAKE("--from needs a value: --from CALL", "deploy", "what", "--from");
    MISTAKE("--json takes no value", "health", "--json=yes");
    MISTAKE("--timeout takes seconds", "deploy", "w", "--timeout", "0");
    MISTAKE("--timeout takes seconds", "deploy", "w", "--timeout", "-1");
    MISTAKE("--timeout takes seconds", "deploy", "w", "--timeout", "5m");
    MISTAKE("--timeout takes seconds", "deploy", "w", "--timeout", "nan");
    MISTAKE("--timeout takes seconds", "deploy", "w", "--timeout", "inf");
    MISTAKE("--timeout takes seconds", "deploy", "w", "--timeout=");
    MISTAKE("--limit takes a whole number", "deploy", "w", "--limit", "1.5");
    MISTAKE("--limit takes a whole number", "deploy", "w", "--limit", "-3");
    MISTAKE("--limit takes a whole number", "deploy", "w", "--limit", "99999999999999999999");
    MISTAKE("--state is one of queued|running, not 'run'", "deploy", "w", "--state", "run");
    MISTAKE("--state is one of", "deploy", "w", "--state=");
    MISTAKE("options begin with two dashes", "deploy", "-v");
    MISTAKE("'deploy' needs more: slipway deploy WHAT", "deploy");
    MISTAKE("'c' is one argument too many for 'deploy'", "deploy", "a", "b", "c");
    MISTAKE("'x' is one argument too many for 'health'", "health", "x");
}

static void test_limit(void **state)
{
    const char *words[2 * OPTIONS_VALUES_MAX + 8] = {"deploy", "what"};
    size_t n = 2;
    Options options;
    char *error;

    for (int i = 0; i < OPTIONS_VALUES_MAX; i++) {
        words[n++] = "--param";
        words[n++] = "a=b";
    }
    assert_int_equal(parse(&options, &error, words), 0);
    assert_non_null(options_item(&options, "param", OPTIONS_VALUES_MAX - 1));
    options_done(&options);
    words[n++] = "--detach";
    expect_mistake(words, "more than 256 options");
}

static const char *name_of(const void *from, size_t index)
{
    return ((const char *const *)from)[index];
}

static void test_nearest(void **state)
{
    static const char *const names[] = {"deploy-staging", "deploy-prod", "build", NULL};

    assert_string_equal(options_nearest("biuld", name_of, names), "build");
    assert_string_equal(options_nearest("deploy-pord", name_of, names), "deploy-prod");
    assert_string_equal(options_nearest("depl", name_of, names), "deploy-staging");
    assert_null(options_nearest("zzzzz", name_of, names));
    assert_null(options_nearest("a-word-that-has-more-letters-than-any-name-has", name_of, names));
}

static void test_help_text(void **state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    options_print_help(out, &command_deploy);
    assert_int_equal(fclose(out), 0);
    assert_memory_equal(text, "usage: slipway deploy WHAT [OPTION]...\n\n", 40);
    for (const Option *o = deploy_options; o->name; o++) {
        assert_non_null(strstr(text, o->name));
        assert_non_null(strstr(text, o->help));
    }
    assert_non_null(strstr(text, "one of queued|running"));
    assert_non_null(strstr(text, "  --agent ADDRESS"));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(strlen(line) <= 96);
        assert_true(line[strlen(line) - 1] != ' ');
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_synonym),
        cmocka_unit_test(test_literal),  cmocka_unit_test(test_help),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_limit),
        cmocka_unit_test(test_nearest),  cmocka_unit_test(test_help_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
