/* SPDX-License-Identifier: MIT */
#include "plugin/cli/fetch.h"

#include "protocol/base/text.h"
#include "tests/unit/cli/cli-fixture.h"

/* sha256 of "hello\n" */
#define HELLO_SHA256 "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

static SlipwayJson *describe(const char *name, const char *format, size_t size, const char *sha256)
{
    SlipwayJson *artifacts = slipway_json_new_array();
    _cleanup_free_ char *id = NULL;

    assert_true(asprintf(&id, "c1/%s", name) > 0);
    assert_int_equal(slipway_json_set_string(artifacts, "/-/artifact", id), 0);
    assert_int_equal(slipway_json_set_string(artifacts, "/0/name", name), 0);
    assert_int_equal(slipway_json_set_string(artifacts, "/0/format", format), 0);
    assert_int_equal(slipway_json_set_int(artifacts, "/0/size", (int64_t)size), 0);
    assert_int_equal(slipway_json_set_string(artifacts, "/0/sha256", sha256), 0);
    return artifacts;
}

/* The agent answers its `n`th request with all of these bytes. */
static void serve(CliFixture *f, unsigned n, const void *data, size_t len)
{
    _cleanup_buffer_ Buffer line = {0};

    assert_int_equal(
        buffer_append_format(
            &line, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":{\"offset\":0,\"base64\":\"", n),
        0);
    assert_int_equal(text_append_base64(&line, data, len), 0);
    assert_int_equal(buffer_append_text(&line, "\",\"isLast\":true}}\n"), 0);
    cli_agent_says(f, n, buffer_text(&line));
}

static int fetch(CliFixture *f, const SlipwayJson *artifacts, const char *name, bool no_unpack)
{
    char directory[128];

    (void)snprintf(directory, sizeof(directory), "%s/to", f->scratch->path);
    return fetch_artifacts(&f->session, artifacts, name, directory, no_unpack);
}

static void test_file(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *artifacts = describe("hello.txt", "file", 6, HELLO_SHA256);
    _cleanup_free_ char *expected = NULL;

    serve(f, 2, "hello\n", 6);
    cli_connect(f, "--color", "never");
    assert_int_equal(fetch(f, artifacts, NULL, false), EXIT_DONE);
    scratch_expect_text(f->scratch->fd, "to/hello.txt", "hello\n");
    assert_true(asprintf(&expected, "hello.txt: 6 B in '%s/to/hello.txt'\n", f->scratch->path) > 0);
    cli_expect_error(f, expected);
    (void)slipway_json_unref(artifacts);
}

static void test_file_as_json(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *artifacts = describe("hello.txt", "file", 6, HELLO_SHA256);
    _cleanup_free_ char *expected = NULL;

    serve(f, 2, "hello\n", 6);
    cli_connect(f, "--json");
    assert_int_equal(fetch(f, artifacts, "hello.txt", false), EXIT_DONE);
    assert_true(asprintf(&expected,
                         "{\"event\":\"artifact/fetched\",\"artifact\":\"c1/hello.txt\",\"path\":"
                         "\"%s/to/hello.txt\"}\n",
                         f->scratch->path) > 0);
    cli_expect_out(f, expected);
    (void)slipway_json_unref(artifacts);
}

/* An archive of one file, described as the agent would. */
static SlipwayJson *make_archive(CliFixture *f)
{
    _cleanup_free_ char *tree = NULL, *archive = NULL, *bytes = NULL, *line = NULL;
    char sha256[128];
    size_t n;
    FILE *sum;

    scratch_write_text(f->scratch->fd, "tree/bin/app", "app");
    assert_true(asprintf(&tree, "%s/tree", f->scratch->path) > 0 &&
                asprintf(&archive, "%s/a.tar.zst", f->scratch->path) > 0 &&
                asprintf(&line, "sha256sum %s", archive) > 0);
    assert_int_equal(slipway_archive_pack(tree, archive, NULL), 0);
    bytes = scratch_read(f->scratch->fd, "a.tar.zst", &n);
    serve(f, 2, bytes, n);
    sum = popen(line, "r");
    assert_non_null(sum);
    assert_int_equal(fscanf(sum, "%127[0-9a-f]", sha256), 1);
    assert_int_equal(pclose(sum), 0);
    return describe("app", "tar.zst", n, sha256);
}

