/* SPDX-License-Identifier: MIT */
#include "agent/source/git.h"

#include "tests/unit/source/repository.h"

#include <errno.h>

static void test_names(void **state)
{
    static const char *const good[] = {
        "main", "refs/heads/main", "v1.2", "feature/a-b_c", "@a", "HEAD", "a.b"};
    static const char *const bad[] = {"",     "-main", "a..b", "a b",  "a~1",  "a^",   "a:b",
                                      "/a",   "a/",    "a//b", ".a",   "a/.b", "a.",   "a.lock",
                                      "a@{1", "@",     "a*",   "a\tb", "a\\b", "a[b]", "a?"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        if (!git_is_ref(good[i])) {
            fail_msg("refused: '%s'", good[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (git_is_ref(bad[i])) {
            fail_msg("accepted: '%s'", bad[i]);
        }
    }
    assert_string_equal(git_branch_of("refs/heads/a/b"), "a/b");
    assert_string_equal(git_branch_of("main"), "main");
    assert_null(git_branch_of("refs/tags/v1"));
    assert_null(git_branch_of("HEAD"));
    assert_string_equal(git_tag_of("refs/tags/v1"), "v1");
    assert_null(git_tag_of("v1"));
}

static void test_commits(void **state)
{
    assert_true(git_is_full_commit("0123456789abcdef0123456789abcdef01234567"));
    assert_true(
        git_is_full_commit("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
    assert_false(git_is_full_commit("0123456789abcdef0123456789abcdef0123456"));
    assert_false(git_is_full_commit("0123456789ABCDEF0123456789abcdef01234567"));
    assert_false(git_is_full_commit("0123456789abcdef0123456789abcdef012345678"));
    assert_false(git_is_full_commit(""));
}

static void expect_url(const char *url, const char *shown, bool is_local)
{
    _cleanup_git_ Git git = GIT_INIT;

    assert_int_equal(git_open(url, &git, NULL), 0);
    assert_string_equal(git.url, url);
    assert_string_equal(git.shown_url, shown);
    assert_int_equal(git.is_local, is_local);
}

static void test_urls(void **state)
{
    static const char *const bad[] = {"", "relative/path", "-u", "ext::sh -c true", "a\nb:c"};

    expect_url("https://git.example/a.git", "https://git.example/a.git", false);
    expect_url("https://me:secret@git.example:8443/a", "https://me@git.example:8443/a", false);
    expect_url("https://me:p@ss@git.example/a", "https://me@git.example/a", false);
    expect_url("https://token@git.example/a@b:c", "https://token@git.example/a@b:c", false);
    expect_url("git@git.example:a.git", "git@git.example:a.git", false);
    expect_url("/srv/a.git", "/srv/a.git", true);
    expect_url("file:///srv/a.git", "file:///srv/a.git", true);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_error_ Error err = {0};
        Git git = GIT_INIT;

        assert_int_equal(git_open(bad[i], &git, &err), -EINVAL);
        assert_null(git.url);
    }
}

/* Where to work is ours to say; how to get to a server is the operator's. */
static void test_environment(void **state)
{
    _cleanup_git_ Git git = GIT_INIT;

    assert_int_equal(setenv("GIT_DIR", "/nonexistent", 1), 0);
    assert_int_equal(setenv("GIT_CONFIG_PARAMETERS", "'a.b=c'", 1), 0);
    assert_int_equal(setenv("GIT_SSH_COMMAND", "ssh -i key", 1), 0);
    assert_int_equal(git_open("/srv/a.git", &git, NULL), 0);
    assert_null(environment_get(&git.env, "GIT_DIR"));
    assert_null(environment_get(&git.env, "GIT_CONFIG_PARAMETERS"));
    assert_string_equal(environment_get(&git.env, "GIT_SSH_COMMAND"), "ssh -i key");
    assert_string_equal(environment_get(&git.env, "GIT_TERMINAL_PROMPT"), "0");
    assert_int_equal(unsetenv("GIT_DIR"), 0);
    assert_int_equal(unsetenv("GIT_CONFIG_PARAMETERS"), 0);
    assert_int_equal(unsetenv("GIT_SSH_COMMAND"), 0);
}

static void test_settings(void **state)
{
    _cleanup_git_ Git here = GIT_INIT, there = GIT_INIT;
    _cleanup_buffer_ Buffer value = BUFFER_INIT(0);

    assert_int_equal(git_open("/srv/a.git", &here, NULL), 0);
    assert_int_equal(git_open("https://git.example/a.git", &there, NULL), 0);
    assert_int_equal(git_run(&here, "/", GIT_ARGUMENTS("config", "core.hooksPath"), &value, NULL),
                     0);
    assert_string_equal(buffer_text(&value), "/dev/null");
    buffer_clear(&value);
    assert_int_equal(
        git_run(&there, "/", GIT_ARGUMENTS("config", "protocol.ext.allow"), &value, NULL), 0);
    assert_string_equal(buffer_text(&value), "never");
    buffer_clear(&value);
    /* Submodules may be paths of this host only where the repository is one. */
    assert_int_equal(
        git_run(&here, "/", GIT_ARGUMENTS("config", "protocol.file.allow"), &value, NULL), 0);
    assert_string_equal(buffer_text(&value), "always");
    assert_int_equal(
        git_try(&there, "/", GIT_ARGUMENTS("config", "protocol.file.allow"), NULL, NULL), 1);
}

static void test_failures(void **state)
{
    _cleanup_git_ Git git = GIT_INIT;
    _cleanup_error_ Error err = {0};

    assert_int_equal(git_open("/srv/a.git", &git, NULL), 0);
    assert_int_equal(git_run(&git, SCRATCH_PATH, GIT_ARGUMENTS("rev-parse", "HEAD"), NULL, &err),
                     -EIO);
    assert_string_equal(err.text, "not a git repository (or any of the parent directories): .git");
    assert_int_equal(git_try(&git, SCRATCH_PATH, GIT_ARGUMENTS("config", "a.b"), NULL, &err), 1);
    assert_string_equal(err.text, "git config exited with status 1");
    assert_int_equal(git_run(&git, "/no/such", GIT_ARGUMENTS("version"), NULL, &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),    cmocka_unit_test(test_commits),
        cmocka_unit_test(test_urls),     cmocka_unit_test(test_environment),
        cmocka_unit_test(test_settings), repository_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
