/* SPDX-License-Identifier: MIT */
#include "agent/source/checkout.h"

#include "tests/unit/source/repository.h"

#include <errno.h>

typedef struct Fixture {
    Git git;
    Mirror mirror;
    Workspace workspace;
    char *cache, *url, *directory;
} Fixture;

static void fixture_open(void **state, Fixture *f, const char *commit)
{
    *f = (Fixture){.git = GIT_INIT, .mirror = MIRROR_INIT, .workspace = WORKSPACE_INIT};
    f->cache = repository_path(state, "cache");
    f->url = repository_path(state, "origin");
    f->directory = repository_path(state, "workspace");
    (void)mkdirat(SCRATCH_FD, "workspace", 0755);
    assert_int_equal(git_open(f->url, &f->git, NULL), 0);
    assert_int_equal(mirror_open(f->cache, &f->git, commit, &f->mirror, NULL), 0);
    assert_int_equal(workspace_open(f->directory, &f->workspace, NULL), 0);
}

static void fixture_done(Fixture *f)
{
    mirror_done(&f->mirror);
    git_done(&f->git);
    workspace_done(&f->workspace);
    free(f->cache);
    free(f->url);
    free(f->directory);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static int try_checkout(Fixture *f, const char *commit, bool is_clean, Error *err)
{
    int r = mirror_fetch(&f->mirror, commit, "refs/heads/main", err);

    return r == 0 ? checkout_run(&f->mirror, &f->workspace,
                                 &(CheckoutRequest){.directory = f->directory,
                                                    .commit = commit,
                                                    .ref = "refs/heads/main",
                                                    .is_clean = is_clean},
                                 err)
                  : r;
}

static void checkout(Fixture *f, const char *commit, bool is_clean)
{
    _cleanup_error_ Error err = {0};

    if (try_checkout(f, commit, is_clean, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void test_fresh(void **state)
{
    _cleanup_free_ char *commit = NULL, *head = NULL, *described = NULL, *branch = NULL;
    _cleanup_fixture_ Fixture f;

    repository_make(state, "origin");
    commit = repository_commit(state, "origin", "dir/a", "one");
    REPOSITORY_GIT("origin", "tag", "-m", "v1", "v1");
    fixture_open(state, &f, commit);
    scratch_write_text(SCRATCH_FD, "workspace/stray", "x"); /* not a repository: makes room */
    checkout(&f, commit, false);
    scratch_expect_text(SCRATCH_FD, "workspace/dir/a", "one");
    assert_false(file_exists(SCRATCH_FD, "workspace/stray"));
    /* It is a repository that steps can use. */
    head = repository_git(state, "workspace", GIT_ARGUMENTS("rev-parse", "HEAD"));
    assert_string_equal(head, commit);
    described = repository_git(state, "workspace", GIT_ARGUMENTS("describe", "--dirty"));
    assert_string_equal(described, "v1");
    branch = repository_git(state, "workspace", GIT_ARGUMENTS("rev-parse", "origin/main"));
    assert_string_equal(branch, commit);
}

static void test_incremental(void **state)
{
    _cleanup_free_ char *first = NULL, *second = NULL;
    _cleanup_fixture_ Fixture f;
    struct stat before, after;

    repository_make(state, "origin");
    scratch_write_text(SCRATCH_FD, "origin/.gitignore", "*.o\n");
    scratch_write_text(SCRATCH_FD, "origin/same", "same");
    first = repository_commit(state, "origin", "a", "one");
    second = repository_commit(state, "origin", "a", "two");
    fixture_open(state, &f, first);
    checkout(&f, first, false);
    scratch_write_text(SCRATCH_FD, "workspace/a.o", "built");
    scratch_write_text(SCRATCH_FD, "workspace/a", "changed by a step");
    scratch_write_text(SCRATCH_FD, "workspace/.git/index.lock", "");
    assert_int_equal(fstatat(SCRATCH_FD, "workspace/same", &before, 0), 0);
    checkout(&f, second, false);
    scratch_expect_text(SCRATCH_FD, "workspace/a", "two");
    scratch_expect_text(SCRATCH_FD, "workspace/a.o", "built");
    assert_int_equal(fstatat(SCRATCH_FD, "workspace/same", &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino); /* what did not change was not touched */
    checkout(&f, first, true);
    scratch_expect_text(SCRATCH_FD, "workspace/a", "one");
    assert_false(file_exists(SCRATCH_FD, "workspace/a.o"));
}

/* A repository that cannot be used any more is made anew. */
static void test_damaged(void **state)
{
    _cleanup_free_ char *commit = NULL;
    _cleanup_fixture_ Fixture f;

    repository_make(state, "origin");
    commit = repository_commit(state, "origin", "a", "one");
    fixture_open(state, &f, commit);
    checkout(&f, commit, false);
    scratch_write_text(SCRATCH_FD, "workspace/.git/config", "[broken");
    scratch_write_text(SCRATCH_FD, "workspace/a", "x");
    checkout(&f, commit, false);
    scratch_expect_text(SCRATCH_FD, "workspace/a", "one");
}

/* Hooks of the workspace and filters of nobody run. */
static void test_no_hooks(void **state)
{
    _cleanup_free_ char *commit = NULL, *second = NULL;
    _cleanup_fixture_ Fixture f;

    repository_make(state, "origin");
    commit = repository_commit(state, "origin", "a", "one");
    second = repository_commit(state, "origin", "a", "two");
    fixture_open(state, &f, commit);
    checkout(&f, commit, false);
    scratch_write(SCRATCH_FD, "workspace/.git/hooks/post-checkout", "#!/bin/sh\ntouch ran\n", 20,
                  0755);
    checkout(&f, second, false);
    assert_false(file_exists(SCRATCH_FD, "workspace/ran"));
}

static void test_submodules(void **state)
{
    _cleanup_free_ char *commit = NULL, *second = NULL, *inner = NULL, *path = NULL;
    _cleanup_fixture_ Fixture f;

    repository_make(state, "inner");
    inner = repository_commit(state, "inner", "i", "inner one");
    repository_make(state, "origin");
    path = repository_path(state, "inner");
    REPOSITORY_GIT("origin", "submodule", "--quiet", "add", "--", path, "absolute");
    REPOSITORY_GIT("origin", "submodule", "--quiet", "add", "--", "../inner", "relative");
    commit = repository_commit(state, "origin", "a", "one");
    fixture_open(state, &f, commit);
    checkout(&f, commit, false);
    scratch_expect_text(SCRATCH_FD, "workspace/absolute/i", "inner one");
    scratch_expect_text(SCRATCH_FD, "workspace/relative/i", "inner one");
    /* They move with their commit, and are cleaned with it. */
    free(repository_commit(state, "inner", "i", "inner two"));
    REPOSITORY_GIT("origin", "submodule", "--quiet", "update", "--remote");
    second = repository_commit(state, "origin", "a", "two");
    scratch_write_text(SCRATCH_FD, "workspace/relative/built", "x");
    checkout(&f, second, false);
    scratch_expect_text(SCRATCH_FD, "workspace/relative/i", "inner two");
    assert_true(file_exists(SCRATCH_FD, "workspace/relative/built"));
    checkout(&f, second, true);
    assert_false(file_exists(SCRATCH_FD, "workspace/relative/built"));
}

static void test_missing_submodule(void **state)
{
    _cleanup_free_ char *commit = NULL;
    _cleanup_fixture_ Fixture f;
    _cleanup_error_ Error err = {0};

    repository_make(state, "inner");
    free(repository_commit(state, "inner", "i", "inner one"));
    repository_make(state, "origin");
    REPOSITORY_GIT("origin", "submodule", "--quiet", "add", "--", "../inner", "sub");
    commit = repository_commit(state, "origin", "a", "one");
    assert_int_equal(file_remove_tree(SCRATCH_FD, "inner", NULL), 0);
    fixture_open(state, &f, commit);
    assert_int_equal(try_checkout(&f, commit, false, &err), -EIO);
    assert_non_null(strstr(error_text(&err), "submodules of '"));
    assert_non_null(strstr(error_text(&err), "sub"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        repository_test(test_fresh),      repository_test(test_incremental),
        repository_test(test_damaged),    repository_test(test_no_hooks),
        repository_test(test_submodules), repository_test(test_missing_submodule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
