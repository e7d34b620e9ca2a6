/* SPDX-License-Identifier: MIT */
/* A client with a fake agent that has one artifact of three pieces and a bit. */
#pragma once

#include "plugin/client/client.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/text.h"
#include "tests/unit/client/fake-agent.h"
#include "tests/unit/scratch.h"

/* Three whole pieces and a bit. */
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
    SlipwayJson *artifact;
    Outcome outcome;
} Fixture;

_unused_ static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));
    char sha256[DIGEST_HEX_SIZE];
    void *inner = NULL;

    assert_int_equal(fake_pair_setup(&inner), 0);
    f->pair = inner;
    assert_int_equal(scratch_setup(&inner), 0);
    f->scratch = inner;
    (void)snprintf(f->path, sizeof(f->path), "%s/file", f->scratch->path);
    f->content = malloc(SIZE);
    for (int64_t i = 0; i < SIZE; i++) {
        f->content[i] = (char)(i * i >> 8);
    }
    assert_int_equal(digest_bytes(f->content, SIZE, sha256), 0);
    f->artifact = slipway_json_new_object();
    assert_int_equal(slipway_json_set_string(f->artifact, "/artifact", "c1/app"), 0);
    assert_int_equal(slipway_json_set_int(f->artifact, "/size", SIZE), 0);
    assert_int_equal(slipway_json_set_string(f->artifact, "/sha256", sha256), 0);
    *state = f;
    return 0;
}

_unused_ static int teardown(void **state)
{
    Fixture *f = *state;
    void *inner = f->pair;

    assert_int_equal(fake_pair_teardown(&inner), 0);
    inner = f->scratch;
    assert_int_equal(scratch_teardown(&inner), 0);
    (void)slipway_json_unref(f->artifact);
    free(f->content);
    free(f);
    return 0;
}
#define download_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

_unused_ static void on_progress(uint64_t done, uint64_t total, void *userdata)
{
    Outcome *outcome = userdata;

    assert_true(done >= outcome->progress || done == 0);
    outcome->progress = done;
    outcome->total = total;
}

_unused_ static void on_done(SlipwayClient *client, const SlipwayError *error, void *userdata)
{
    Outcome *outcome = userdata;

    outcome->n++;
    outcome->code = error ? error->code : 0;
    (void)snprintf(outcome->text, sizeof(outcome->text), "%s", error ? error->message : "");
}

_unused_ static void begin(Fixture *f)
{
    assert_int_equal(slipway_artifact_download(f->pair->client, f->artifact, f->path, on_progress,
                                               on_done, &f->outcome),
                     0);
}

/* The next request, which has to ask for this piece. */
_unused_ static Json *expect_piece(Fixture *f, int64_t offset)
{
    Json *request = fake_agent_expect(&f->pair->agent, f->pair->client, "artifacts/read");

    assert_string_equal(json_as_string(json_pointer(request, "/params/artifact")), "c1/app");
    assert_int_equal(json_as_int(json_pointer(request, "/params/offset"), -1), offset);
    assert_int_equal(json_as_int(json_pointer(request, "/params/length"), -1),
                     MIN(PIECE, SIZE - offset));
    return request;
}

_unused_ static void answer_piece(Fixture *f, Json *request, const char *from, const char *more)
{
    int64_t offset = json_as_int(json_pointer(request, "/params/offset"), -1);
    int64_t length = json_as_int(json_pointer(request, "/params/length"), -1);
    _cleanup_buffer_ Buffer base64 = {0};

    assert_int_equal(text_append_base64(&base64, from + offset, (size_t)length), 0);
    fake_agent_answer(&f->pair->agent, request,
                      "{\"offset\":%lld,\"base64\":\"%s\",%s\"isLast\":%s}", (long long)offset,
                      buffer_text(&base64), more, offset + length == SIZE ? "true" : "false");
    assert_int_equal(fake_agent_settle(&f->pair->agent, f->pair->client), 0);
    (void)json_unref(request);
}

_unused_ static void expect_file(Fixture *f)
{
    _cleanup_free_ char *got = NULL;
    size_t n;

    assert_int_equal(f->outcome.n, 1);
    assert_string_equal(f->outcome.text, "");
    assert_int_equal(f->outcome.code, 0);
    got = scratch_read(f->scratch->fd, "file", &n);
    assert_int_equal(n, SIZE);
    assert_memory_equal(got, f->content, SIZE);
    assert_false(file_exists(f->scratch->fd, "file.part"));
    assert_int_equal(f->outcome.progress, SIZE);
    assert_int_equal(f->outcome.total, SIZE);
}

_unused_ static void expect_failure(Fixture *f, int code, const char *words)
{
    assert_int_equal(f->outcome.n, 1);
    assert_int_equal(f->outcome.code, code);
    if (!strstr(f->outcome.text, words)) {
        fail_msg("'%s' is not in: %s", words, f->outcome.text);
    }
    assert_false(file_exists(f->scratch->fd, "file"));
}
