/* SPDX-License-Identifier: MIT */
#include "plugin/client/client.h"

#include "protocol/artifact/digest.h"
#include "protocol/base/text.h"
#include "tests/unit/client/fake-agent.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define PIECE ((int64_t)262144)
#define SIZE (3 * PIECE + 1000)

typedef struct Outcome {
    unsigned n;
    int code;
    char text[512];
    uint64_t progress, total;
} Outcome;

typedef struct Fixture {
    FakePair *pair;
    Scratch *scratch;
    char *content;
    char path[128];
    char sha256[DIGEST_HEX_SIZE];
    Outcome outcome;
} Fixture;

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));
    void *inner = NULL;

    assert_int_equal(fake_pair_setup(&inner), 0);
    f->pair = inner;
    assert_int_equal(scratch_setup(&inner), 0);
    f->scratch = inner;
    (void)snprintf(f->path, sizeof(f->path), "%s/source", f->scratch->path);
    f->content = malloc(SIZE);
    for (int64_t i = 0; i < SIZE; i++) {
        f->content[i] = (char)(i * i >> 8);
    }
    assert_int_equal(digest_bytes(f->content, SIZE, f->sha256), 0);
    scratch_write(f->scratch->fd, "source", f->content, SIZE, 0600);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    void *inner = f->pair;

    assert_int_equal(fake_pair_teardown(&inner), 0);
    inner = f->scratch;
    assert_int_equal(scratch_teardown(&inner), 0);
    free(f->content);
    free(f);
    return 0;
}
#define upload_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void on_progress(uint64_t done, uint64_t total, void *userdata)
{
    Outcome *outcome = userdata;

    assert_true(done >= outcome->progress);
    outcome->progress = done;
    outcome->total = total;
}

static void on_done(SlipwayClient *client, const SlipwayError *error, void *userdata)
{
    Outcome *outcome = userdata;

    outcome->n++;
    outcome->code = error ? error->code : 0;
    (void)snprintf(outcome->text, sizeof(outcome->text), "%s", error ? error->message : "");
}

static void begin(Fixture *f)
{
    assert_int_equal(
        slipway_input_upload(f->pair->client, "in", f->path, on_progress, on_done, &f->outcome), 0);
}

/* The next request: the piece at `offset`, with the digest if it is the last. */
static Json *expect_piece(Fixture *f, int64_t offset)
{
    Json *request = fake_agent_expect(&f->pair->agent, f->pair->client, "inputs/write");
    const Json *params = json_pointer(request, "/params");
    const Json *base64 = json_get(params, "base64");
    bool is_last = offset + PIECE >= SIZE;
    _cleanup_buffer_ Buffer data = {0};

    assert_string_equal(json_get_string(params, "input"), "in");
    assert_int_equal(json_get_int(params, "offset", -1), offset);
    assert_int_equal(text_decode_base64(&data, json_as_string(base64), json_as_string_len(base64)),
                     0);
    assert_int_equal(data.len, MIN(PIECE, SIZE - offset));
    assert_memory_equal(data.data, f->content + offset, data.len);
    assert_int_equal(json_get_bool(params, "isLast", false), is_last);
    if (is_last) {
        assert_string_equal(json_get_string(params, "sha256"), f->sha256);
    } else {
        assert_false(json_has(params, "sha256"));
    }
    return request;
}

static void answer(Fixture *f, Json *request, int64_t size, bool is_complete)
{
    fake_agent_answer(&f->pair->agent, request,
                      "{\"input\":\"in\",\"size\":%lld,\"isComplete\":%s}", (long long)size,
                      is_complete ? "true" : "false");
    (void)json_unref(request);
    assert_int_equal(fake_agent_settle(&f->pair->agent, f->pair->client), 0);
}

static void expect_success(Fixture *f)
{
    assert_string_equal(f->outcome.text, "");
    assert_int_equal(f->outcome.n, 1);
    assert_int_equal(f->outcome.code, 0);
    assert_int_equal(f->outcome.progress, SIZE);
    assert_int_equal(f->outcome.total, SIZE);
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
}

static void expect_failure(Fixture *f, int code, const char *words)
{
    assert_int_equal(f->outcome.n, 1);
    assert_int_equal(f->outcome.code, code);
    if (!strstr(f->outcome.text, words)) {
        fail_msg("'%s' is not in: %s", words, f->outcome.text);
    }
}

/* The first piece alone, then all the others at once. */
static void test_fresh(void **state)
{
    Fixture *f = *state;
    Json *requests[3];

    begin(f);
    requests[0] = expect_piece(f, 0);
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
    answer(f, requests[0], PIECE, false);
    for (int i = 0; i < 3; i++) {
        requests[i] = expect_piece(f, (i + 1) * PIECE);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(f->outcome.n, 0);
        answer(f, requests[i], MIN((i + 2) * PIECE, SIZE), i == 2);
    }
    expect_success(f);
}

