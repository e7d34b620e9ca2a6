/* SPDX-License-Identifier: MIT */
#include "agent/source/mirror.h"

#include "protocol/base/text.h"
#include "tests/unit/source/repository.h"

#include <errno.h>
#include <sys/file.h>

typedef struct Fixture {
    Git git;
    Mirror mirror;
    char *cache;
    char *url;
} Fixture;

static void fixture_open(void **state, Fixture *f, const char *name, const char *commit)
{
    f->cache = repository_path(state, "cache");
    f->url = repository_path(state, name);
    f->git = GIT_INIT;
    f->mirror = MIRROR_INIT;
    assert_int_equal(git_open(f->url, &f->git, NULL), 0);
    assert_int_equal(mirror_open(f->cache, &f->git, commit, &f->mirror, NULL), 0);
}

static void fixture_done(Fixture *f)
{
    mirror_done(&f->mirror);
    git_done(&f->git);
    free(f->cache);
    free(f->url);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static void expect_fetched(const Mirror *mirror, const char *commit, const char *ref)
{
    _cleanup_error_ Error err = {0};

    if (mirror_fetch(mirror, commit, ref, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_true(mirror_has(mirror, commit));
}

static void test_fetch_by_ref(void **state)
{
    _cleanup_free_ char *first = NULL, *second = NULL, *version = NULL, *subject = NULL;
    _cleanup_fixture_ Fixture f = {0};
    int64_t time;

    repository_make(state, "origin");
    first = repository_commit(state, "origin", "a", "one");
    REPOSITORY_GIT("origin", "tag", "v1");
    second = repository_commit(state, "origin", "a", "two");
    fixture_open(state, &f, "origin", second);
    assert_false(mirror_has(&f.mirror, second));
    expect_fetched(&f.mirror, second, "refs/heads/main");
    assert_true(mirror_has(&f.mirror, first));
    assert_int_equal(mirror_describe(&f.mirror, second, &version, NULL), 0);
    assert_true(strncmp(version, "v1-1-g", 6) == 0);
    assert_int_equal(mirror_read_commit(&f.mirror, second, &time, &subject, NULL), 0);
    assert_string_equal(subject, "two");
    assert_int_equal(time, 1700000000);
}

/* A message may be of any length, and of no encoding. */
static void test_subject(void **state)
{
    _cleanup_free_ char *commit = NULL, *subject = NULL;
    _cleanup_fixture_ Fixture f = {0};
    char message[1000];
    int64_t time;

    memset(message, 'x', sizeof(message));
    memcpy(message, "a \xff b", strlen("a \xff b"));
    message[sizeof(message) - 1] = '\0';
    repository_make(state, "origin");
    commit = repository_commit(state, "origin", "a", message);
    fixture_open(state, &f, "origin", commit);
    expect_fetched(&f.mirror, commit, "main");
    assert_int_equal(mirror_read_commit(&f.mirror, commit, &time, &subject, NULL), 0);
    assert_true(text_has_prefix(subject, "a "));
    assert_true(text_is_utf8(subject, strlen(subject)));
    assert_in_range(strlen(subject), 390, 402);
}

/* What is here is not asked for again: the origin is gone, and nobody minds. */
static void test_no_network_for_what_is_here(void **state)
{
    _cleanup_free_ char *commit = NULL;
    _cleanup_fixture_ Fixture f = {0};

    repository_make(state, "origin");
    commit = repository_commit(state, "origin", "a", "one");
    fixture_open(state, &f, "origin", commit);
    expect_fetched(&f.mirror, commit, "main");
    assert_int_equal(file_remove_tree(SCRATCH_FD, "origin", NULL), 0);
    expect_fetched(&f.mirror, commit, "main");
    expect_fetched(&f.mirror, commit, "refs/tags/late"); /* cannot be had: said, not fatal */
}

/* Only what is new comes: the objects of the first fetch are taken from the origin. */
static void test_incremental(void **state)
{
    _cleanup_free_ char *first = NULL, *second = NULL, *tree = NULL;
    _cleanup_fixture_ Fixture f = {0};
    char path[200];

    repository_make(state, "origin");
    first = repository_commit(state, "origin", "a", "one");
    fixture_open(state, &f, "origin", first);
    expect_fetched(&f.mirror, first, "main");
    second = repository_commit(state, "origin", "b", "two");
    tree = repository_git(state, "origin", GIT_ARGUMENTS("rev-parse", "HEAD~1:a"));
    (void)snprintf(path, sizeof(path), "origin/.git/objects/%.2s/%s", tree, tree + 2);
    assert_int_equal(unlinkat(SCRATCH_FD, path, 0), 0);
    expect_fetched(&f.mirror, second, "main");
}

static void test_fetch_without_ref(void **state)
{
    _cleanup_free_ char *first = NULL, *second = NULL;
    _cleanup_fixture_ Fixture f = {0};

    repository_make(state, "origin");
    first = repository_commit(state, "origin", "a", "one");
    second = repository_commit(state, "origin", "a", "two");
    fixture_open(state, &f, "origin", second);
    expect_fetched(&f.mirror, first, NULL);
    assert_false(mirror_has(&f.mirror, second));
}

/* The branch has gone on, or away: the commit itself is asked for. */
static void test_ref_that_is_no_help(void **state)
{
    _cleanup_free_ char *old = NULL, *commit = NULL, *other = NULL;
    _cleanup_fixture_ Fixture f = {0};

    repository_make(state, "origin");
    old = repository_commit(state, "origin", "a", "one");
    REPOSITORY_GIT("origin", "checkout", "-q", "-b", "topic");
    commit = repository_commit(state, "origin", "a", "rewritten");
    REPOSITORY_GIT("origin", "reset", "-q", "--hard", old);
    other = repository_commit(state, "origin", "b", "instead");
    fixture_open(state, &f, "origin", commit);
    expect_fetched(&f.mirror, commit, "topic");
    expect_fetched(&f.mirror, old, "gone");
}

/* A branch `a` made way for `a/b`: git cannot keep both, we can. */
static void test_branches_in_each_others_way(void **state)
{
    _cleanup_free_ char *first = NULL, *second = NULL;
    _cleanup_fixture_ Fixture f = {0};

    repository_make(state, "origin");
    first = repository_commit(state, "origin", "a", "one");
    REPOSITORY_GIT("origin", "branch", "a");
    fixture_open(state, &f, "origin", first);
    expect_fetched(&f.mirror, first, "a");
    REPOSITORY_GIT("origin", "branch", "-D", "a");
    REPOSITORY_GIT("origin", "checkout", "-q", "-b", "a/b");
    second = repository_commit(state, "origin", "a", "two");
    expect_fetched(&f.mirror, second, "a/b");
}

static void expect_failure(const Mirror *mirror, const char *commit, const char *ref, int code,
                           const char *mistake)
{
    _cleanup_error_ Error err = {0};

    assert_int_equal(mirror_fetch(mirror, commit, ref, &err), code);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
}

static void test_failures(void **state)
{
    static const char missing[] = "0123456789abcdef0123456789abcdef01234567";
    _cleanup_free_ char *commit = NULL;
    _cleanup_fixture_ Fixture f = {0}, nowhere = {0};

    repository_make(state, "origin");
    commit = repository_commit(state, "origin", "a", "one");
    fixture_open(state, &f, "origin", commit);
    expect_failure(&f.mirror, missing, "main", -ENOENT, "has no commit 0123456789abcdef");
    expect_failure(&f.mirror, missing, NULL, -ENOENT, "has no commit 0123456789abcdef");
    expect_failure(&f.mirror, missing, "gone", -ENOENT, "has no commit 0123456789abcdef");
    fixture_open(state, &nowhere, "nowhere", commit);
    expect_failure(&nowhere.mirror, commit, "main", -EIO, "cannot fetch from '");
    expect_failure(&nowhere.mirror, commit, "main", -EIO, "nowhere");
}

static void test_lock(void **state)
{
    static const char any[] = "0123456789abcdef0123456789abcdef01234567";
    _cleanup_fixture_ Fixture f = {0};
    _cleanup_free_ char *lock = NULL;
    _cleanup_fd_ int fd = -1;

    fixture_open(state, &f, "origin", any);
    assert_true(asprintf(&lock, "%s.lock", f.mirror.directory) > 0);
    fd = open(lock, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    mirror_unlock(&f.mirror);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
}

/* An `init` that was cut off is done again. */
static void test_half_made(void **state)
{
    _cleanup_free_ char *commit = NULL, *head = NULL;
    _cleanup_fixture_ Fixture f = {0}, again = {0};

    repository_make(state, "origin");
    commit = repository_commit(state, "origin", "a", "one");
    fixture_open(state, &f, "origin", commit);
    assert_true(asprintf(&head, "%s/HEAD", f.mirror.directory) > 0);
    assert_int_equal(unlink(head), 0);
    mirror_unlock(&f.mirror);
    fixture_open(state, &again, "origin", commit);
    expect_fetched(&again.mirror, commit, "main");
}

static void test_sha256(void **state)
{
    _cleanup_free_ char *commit = NULL;
    _cleanup_fixture_ Fixture f = {0};

    assert_int_equal(mkdirat(SCRATCH_FD, "origin", 0755), 0);
    REPOSITORY_GIT("origin", "init", "-q", "-b", "main", "--object-format=sha256");
    commit = repository_commit(state, "origin", "a", "one");
    assert_int_equal(strlen(commit), 64);
    fixture_open(state, &f, "origin", commit);
    expect_fetched(&f.mirror, commit, "main");
}

/* Many fetches do not make many packs, and nothing gets lost: not even what no ref names. */
static void test_repack(void **state)
{
    _cleanup_free_ char *lost = NULL, *last = NULL, *packs = NULL;
    _cleanup_fixture_ Fixture f = {0};
    char from[200], to[200];

    repository_make(state, "origin");
    lost = repository_commit(state, "origin", "a", "lost");
    fixture_open(state, &f, "origin", lost);
    expect_fetched(&f.mirror, lost, "main");
    REPOSITORY_GIT("origin", "checkout", "-q", "--orphan", "other");
    last = repository_commit(state, "origin", "a", "last");
    REPOSITORY_GIT("origin", "branch", "-q", "-f", "main", "other");
    packs = repository_path(state, "packs");
    /* Copies of its one pack under other names stand for fifty fetches. */
    {
        _cleanup_buffer_ Buffer list = BUFFER_INIT(0);
        char pattern[200];
        const char *argv[] = {"sh", "-c", pattern, NULL};
        ProcessExit how;

        (void)snprintf(pattern, sizeof(pattern), "ls *.pack");
        (void)snprintf(from, sizeof(from), "%s/objects/pack", f.mirror.directory);
        assert_int_equal(
            process_run(&(ProcessOptions){.argv = argv, .directory = from, .output = &list}, &how,
                        NULL),
            0);
        list.data[strcspn(list.data, ".")] = '\0';
        for (int i = 0; i < 50; i++) {
            (void)snprintf(pattern, sizeof(pattern),
                           "cp %s.pack pack-%040d.pack; cp %s.idx pack-%040d.idx", list.data, i,
                           list.data, i);
            assert_int_equal(
                process_run(&(ProcessOptions){.argv = argv, .directory = from}, &how, NULL), 0);
        }
    }
    expect_fetched(&f.mirror, last, "main");
    (void)snprintf(to, sizeof(to), "%s", strstr(from, "cache"));
    assert_true(scratch_count(SCRATCH_FD, to) < 10);
    assert_true(mirror_has(&f.mirror, lost));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        repository_test(test_fetch_by_ref),
        repository_test(test_subject),
        repository_test(test_no_network_for_what_is_here),
        repository_test(test_incremental),
        repository_test(test_fetch_without_ref),
        repository_test(test_ref_that_is_no_help),
        repository_test(test_branches_in_each_others_way),
        repository_test(test_failures),
        repository_test(test_lock),
        repository_test(test_half_made),
        repository_test(test_sha256),
        repository_test(test_repack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
