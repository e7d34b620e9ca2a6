/* SPDX-License-Identifier: MIT */
#include "plugin/cli/confirm.h"

#include "tests/unit/cli/cli-fixture.h"

#include <pwd.h>

/* stdin becomes a pipe with this text. */
static void type(const char *text)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fds[1]), 0);
    assert_true(dup2(fds[0], STDIN_FILENO) >= 0);
    assert_int_equal(close(fds[0]), 0);
}

static void test_answers(void **state)
{
    static const struct {
        const char *text;
        bool is_yes;
    } rows[] = {
        {"y\n", true},   {"Y\n", true},      {"yes\n", true}, {"YES\n", true},
        {"y", true},     {"n\n", false},     {"\n", false},   {"", false},
        {"yo\n", false}, {"no\ny\n", false}, {" y\n", false}, {"yess\n", false},
    };
    CliFixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cli_begin(f, "--color", "never");
        type(rows[i].text);
        assert_int_equal(confirm_ask(&f->session, "Release %s to %s?", "v1", "prod"),
                         rows[i].is_yes);
        cli_expect_error(f, "Release v1 to prod? [y/N] ");
    }
}

/* What comes after the line is for whoever reads next. */
static void test_one_line_is_read(void **state)
{
    CliFixture *f = *state;

    cli_begin(f, "--color", "never");
    type("y\nn\n");
    assert_true(confirm_ask(&f->session, "One?"));
    assert_false(confirm_ask(&f->session, "Two?"));
}

static void test_a_line_without_end_is_no(void **state)
{
    CliFixture *f = *state;
    char text[4096];

    memset(text, 'y', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    cli_begin(f, "--color", "never");
    type(text);
    assert_false(confirm_ask(&f->session, "Release?"));
}

static void test_a_pipe_cannot_be_asked(void **state)
{
    CliFixture *f = *state;

    cli_begin(f, "--color", "never");
    type("y\n");
    assert_false(confirm_may_ask(&f->session));
}

static void test_user_name(void **state)
{
    const struct passwd *user;

    assert_int_equal(setenv("USER", "ann", 1), 0);
    assert_string_equal(confirm_user_name(), "ann");
    assert_int_equal(setenv("USER", "", 1), 0);
    user = getpwuid(getuid());
    if (user) {
        assert_string_equal(confirm_user_name(), user->pw_name);
    } else {
        assert_null(confirm_user_name());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cli_test(test_answers),
        cli_test(test_one_line_is_read),
        cli_test(test_a_line_without_end_is_no),
        cli_test(test_a_pipe_cannot_be_asked),
        cmocka_unit_test(test_user_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