static void test_archive(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *artifacts = make_archive(f);

    cli_connect(f, "--color", "never");
    assert_int_equal(fetch(f, artifacts, NULL, false), EXIT_DONE);
    scratch_expect_text(f->scratch->fd, "to/app/bin/app", "app");
    assert_int_equal(scratch_count(f->scratch->fd, "to"), 1); /* the archive itself is gone */

    /* Once more: what is there is not touched, and nothing is fetched. */
    assert_int_equal(fetch(f, artifacts, NULL, false), EXIT_USAGE);
    cli_expect_error_has(f, "to/app' is there already");
    (void)slipway_json_unref(artifacts);
}

static void test_no_unpack(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *artifacts = make_archive(f);

    cli_connect(f, "--color", "never");
    assert_int_equal(fetch(f, artifacts, NULL, true), EXIT_DONE);
    assert_true(file_exists(f->scratch->fd, "to/app.tar.zst"));
    assert_int_equal(scratch_count(f->scratch->fd, "to"), 1);
    (void)slipway_json_unref(artifacts);
}

/* Right by its digest and no archive all the same: it is fetched once more and kept, to be looked
 * at. */
static void test_broken_archive(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *artifacts = describe("app", "tar.zst", 6, HELLO_SHA256);

    serve(f, 2, "hello\n", 6);
    serve(f, 3, "hello\n", 6);
    cli_connect(f, "--color", "never");
    assert_int_equal(fetch(f, artifacts, NULL, false), EXIT_ACTION_FAILED);
    cli_expect_error_has(f, "the archive is kept as '");
    assert_true(file_exists(f->scratch->fd, "to/app.tar.zst"));
    assert_int_equal(scratch_count(f->scratch->fd, "to"), 1);
    (void)slipway_json_unref(artifacts);
}

static void test_wrong_digest(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *artifacts = describe("hello.txt", "file", 6, HELLO_SHA256);

    serve(f, 2, "HELLO\n", 6);
    cli_connect(f, "--color", "never");
    assert_int_equal(fetch(f, artifacts, NULL, false), EXIT_ACTION_FAILED);
    cli_expect_error_has(f, "slipway: hello.txt: fetching 'c1/hello.txt'");
    assert_int_equal(scratch_count(f->scratch->fd, "to"), 0);
    (void)slipway_json_unref(artifacts);
}

/* Names come from the agent, and none of them leads out of the directory. */
static void test_evil_names(void **state)
{
    static const char *const names[] = {"", ".", "..", "../evil", "/evil", "a/b"};
    CliFixture *f = *state;

    cli_connect(f, "--color", "never");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        SlipwayJson *artifacts = describe(names[i], "file", 6, HELLO_SHA256);

        assert_int_equal(fetch(f, artifacts, NULL, false), EXIT_ACTION_FAILED);
        cli_expect_error_has(f, "which is no file name");
        (void)slipway_json_unref(artifacts);
    }
    assert_int_equal(scratch_count(f->scratch->fd, "to"), 0);
}

static void test_mistakes(void **state)
{
    CliFixture *f = *state;
    SlipwayJson *artifacts = describe("hello.txt", "file", 6, HELLO_SHA256);

    cli_connect(f, "--color", "never");
    assert_int_equal(fetch(f, artifacts, "other", false), EXIT_USAGE);
    cli_expect_error_has(f, "the call has no artifact 'other'");
    assert_int_equal(fetch_artifacts(&f->session, artifacts, NULL, "/proc/nowhere", false),
                     EXIT_USAGE);
    cli_expect_error_has(f, "'/proc/nowhere'");
    /* None at all is fine where none was named. */
    assert_int_equal(fetch(f, NULL, NULL, false), EXIT_DONE);
    (void)slipway_json_unref(artifacts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cli_test(test_file),       cli_test(test_file_as_json),   cli_test(test_archive),
        cli_test(test_no_unpack),  cli_test(test_broken_archive), cli_test(test_wrong_digest),
        cli_test(test_evil_names), cli_test(test_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
