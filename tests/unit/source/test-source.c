/* SPDX-License-Identifier: MIT */
#include "agent/source/source.h"

#include "protocol/artifact/archive.h"
#include "tests/unit/source/repository.h"

#include <errno.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

typedef struct Fixture {
    SourceRequest request;
    char *workspace, *cache, *inputs, *url;
} Fixture;

static void fixture_open(void **state, Fixture *f)
{
    *f = (Fixture){.workspace = repository_path(state, "run/workspace"),
                   .cache = repository_path(state, "cache"),
                   .inputs = repository_path(state, "inputs"),
                   .url = repository_path(state, "greeter.git")};
    (void)mkdirat(SCRATCH_FD, "run", 0755);
    (void)mkdirat(SCRATCH_FD, "run/workspace", 0755);
    (void)mkdirat(SCRATCH_FD, "inputs", 0755);
    f->request = (SourceRequest){
        .workspace = f->workspace, .cache_directory = f->cache, .inputs_directory = f->inputs};
}

static void fixture_done(Fixture *f)
{
    free(f->workspace);
    free(f->cache);
    free(f->inputs);
    free(f->url);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static void bring(const Fixture *f, Source *ret)
{
    _cleanup_error_ Error err = {0};

    if (source_bring(&f->request, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void expect_failure(const Fixture *f, int code, const char *mistake)
{
    _cleanup_error_ Error err = {0};
    Source source = {0};

    assert_int_equal(source_bring(&f->request, &source, &err), code);
    assert_null(source.name);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
}

/* ---- reading the request ----------------------------------------------------------------------
 */

static int read_request(const char *text, SourceRequest *ret, Json **ret_parameters, Error *err)
{
    assert_int_equal(json_parse(text, strlen(text), ret_parameters, NULL), 0);
    return source_request_read(*ret_parameters, ret, err);
}

static void test_request(void **state)
{
    _cleanup_json_ Json *git = NULL, *input = NULL, *none = NULL;
    SourceRequest request = {.workspace = "/w"};

    assert_int_equal(read_request("{\"source\":{\"git\":\"/a\",\"commit\":\"" COMMIT
                                  "\"},\"ref\":\"main\",\"clean\":true}",
                                  &request, &git, NULL),
                     0);
    assert_string_equal(request.git, "/a");
    assert_string_equal(request.commit, COMMIT);
    assert_string_equal(request.ref, "main");
    assert_true(request.is_clean);
    assert_string_equal(request.workspace, "/w");
    assert_int_equal(read_request("{\"source\":{\"input\":\"i\",\"ref\":\"v1\",\"name\":\"n\"},"
                                  "\"ref\":\"main\"}",
                                  &request, &input, NULL),
                     0);
    assert_null(request.git);
    assert_string_equal(request.input, "i");
    assert_string_equal(request.ref, "v1"); /* the source's own is nearer */
    assert_string_equal(request.name, "n");
    assert_false(request.is_clean);
    assert_int_equal(read_request("{}", &request, &none, NULL), 0);
    assert_null(request.git);
    assert_null(request.input);
}

static void test_request_mistakes(void **state)
{
    static const struct {
        const char *text, *mistake;
    } cases[] = {
        {"{\"source\":1}", "no object"},
        {"{\"source\":{}}", "neither"},
        {"{\"source\":{\"git\":\"/a\"}}", "no commit"},
        {"{\"source\":{\"git\":\"/a\",\"commit\":\"main\"}}", "'main' is no full commit"},
        {"{\"source\":{\"git\":\"/a\",\"commit\":\"" COMMIT "\",\"ref\":\"-x\"}}", "'-x'"},
        {"{\"source\":{\"git\":\"/a\",\"commit\":\"" COMMIT "\",\"input\":\"i\"}}", "both"},
        {"{\"source\":{\"input\":\"../i\"}}", "'../i'"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *parameters = NULL;
        _cleanup_error_ Error err = {0};
        SourceRequest request = {0};

        assert_int_equal(read_request(cases[i].text, &request, &parameters, &err), -EINVAL);
        if (!strstr(error_text(&err), cases[i].mistake)) {
            fail_msg("'%s' is not in: %s", cases[i].mistake, error_text(&err));
        }
    }
}

/* ---- git --------------------------------------------------------------------------------------
 */

static void test_git(void **state)
{
    _cleanup_free_ char *first = NULL, *second = NULL;
    _cleanup_fixture_ Fixture f;
    _cleanup_source_ Source brought = {0}, kept = {0}, unnamed = {0}, moved = {0};

    repository_make(state, "greeter.git");
    first = repository_commit(state, "greeter.git", "a", "one");
    fixture_open(state, &f);
    f.request.git = f.url;
    f.request.commit = first;
    f.request.ref = "refs/heads/main";
    bring(&f, &brought);
    assert_string_equal(brought.name, "greeter");
    assert_string_equal(brought.repository, f.url);
    assert_string_equal(brought.commit, first);
    assert_string_equal(brought.ref, "refs/heads/main");
    assert_true(strncmp(brought.version, first, 7) == 0);
    assert_string_equal(brought.subject, "one");
    assert_int_equal(brought.committed_at, 1700000000);
    assert_false(brought.is_kept);

    /* Again: as it is, built files and changes and all. So too without saying. */
    scratch_write_text(SCRATCH_FD, "run/workspace/a", "changed by a step");
    bring(&f, &kept);
    assert_true(kept.is_kept);
    assert_string_equal(kept.version, brought.version);
    scratch_expect_text(SCRATCH_FD, "run/workspace/a", "changed by a step");
    f.request = (SourceRequest){.workspace = f.workspace, .cache_directory = f.cache};
    bring(&f, &unnamed);
    assert_string_equal(unnamed.commit, first);
    assert_string_equal(unnamed.ref, "refs/heads/main");
    assert_string_equal(unnamed.subject, "one");
    assert_int_equal(unnamed.committed_at, 1700000000);

    /* Another commit moves it. */
    second = repository_commit(state, "greeter.git", "a", "two");
    REPOSITORY_GIT("greeter.git", "tag", "v2");
    f.request.git = f.url;
    f.request.commit = second;
    f.request.ref = "refs/tags/v2";
    bring(&f, &moved);
    assert_false(moved.is_kept);
    assert_string_equal(moved.version, "v2");
    scratch_expect_text(SCRATCH_FD, "run/workspace/a", "two");
}

static void test_git_clean(void **state)
{
    _cleanup_free_ char *commit = NULL;
    _cleanup_fixture_ Fixture f;
    _cleanup_source_ Source first = {0}, second = {0};

    repository_make(state, "greeter.git");
    commit = repository_commit(state, "greeter.git", "a", "one");
    fixture_open(state, &f);
    f.request.git = f.url;
    f.request.commit = commit;
    bring(&f, &first);
    assert_null(first.ref);
    scratch_write_text(SCRATCH_FD, "run/workspace/stray", "x");
    f.request.is_clean = true;
    bring(&f, &second);
    assert_false(second.is_kept);
    assert_false(file_exists(SCRATCH_FD, "run/workspace/stray"));
}

/* What was not on disk when the power went may be gone. */
static void test_another_boot(void **state)
{
    _cleanup_free_ char *commit = NULL, *text = NULL;
    _cleanup_fixture_ Fixture f;
    _cleanup_source_ Source first = {0}, second = {0};
    char *boot;

    repository_make(state, "greeter.git");
    commit = repository_commit(state, "greeter.git", "a", "one");
    fixture_open(state, &f);
    f.request.git = f.url;
    f.request.commit = commit;
    bring(&f, &first);
    scratch_write_text(SCRATCH_FD, "run/workspace/a", "");
    text = scratch_read(SCRATCH_FD, "run/source.json", NULL);
    boot = strstr(text, "\"boot\"");
    assert_non_null(boot);
    boot = strchr(boot + strlen("\"boot\""), '"') + 1;
    *boot = *boot == '0' ? '1' : '0';
    scratch_write_text(SCRATCH_FD, "run/source.json", text);
    bring(&f, &second);
    assert_false(second.is_kept);
    scratch_expect_text(SCRATCH_FD, "run/workspace/a", "one");
}

/* After a failure in the middle nobody takes the half for a source. */
static void test_half(void **state)
{
    _cleanup_free_ char *commit = NULL;
    _cleanup_fixture_ Fixture f;

    repository_make(state, "inner");
    free(repository_commit(state, "inner", "i", "inner"));
    repository_make(state, "greeter.git");
    REPOSITORY_GIT("greeter.git", "submodule", "--quiet", "add", "--", "../inner", "sub");
    commit = repository_commit(state, "greeter.git", "a", "one");
    assert_int_equal(file_remove_tree(SCRATCH_FD, "inner", NULL), 0);
    fixture_open(state, &f);
    f.request.git = f.url;
    f.request.commit = commit;
    expect_failure(&f, -EIO, "submodules");
    assert_true(file_exists(SCRATCH_FD, "run/workspace/a"));
    f.request.git = f.request.commit = NULL;
    expect_failure(&f, -EINVAL, "did not finish");
}

/* ---- inputs -----------------------------------------------------------------------------------
 */

static void put_input(void **state, const char *name, const char *content)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    _cleanup_fd_ int fd = -1;
    ArchiveSummary summary;
    char path[100];

    (void)snprintf(path, sizeof(path), "inputs/%s", name);
    fd = openat(SCRATCH_FD, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(archive_writer_new(ARCHIVE_TAR_ZSTD, 0, fd, 0, &writer, NULL), 0);
    assert_int_equal(
        archive_writer_add_bytes(writer, "dir/a", content, strlen(content), 0644, NULL), 0);
    assert_int_equal(archive_writer_finish(writer, &summary, NULL), 0);
    (void)snprintf(path, sizeof(path), "inputs/%s.sha256", name);
    scratch_write_text(SCRATCH_FD, path, summary.sha256);
}

static void test_input(void **state)
{
    _cleanup_fixture_ Fixture f;
    _cleanup_source_ Source first = {0}, again = {0}, other = {0};

    fixture_open(state, &f);
    put_input(state, "one", "one");
    put_input(state, "two", "two");
    f.request.input = "one";
    f.request.name = "My Service.git";
    bring(&f, &first);
    scratch_expect_text(SCRATCH_FD, "run/workspace/dir/a", "one");
    assert_string_equal(first.name, "My-Service");
    assert_null(first.commit);
    assert_null(first.repository);
    assert_int_equal(strlen(first.version), 12);
    assert_int_equal(first.committed_at, SOURCE_TIME_UNKNOWN);
    scratch_write_text(SCRATCH_FD, "run/workspace/built", "x");
    bring(&f, &again);
    assert_true(again.is_kept);
    assert_true(file_exists(SCRATCH_FD, "run/workspace/built"));
    f.request.input = "two";
    f.request.commit = COMMIT;
    f.request.ref = "refs/tags/v2";
    bring(&f, &other);
    scratch_expect_text(SCRATCH_FD, "run/workspace/dir/a", "two");
    assert_false(file_exists(SCRATCH_FD, "run/workspace/built"));
    assert_false(file_exists(SCRATCH_FD, "run/workspace.input"));
    assert_string_equal(other.commit, COMMIT);
    assert_string_equal(other.version, "v2");
}

static void test_input_mistakes(void **state)
{
    _cleanup_fixture_ Fixture f;

    fixture_open(state, &f);
    f.request.input = "gone";
    expect_failure(&f, -ENOENT, "no input 'gone'");
    put_input(state, "one", "one");
    f.request.input = "one";
    scratch_write_text(SCRATCH_FD, "inputs/one.sha256",
                       "0000000000000000000000000000000000000000000000000000000000000000");
    expect_failure(&f, -EBADMSG, "is not what was sent");
    scratch_write_text(SCRATCH_FD, "inputs/one.sha256", "0");
    expect_failure(&f, -EBADMSG, "is no SHA-256");
    assert_int_equal(unlinkat(SCRATCH_FD, "inputs/one.sha256", 0), 0);
    expect_failure(&f, -ENOENT, "one.sha256");
    f.request.inputs_directory = NULL;
    expect_failure(&f, -ENOENT, "no input 'one'");
}

/* ---- neither ----------------------------------------------------------------------------------
 */

static void test_nothing(void **state)
{
    _cleanup_fixture_ Fixture f;

    fixture_open(state, &f);
    expect_failure(&f, -ENOENT, "there is no source");
}

static void test_brought_by_others(void **state)
{
    _cleanup_fixture_ Fixture f;
    _cleanup_source_ Source source = {0};

    fixture_open(state, &f);
    scratch_write_text(SCRATCH_FD, "run/workspace/a", "x");
    bring(&f, &source);
    assert_string_equal(source.name, "app");
    assert_string_equal(source.version, "unversioned");
    assert_null(source.commit);
}

static void test_no_workspace(void **state)
{
    _cleanup_fixture_ Fixture f;

    fixture_open(state, &f);
    assert_int_equal(unlinkat(SCRATCH_FD, "run/workspace", AT_REMOVEDIR), 0);
    scratch_write_text(SCRATCH_FD, "run/workspace", "a file");
    expect_failure(&f, -ENOTDIR, "cannot open the workspace");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),     cmocka_unit_test(test_request_mistakes),
        repository_test(test_git),          repository_test(test_git_clean),
        repository_test(test_another_boot), repository_test(test_half),
        repository_test(test_input),        repository_test(test_input_mistakes),
        repository_test(test_nothing),      repository_test(test_brought_by_others),
        repository_test(test_no_workspace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
