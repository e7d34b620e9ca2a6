/* SPDX-License-Identifier: MIT */
#include "tests/unit/client/download-fixture.h"

#include <errno.h>

static void test_in_order(void **state)
{
    Fixture *f = *state;

    begin(f);
    for (int64_t offset = 0; offset < SIZE; offset += PIECE) {
        assert_int_equal(f->outcome.n, 0);
        answer_piece(f, expect_piece(f, offset), f->content, "");
    }
    expect_file(f);
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
}

/* All pieces are asked for at once; they may come in any order and by either parser. */
static void test_any_order(void **state)
{
    static const unsigned orders[][4] = {{3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}};

    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        void *inner = NULL;
        Json *requests[4];
        Fixture *f;

        assert_int_equal(setup(&inner), 0);
        f = inner;
        begin(f);
        for (unsigned k = 0; k < 4; k++) {
            requests[k] = expect_piece(f, k * PIECE);
        }
        for (unsigned k = 0; k < 4; k++) {
            answer_piece(f, requests[orders[i][k]], f->content, k % 2 ? "\"new\":1," : "");
        }
        expect_file(f);
        assert_int_equal(teardown(&inner), 0);
    }
}

/* A large artifact keeps a window of requests in flight, no more. */
static void test_window(void **state)
{
    Fixture *f = *state;
    Json *requests[8];

    assert_int_equal(slipway_json_set_int(f->artifact, "/size", 100 * PIECE), 0);
    begin(f);
    for (unsigned k = 0; k < 8; k++) {
        requests[k] = fake_agent_expect(&f->pair->agent, f->pair->client, "artifacts/read");
    }
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
    answer_piece(f, requests[0], f->content, "");
    requests[0] = fake_agent_expect(&f->pair->agent, f->pair->client, "artifacts/read");
    assert_int_equal(json_as_int(json_pointer(requests[0], "/params/offset"), -1), 8 * PIECE);
    for (unsigned k = 0; k < 8; k++) {
        (void)json_unref(requests[k]);
    }
}

static void test_empty(void **state)
{
    Fixture *f = *state;
    char sha256[DIGEST_HEX_SIZE];

    assert_int_equal(digest_bytes("", 0, sha256), 0);
    assert_int_equal(slipway_json_set_int(f->artifact, "/size", 0), 0);
    assert_int_equal(slipway_json_set_string(f->artifact, "/sha256", sha256), 0);
    begin(f);
    assert_int_equal(f->outcome.n, 1);
    assert_int_equal(f->outcome.code, 0);
    scratch_expect_text(f->scratch->fd, "file", "");
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
}

/* What is there from another time is not fetched again. */
static void test_resume(void **state)
{
    Fixture *f = *state;

    scratch_write(f->scratch->fd, "file.part", f->content, 2 * PIECE, 0600);
    begin(f);
    answer_piece(f, expect_piece(f, 2 * PIECE), f->content, "");
    answer_piece(f, expect_piece(f, 3 * PIECE), f->content, "");
    expect_file(f);
}

static void test_resume_whole(void **state)
{
    Fixture *f = *state;

    scratch_write(f->scratch->fd, "file.part", f->content, SIZE, 0600);
    f->outcome.progress = f->outcome.total = SIZE; /* nothing is left to be told */
    begin(f);
    expect_file(f);
}

/* If it was of something else, that shows at the end, and all of it is fetched. */
static void test_resume_wrong(void **state)
{
    static const int64_t sizes[] = {PIECE, SIZE, SIZE + 1};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        void *inner = NULL;
        _cleanup_free_ char *wrong = calloc(1, SIZE + 1);
        Fixture *f;

        assert_int_equal(setup(&inner), 0);
        f = inner;
        scratch_write(f->scratch->fd, "file.part", wrong, (size_t)sizes[i], 0600);
        begin(f);
        for (int64_t offset = sizes[i] < SIZE ? sizes[i] : SIZE; offset < SIZE; offset += PIECE) {
            answer_piece(f, expect_piece(f, offset), f->content, "");
        }
        f->outcome.progress = 0;
        for (int64_t offset = 0; offset < SIZE; offset += PIECE) {
            answer_piece(f, expect_piece(f, offset), f->content, "");
        }
        expect_file(f);
        assert_int_equal(teardown(&inner), 0);
    }
}

static void test_wrong_content(void **state)
{
    Fixture *f = *state;
    _cleanup_free_ char *wrong = calloc(1, SIZE);

    begin(f);
    for (int64_t offset = 0; offset < SIZE; offset += PIECE) {
        answer_piece(f, expect_piece(f, offset), wrong, "");
    }
    expect_failure(f, SLIPWAY_ERROR_LOCAL, "what came is not what was announced (SHA-256 ");
    assert_false(file_exists(f->scratch->fd, "file.part"));
}

