/* SPDX-License-Identifier: MIT */
#include "agent/runners/artifacts.h"

#include "tests/unit/scratch.h"

#include <errno.h>

typedef struct Fixture {
    char call[100];
    ArtifactsRequest request;
    Report report;
} Fixture;

static void fixture_open(void **state, Fixture *f)
{
    (void)snprintf(f->call, sizeof(f->call), "%s/call", SCRATCH_PATH);
    assert_int_equal(mkdirat(SCRATCH_FD, "call", 0755), 0);
    assert_int_equal(mkdirat(SCRATCH_FD, "workspace", 0755), 0);
    f->request = (ArtifactsRequest){
        .workspace_fd = openat(SCRATCH_FD, "workspace", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .call_directory = f->call,
        .time = 1700000000};
    f->report.fd = openat(SCRATCH_FD, "reports", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void fixture_done(Fixture *f)
{
    (void)fd_close(f->request.workspace_fd);
    (void)fd_close(f->report.fd);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static const char *all[] = {"**"}, *dist[] = {"dist", "!dist/tmp"}, *gone[] = {"gone"};

static void test_pack(void **state)
{
    const RecipeArtifact artifacts[] = {{"everything", all, 1}, {"dist", dist, 2}};
    _cleanup_fixture_ Fixture f;
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ Json *report = NULL;
    _cleanup_fd_ int fd = -1;
    char digest[DIGEST_HEX_SIZE];
    int64_t size;

    fixture_open(state, &f);
    scratch_write_text(SCRATCH_FD, "workspace/dist/a", "a");
    scratch_write_text(SCRATCH_FD, "workspace/dist/tmp/b", "b");
    scratch_write_text(SCRATCH_FD, "workspace/.git/config", "secret");
    scratch_write_text(SCRATCH_FD, "workspace/sub/.git", "gitdir: x");
    scratch_write_text(SCRATCH_FD, "workspace/sub/c", "c");
    assert_int_equal(artifacts_pack(&f.request, artifacts, 2, &f.report, NULL), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "call/artifacts"), 2);
    text = scratch_read(SCRATCH_FD, "reports", NULL);
    assert_int_equal(json_parse(text, strcspn(text, "\n"), &report, NULL), 0);
    assert_string_equal(json_get_string(report, "name"), "everything");
    assert_string_equal(json_get_string(report, "file"), "everything.tar.zst");
    assert_string_equal(json_get_string(report, "format"), "tar.zst");
    assert_int_equal(json_get_int(report, "entries", 0), 3); /* nothing of git's */
    fd = openat(SCRATCH_FD, "call/artifacts/everything.tar.zst", O_RDONLY | O_CLOEXEC);
    assert_int_equal(digest_fd(fd, digest, &size, NULL), 0);
    assert_string_equal(json_get_string(report, "sha256"), digest);
    assert_int_equal(json_get_int(report, "size", -1), size);
}

static void test_nothing_matches(void **state)
{
    const RecipeArtifact artifact = {"a", gone, 1};
    _cleanup_fixture_ Fixture f;
    _cleanup_error_ Error err = {0};

    fixture_open(state, &f);
    assert_int_equal(artifacts_pack(&f.request, &artifact, 1, &f.report, &err), -ENOENT);
    assert_string_equal(err.text, "artifact 'a': 'gone' matches nothing");
    f.request.is_after_failure = true;
    assert_int_equal(artifacts_pack(&f.request, &artifact, 1, &f.report, NULL), 0);
    scratch_expect_text(SCRATCH_FD, "reports", "");
}

static void test_patterns_that_leave_nothing(void **state)
{
    static const char *patterns[] = {"dist/tmp/**", "!dist/tmp"};
    const RecipeArtifact artifact = {"a", patterns, 2};
    _cleanup_fixture_ Fixture f;
    _cleanup_error_ Error err = {0};

    fixture_open(state, &f);
    scratch_write_text(SCRATCH_FD, "workspace/dist/tmp/b", "b");
    assert_int_equal(artifacts_pack(&f.request, &artifact, 1, &f.report, &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), "artifact 'a': "));
}

/* A failure leaves no half archive. */
static void test_no_half(void **state)
{
    char name[] = "vanished";
    char *names[] = {name};
    _cleanup_fixture_ Fixture f;
    _cleanup_error_ Error err = {0};

    fixture_open(state, &f);
    assert_int_equal(artifacts_pack_one(&f.request, f.request.workspace_fd, "a", names, 1,
                                        &f.report, NULL, &err),
                     -ENOENT);
    assert_non_null(strstr(error_text(&err), "artifact 'a': "));
    assert_int_equal(scratch_count(SCRATCH_FD, "call/artifacts"), 0);
    scratch_expect_text(SCRATCH_FD, "reports", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_pack),
        scratch_test(test_nothing_matches),
        scratch_test(test_patterns_that_leave_nothing),
        scratch_test(test_no_half),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
