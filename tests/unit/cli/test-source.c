/* SPDX-License-Identifier: MIT */
#include "plugin/cli/source.h"

#include "tests/unit/cli/cli-fixture.h"

/* A repository with one commit and a tag, in `repository` below the scratch directory. */
static char *make_repository(CliFixture *f)
{
    _cleanup_free_ char *script = NULL;
    char *path = NULL;

    assert_true(asprintf(&path, "%s/repository", f->scratch->path) > 0);
    assert_true(
        asprintf(&script,
                 "set -e; export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a "
                 "GIT_AUTHOR_EMAIL=a@x GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@x "
                 "GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'; "
                 "git init -q -b main '%s'; cd '%s'; echo x > f; git add f; "
                 "git commit -qm 'A subject with %% and \"quotes\"'; "
                 "git tag -a -m t v1",
                 path, path) > 0);
    assert_int_equal(system(script), 0);
    return path;
}

static int find(CliFixture *f, const char *repository, const char *commit, const char *ref,
                SourceCommit *ret)
{
    *ret = (SourceCommit){0};
    return source_find_commit(&f->session, repository, commit, ref, ret);
}

static void expect_mistake(CliFixture *f, const char *repository, const char *commit,
                           const char *ref, const char *words)
{
    SourceCommit c;

    assert_int_equal(find(f, repository, commit, ref, &c), EXIT_USAGE);
    assert_null(c.commit);
    cli_expect_error_has(f, words);
}

static void test_local(void **state)
{
    CliFixture *f = *state;
    _cleanup_free_ char *path = make_repository(f), *head = NULL;
    SourceCommit c;

    cli_begin(f, "--color", "never");
    assert_int_equal(find(f, path, NULL, NULL, &c), EXIT_DONE);
    assert_string_equal(c.repository, path);
    assert_int_equal(strlen(c.commit), 40);
    assert_null(c.ref);
    assert_string_equal(c.subject, "A subject with % and \"quotes\"");
    assert_int_equal(c.committed_at, 1700000000);
    assert_false(c.is_dirty);
    head = strdup(c.commit);
    source_commit_done(&c);

    /* By tag (of its own object), by branch, by an abbreviation. */
    assert_int_equal(find(f, path, NULL, "v1", &c), EXIT_DONE);
    assert_string_equal(c.commit, head);
    assert_string_equal(c.ref, "v1");
    source_commit_done(&c);
    head[8] = '\0';
    assert_int_equal(find(f, path, head, "main", &c), EXIT_DONE);
    assert_memory_equal(c.commit, head, 8);
    source_commit_done(&c);

    scratch_write_text(f->scratch->fd, "repository/new", "x");
    assert_int_equal(find(f, path, NULL, NULL, &c), EXIT_DONE);
    assert_true(c.is_dirty);
    source_commit_done(&c);

    expect_mistake(f, path, "v9", NULL, "'v9' names no commit");
    expect_mistake(f, path, "--help", NULL, "'--help' names no commit");
    expect_mistake(f, "/nowhere", NULL, NULL, "there is no repository '/nowhere'");
    expect_mistake(f, f->scratch->path, NULL, NULL, "'HEAD' names no commit");
}

/* file:// is a repository elsewhere as far as git and we are concerned. */
static void test_remote(void **state)
{
    CliFixture *f = *state;
    _cleanup_free_ char *path = make_repository(f), *url = NULL, *head = NULL;
    SourceCommit c;

    assert_true(asprintf(&url, "file://%s", path) > 0);
    cli_begin(f, "--color", "never");
    assert_int_equal(find(f, url, NULL, NULL, &c), EXIT_DONE);
    assert_string_equal(c.repository, url);
    assert_null(c.subject);
    head = strdup(c.commit);
    source_commit_done(&c);
    assert_int_equal(find(f, url, NULL, "v1", &c), EXIT_DONE); /* not the tag's own object */
    assert_string_equal(c.commit, head);
    source_commit_done(&c);
    assert_int_equal(find(f, url, NULL, "main", &c), EXIT_DONE);
    assert_string_equal(c.commit, head);
    source_commit_done(&c);
    assert_int_equal(find(f, url, head, "anything", &c), EXIT_DONE); /* taken at its word */
    assert_string_equal(c.commit, head);
    source_commit_done(&c);

    expect_mistake(f, url, "v1", NULL, "is the full hash, not 'v1'");
    expect_mistake(f, url, NULL, "v9", "has no 'v9' that git can reach");
    expect_mistake(f, "file:///nowhere", NULL, NULL, "has no 'HEAD' that git can reach");
}