static void test_wrong_pieces(void **state)
{
    static const char *const answers[] = {
        "{\"offset\":1,\"base64\":\"eA==\",\"isLast\":false}",
        "{\"offset\":0,\"base64\":\"eA==\",\"isLast\":false}",
        "{\"offset\":0,\"base64\":\"\",\"isLast\":true}",
        "{\"offset\":0,\"base64\":\"eA==\",\"isLast\":true,\"new\":1}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        void *inner = NULL;
        Json *request;
        Fixture *f;

        assert_int_equal(setup(&inner), 0);
        f = inner;
        begin(f);
        request = expect_piece(f, 0);
        fake_agent_answer(&f->pair->agent, request, "%s", answers[i]);
        (void)json_unref(request);
        assert_int_equal(fake_agent_settle(&f->pair->agent, f->pair->client), 0);
        expect_failure(f, SLIPWAY_ERROR_INTERNAL, "were asked for");
        assert_int_equal(teardown(&inner), 0);
    }
}

static void test_no_piece(void **state)
{
    Fixture *f = *state;
    _cleanup_json_ Json *request = NULL;

    begin(f);
    request = expect_piece(f, 0);
    fake_agent_answer(&f->pair->agent, request, "{\"offset\":0,\"base64\":\"?\",\"isLast\":false}");
    assert_int_equal(fake_agent_settle(&f->pair->agent, f->pair->client), -ENOTCONN);
    expect_failure(f, SLIPWAY_ERROR_DISCONNECTED, "");
}

static void test_refused(void **state)
{
    Fixture *f = *state;
    _cleanup_json_ Json *request = NULL;

    begin(f);
    request = expect_piece(f, 0);
    fake_agent_refuse(&f->pair->agent, request, SLIPWAY_ERROR_NOT_FOUND, "no such artifact");
    assert_int_equal(fake_agent_settle(&f->pair->agent, f->pair->client), 0);
    expect_failure(f, SLIPWAY_ERROR_NOT_FOUND, "fetching 'c1/app'");
    /* The others are on their way still; their answers change nothing. */
    for (int64_t offset = PIECE; offset < SIZE; offset += PIECE) {
        answer_piece(f, expect_piece(f, offset), f->content, "");
    }
    assert_int_equal(f->outcome.n, 1);
}

/* What is there stays, to be gone on with. */
static void test_hang_up(void **state)
{
    Fixture *f = *state;
    struct stat st;

    begin(f);
    answer_piece(f, expect_piece(f, 0), f->content, "");
    fake_agent_hang_up(&f->pair->agent);
    assert_int_equal(slipway_client_process(f->pair->client), -ENOTCONN);
    expect_failure(f, SLIPWAY_ERROR_DISCONNECTED, "fetching");
    assert_int_equal(fstatat(f->scratch->fd, "file.part", &st, 0), 0);
    assert_int_equal(st.st_size, PIECE);
}

static void test_bad_requests(void **state)
{
    Fixture *f = *state;
    SlipwayClient *client = f->pair->client;

    assert_int_equal(
        slipway_artifact_download(client, f->artifact, "/nowhere/file", NULL, NULL, NULL), -ENOENT);
    assert_non_null(strstr(slipway_client_get_error(client), "'/nowhere/file.part'"));
    assert_int_equal(mkfifoat(f->scratch->fd, "file.part", 0600), 0);
    assert_int_equal(slipway_artifact_download(client, f->artifact, f->path, NULL, NULL, NULL),
                     -EINVAL);
    assert_int_equal(unlinkat(f->scratch->fd, "file.part", 0), 0);
    assert_int_equal(symlinkat("elsewhere", f->scratch->fd, "file.part"), 0);
    assert_int_equal(slipway_artifact_download(client, f->artifact, f->path, NULL, NULL, NULL),
                     -ELOOP);
    assert_false(file_exists(f->scratch->fd, "elsewhere"));

    assert_int_equal(slipway_artifact_download(client, NULL, f->path, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(slipway_json_set_int(f->artifact, "/size", -1), 0);
    assert_int_equal(slipway_artifact_download(client, f->artifact, f->path, NULL, NULL, NULL),
                     -EINVAL);
    assert_int_equal(slipway_json_set_int(f->artifact, "/size", 1), 0);
    assert_int_equal(slipway_json_set_string(f->artifact, "/sha256", "short"), 0);
    assert_int_equal(slipway_artifact_download(client, f->artifact, f->path, NULL, NULL, NULL),
                     -EINVAL);
    assert_non_null(strstr(slipway_client_get_error(client), "describes no artifact"));
    fake_agent_expect_silence(&f->pair->agent, client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        download_test(test_in_order),        cmocka_unit_test(test_any_order),
        download_test(test_window),          download_test(test_empty),
        download_test(test_resume),          download_test(test_resume_whole),
        cmocka_unit_test(test_resume_wrong), download_test(test_wrong_content),
        cmocka_unit_test(test_wrong_pieces), download_test(test_no_piece),
        download_test(test_refused),         download_test(test_hang_up),
        download_test(test_bad_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
