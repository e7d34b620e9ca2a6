/* SPDX-License-Identifier: MIT */
#include "plugin/cli/collect.h"

#include "protocol/base/text.h"
#include "tests/unit/cli/cli-fixture.h"

#define HEX "0e652d06d8afe34763e4efbafc6c0ecf0e36d296c20df055c5bd26e64e04b4d9"
#define COMMIT "e3986927549ac60b14665b391267194a6751a849"

/* An envelope, signed with a key of the fixture's. */
static char *make_line(CliFixture *f)
{
    static const char predicate[] =
        "{\"approver\":{\"name\":\"Ann\"},\"environment\":\"prod\","
        "\"commit\":\"" COMMIT "\",\"expiresOn\":\"2036-11-25T14:03:00Z\"}";
    SlipwayJson *json = NULL;
    _cleanup_free_ char *key = NULL;
    char *line = NULL, *whole = NULL;

    assert_true(asprintf(&key, "%s/key", f->scratch->path) > 0);
    if (!file_exists(f->scratch->fd, "key")) {
        assert_int_equal(slipway_key_generate(key, NULL, NULL), 0);
    }
    assert_int_equal(slipway_json_parse(predicate, strlen(predicate), &json), 0);
    assert_int_equal(slipway_approval_sign(key, "sha256:" HEX, NULL, json, &line, NULL), 0);
    assert_true(asprintf(&whole, "%s\n", line) > 0);
    free(line);
    (void)slipway_json_unref(json);
    return whole;
}

/* "{artifact}" of a call's evidence. */
static char *describe(const char *call, const char *text)
{
    char *sha256 = slipway_sha256(text, strlen(text)), *json = NULL;

    assert_true(asprintf(&json,
                         "{\"artifact\":\"%s/release.intoto.jsonl\",\"name\":"
                         "\"release.intoto.jsonl\",\"size\":%zu,\"sha256\":\"%s\",\"format\":"
                         "\"file\"}",
                         call, strlen(text), sha256) > 0);
    free(sha256);
    return json;
}

static void serve(CliFixture *f, unsigned n, const char *text)
{
    _cleanup_buffer_ Buffer line = {0};

    assert_int_equal(
        buffer_append_format(
            &line, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":{\"offset\":0,\"base64\":\"", n),
        0);
    assert_int_equal(text_append_base64(&line, text, strlen(text)), 0);
    assert_int_equal(buffer_append_text(&line, "\",\"isLast\":true}}\n"), 0);
    cli_agent_says(f, n, buffer_text(&line));
}

static void answer(CliFixture *f, unsigned n, const char *result)
{
    _cleanup_free_ char *line = NULL;

    assert_true(asprintf(&line, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":%s}\n", n, result) > 0);
    cli_agent_says(f, n, line);
}

/* Nothing of it stays behind on this side. */
static void use_own_tmp(CliFixture *f)
{
    _cleanup_free_ char *path = NULL;

    assert_int_equal(mkdirat(f->scratch->fd, "tmp", 0700), 0);
    assert_true(asprintf(&path, "%s/tmp", f->scratch->path) > 0);
    assert_int_equal(setenv("TMPDIR", path, 1), 0);
}

static void expect_nothing_left(CliFixture *f)
{
    assert_int_equal(scratch_count(f->scratch->fd, "tmp"), 0);
    assert_int_equal(unsetenv("TMPDIR"), 0);
}

static void test_artifacts(void **state)
{
    CliFixture *f = *state;
    _cleanup_(release_bundle_done) ReleaseBundle bundle = {0};
    _cleanup_free_ char *line = make_line(f), *artifact = describe("c1", line), *list = NULL;
    SlipwayJson *artifacts = NULL;

    use_own_tmp(f);
    assert_true(
        asprintf(&list, "[{\"artifact\":\"c1/package\",\"name\":\"package\"},%s]", artifact) > 0);
    assert_int_equal(slipway_json_parse(list, strlen(list), &artifacts), 0);
    serve(f, 2, line);
    cli_connect(f, "--color", "never");
    assert_int_equal(collect_artifacts(&f->session, artifacts, &bundle), EXIT_DONE);
    assert_string_equal(bundle.text, line);
    assert_int_equal(collect_artifacts(&f->session, NULL, &bundle), EXIT_DONE); /* most have none */
    assert_string_equal(bundle.text, line);
    cli_expect_error(f, "");
    expect_nothing_left(f);
    (void)slipway_json_unref(artifacts);
}