/* The agent has some of it from another time, at no particular place. */
static void test_resume(void **state)
{
    Fixture *f = *state;
    Json *request;
    const Json *params;

    begin(f);
    answer(f, expect_piece(f, 0), 2 * PIECE + 500, false);
    assert_int_equal(f->outcome.progress, 2 * PIECE + 500);
    request = fake_agent_expect(&f->pair->agent, f->pair->client, "inputs/write");
    params = json_pointer(request, "/params");
    assert_int_equal(json_get_int(params, "offset", -1), 2 * PIECE + 500);
    answer(f, request, 3 * PIECE + 500, false);
    request = fake_agent_expect(&f->pair->agent, f->pair->client, "inputs/write");
    params = json_pointer(request, "/params");
    assert_int_equal(json_get_int(params, "offset", -1), 3 * PIECE + 500);
    assert_true(json_get_bool(params, "isLast", false));
    assert_string_equal(json_get_string(params, "sha256"), f->sha256);
    answer(f, request, SIZE, true);
    expect_success(f);
}

/* It has all of it, and knows so: there is nothing more to send. */
static void test_complete_already(void **state)
{
    Fixture *f = *state;

    begin(f);
    answer(f, expect_piece(f, 0), SIZE, true);
    expect_success(f);
}

/* It has all the bytes, but the last piece, which ends it, was lost: that one goes again. */
static void test_last_piece_again(void **state)
{
    Fixture *f = *state;

    begin(f);
    answer(f, expect_piece(f, 0), SIZE, false);
    answer(f, expect_piece(f, 3 * PIECE), SIZE, true);
    expect_success(f);
}

static void test_one_piece(void **state)
{
    Fixture *f = *state;
    Json *request;
    const Json *params;

    scratch_write_text(f->scratch->fd, "source", "small");
    begin(f);
    request = fake_agent_expect(&f->pair->agent, f->pair->client, "inputs/write");
    params = json_pointer(request, "/params");
    assert_string_equal(json_get_string(params, "base64"), "c21hbGw=");
    assert_true(json_get_bool(params, "isLast", false));
    answer(f, request, 5, true);
    assert_int_equal(f->outcome.n, 1);
    assert_int_equal(f->outcome.code, 0);
}

static void test_other_input(void **state)
{
    Fixture *f = *state;

    begin(f);
    answer(f, expect_piece(f, 0), SIZE + 1, false);
    expect_failure(f, SLIPWAY_ERROR_CONFLICT, "another input of this name");
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
}

static void test_never_complete(void **state)
{
    Fixture *f = *state;
    Json *requests[3];

    begin(f);
    answer(f, expect_piece(f, 0), PIECE, false);
    for (int i = 0; i < 3; i++) {
        requests[i] = expect_piece(f, (i + 1) * PIECE);
    }
    for (int i = 0; i < 3; i++) {
        answer(f, requests[i], MIN((i + 2) * PIECE, SIZE), false);
    }
    expect_failure(f, SLIPWAY_ERROR_INTERNAL, "does not call it complete");
}

static void test_refused(void **state)
{
    Fixture *f = *state;
    Json *request;

    begin(f);
    answer(f, expect_piece(f, 0), PIECE, false);
    request = expect_piece(f, PIECE);
    fake_agent_refuse(&f->pair->agent, request, SLIPWAY_ERROR_STORAGE, "the disk is full");
    (void)json_unref(request);
    assert_int_equal(fake_agent_settle(&f->pair->agent, f->pair->client), 0);
    expect_failure(f, SLIPWAY_ERROR_STORAGE, "as input 'in': the disk is full");
    /* Two are on their way still; nobody is told of them. */
    answer(f, expect_piece(f, 2 * PIECE), SIZE, false);
    answer(f, expect_piece(f, 3 * PIECE), SIZE, true);
    assert_int_equal(f->outcome.n, 1);
}

static void test_hang_up(void **state)
{
    Fixture *f = *state;

    begin(f);
    fake_agent_hang_up(&f->pair->agent);
    assert_int_equal(slipway_client_process(f->pair->client), -ENOTCONN);
    expect_failure(f, SLIPWAY_ERROR_DISCONNECTED, "sending '");
}

static void test_became_shorter(void **state)
{
    Fixture *f = *state;

    begin(f);
    assert_int_equal(truncate(f->path, PIECE + 5), 0);
    answer(f, expect_piece(f, 0), PIECE, false);
    expect_failure(f, SLIPWAY_ERROR_LOCAL, "became shorter");
}

static int upload(Fixture *f, const char *input, const char *path)
{
    return slipway_input_upload(f->pair->client, input, path, NULL, NULL, NULL);
}

static void test_bad_requests(void **state)
{
    Fixture *f = *state;

    assert_int_equal(upload(f, "../in", f->path), -EINVAL);
    assert_non_null(strstr(slipway_client_get_error(f->pair->client), "no name for an input"));
    assert_int_equal(upload(f, "in", "/nowhere/x"), -ENOENT);
    assert_int_equal(upload(f, "in", f->scratch->path), -EINVAL);
    scratch_write_text(f->scratch->fd, "source", "");
    assert_int_equal(upload(f, "in", f->path), -EINVAL);
    assert_non_null(strstr(slipway_client_get_error(f->pair->client), "it is empty"));
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        upload_test(test_fresh),
        upload_test(test_resume),
        upload_test(test_complete_already),
        upload_test(test_last_piece_again),
        upload_test(test_one_piece),
        upload_test(test_other_input),
        upload_test(test_never_complete),
        upload_test(test_refused),
        upload_test(test_hang_up),
        upload_test(test_became_shorter),
        upload_test(test_bad_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