static void test_set_git(void **state)
{
    SlipwayJson *params = slipway_json_new_object();
    SourceCommit c = {.repository = (char *)"https://x/y", .commit = (char *)"abc"};
    char *text;

    assert_int_equal(source_set_git(params, &c), 0);
    c.ref = (char *)"v1";
    text = slipway_json_format(params);
    assert_string_equal(
        text, "{\"parameters\":{\"source\":{\"git\":\"https://x/y\",\"commit\":\"abc\"}}}");
    free(text);
    assert_int_equal(source_set_git(params, &c), 0);
    assert_string_equal(slipway_json_get_string(params, "/parameters/source/ref", ""), "v1");
    (void)slipway_json_unref(params);
}

#define COMPLETE                                                                                  \
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"input\":\"in\",\"size\":4,\"isComplete\":true}}" \
    "\n"

static void test_send_archive(void **state)
{
    CliFixture *f = *state;
    _cleanup_free_ char *path = NULL, *requests = NULL;

    scratch_write_text(f->scratch->fd, "a.tar", "data");
    assert_true(asprintf(&path, "%s/a.tar", f->scratch->path) > 0);
    cli_agent_says(f, 2, COMPLETE);
    cli_connect(f, "--color", "never");
    assert_int_equal(source_send(&f->session, path, "in"), EXIT_DONE);
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"inputs/write\",\"params\":{\"input\":\"in\",\"offset\":0,"
                                     "\"base64\":\"ZGF0YQ==\",\"isLast\":true,\"sha256\":"));
    cli_expect_error(f, "");
}

/* A directory is packed aside, and nothing of that is left. */
static void test_send_directory(void **state)
{
    CliFixture *f = *state;
    _cleanup_free_ char *path = NULL, *requests = NULL, *before = NULL;

    scratch_write_text(f->scratch->fd, "tree/f", "content");
    assert_int_equal(mkdirat(f->scratch->fd, "aside", 0700), 0);
    assert_true(asprintf(&path, "%s/aside", f->scratch->path) > 0);
    assert_int_equal(setenv("TMPDIR", path, 1), 0);
    free(path);
    path = NULL;
    assert_true(asprintf(&path, "%s/tree", f->scratch->path) > 0);
    cli_agent_says(
        f, 2,
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32008,\"message\":\"the disk "
        "is full\"}}\n");
    cli_connect(f, "--color", "never");
    assert_int_equal(source_send(&f->session, path, "in"), EXIT_ACTION_FAILED);
    cli_expect_error_has(f, "the disk is full");
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"base64\":\"KLUv/")); /* zstd's magic number */
    assert_int_equal(scratch_count(f->scratch->fd, "aside"), 0);
    assert_int_equal(unsetenv("TMPDIR"), 0);
}

static void test_send_mistakes(void **state)
{
    CliFixture *f = *state;
    _cleanup_free_ char *empty = NULL;

    assert_int_equal(mkdirat(f->scratch->fd, "empty", 0700), 0);
    assert_true(asprintf(&empty, "%s/empty", f->scratch->path) > 0);
    cli_connect(f, "--color", "never");
    assert_int_equal(source_send(&f->session, "/nowhere", "in"), EXIT_USAGE);
    cli_expect_error_has(f, "'/nowhere'");
    assert_int_equal(source_send(&f->session, empty, "in"), EXIT_ACTION_FAILED);
    cli_expect_error_has(f, "is empty");
    assert_int_equal(source_send(&f->session, "/dev/null", "in"), EXIT_USAGE);
    cli_expect_error_has(f, "'/dev/null' is neither");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cli_test(test_local),        cli_test(test_remote),         cmocka_unit_test(test_set_git),
        cli_test(test_send_archive), cli_test(test_send_directory), cli_test(test_send_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