/* The oldest first; calls that still run have not stated anything yet. */
static void test_run(void **state)
{
    CliFixture *f = *state;
    _cleanup_(release_bundle_done) ReleaseBundle bundle = {0};
    _cleanup_free_ char *first = make_line(f), *second = make_line(f), *requests = NULL;
    _cleanup_free_ char *of_first = describe("c1", first), *of_second = describe("c2", second);
    _cleanup_free_ char *list_first = NULL, *list_second = NULL, *expected = NULL;

    use_own_tmp(f);
    assert_true(asprintf(&list_first, "{\"artifacts\":[%s]}", of_first) > 0);
    assert_true(asprintf(&list_second, "{\"artifacts\":[%s]}", of_second) > 0);
    assert_true(asprintf(&expected, "%s%s", first, second) > 0);
    answer(f, 2,
           "{\"calls\":[{\"call\":\"c3\",\"state\":\"running\"},{\"call\":\"c2\",\"state\":"
           "\"finished\"},{\"call\":\"c1\",\"state\":\"finished\"}]}");
    answer(f, 3, list_first);
    serve(f, 4, first);
    answer(f, 5, list_second);
    serve(f, 6, second);
    cli_connect(f, "--color", "never");
    assert_int_equal(collect_run(&f->session, "r7", &bundle), EXIT_DONE);
    assert_string_equal(bundle.text, expected);
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"calls/list\",\"params\":{\"run\":\"r7\",\"limit\":1000}"));
    expect_nothing_left(f);
}

static void test_no_such_run(void **state)
{
    CliFixture *f = *state;
    ReleaseBundle bundle = {0};

    answer(f, 2, "{\"calls\":[]}");
    cli_connect(f, "--color", "never");
    assert_int_equal(collect_run(&f->session, "r7", &bundle), EXIT_USAGE);
    cli_expect_error_has(f, "no call of the run 'r7'");
    assert_null(bundle.text);
}

static void test_no_evidence(void **state)
{
    CliFixture *f = *state;
    ReleaseBundle bundle = {0};
    _cleanup_free_ char *artifact = describe("c1", "not an envelope\n"), *list = NULL;
    SlipwayJson *artifacts = NULL;

    use_own_tmp(f);
    assert_true(asprintf(&list, "[%s]", artifact) > 0);
    assert_int_equal(slipway_json_parse(list, strlen(list), &artifacts), 0);
    serve(f, 2, "not an envelope\n");
    cli_connect(f, "--color", "never");
    assert_int_equal(collect_artifacts(&f->session, artifacts, &bundle), EXIT_ACTION_FAILED);
    cli_expect_error_has(f, "slipway: c1/release.intoto.jsonl: ");
    assert_null(bundle.text);
    expect_nothing_left(f);
    (void)slipway_json_unref(artifacts);
}

/* The name is made of the content: what is the same is the same input. */
static void test_send(void **state)
{
    CliFixture *f = *state;
    _cleanup_(release_bundle_done) ReleaseBundle bundle = {0};
    _cleanup_free_ char *line = make_line(f), *requests = NULL, *expected = NULL;
    char *sha256 = slipway_sha256(line, strlen(line)), input[COLLECT_INPUT_SIZE] = "";

    use_own_tmp(f);
    assert_int_equal(release_bundle_add(&bundle, line, strlen(line), NULL, NULL), 0);
    answer(f, 2, "{\"input\":\"in\",\"size\":4,\"isComplete\":true}");
    cli_connect(f, "--color", "never");
    assert_int_equal(collect_send(&f->session, &bundle, input), EXIT_DONE);
    assert_true(asprintf(&expected, "evidence-%.32s", sha256) > 0);
    assert_string_equal(input, expected);
    requests = cli_requests(f);
    assert_non_null(strstr(requests, "\"inputs/write\""));
    assert_non_null(strstr(requests, expected));
    assert_non_null(strstr(requests, sha256));
    expect_nothing_left(f);
    free(sha256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cli_test(test_artifacts),   cli_test(test_run),  cli_test(test_no_such_run),
        cli_test(test_no_evidence), cli_test(test_send),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
