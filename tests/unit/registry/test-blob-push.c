/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/blob-push.h"

#include "tests/unit/registry/sample.h"

#include <errno.h>

#define BYTES "0123456789abcdefghij"

static int push(SampleHost *s, const char *const *mount_from)
{
    const HttpContent content = {.data = BYTES, .size_bytes = strlen(BYTES)};
    const BlobPush blob = {.repository = "a/b",
                           .blob = sample_descriptor("t", BYTES, strlen(BYTES)),
                           .content = &content,
                           .mount_from = mount_from};

    error_done(&s->err);
    return blob_push(s->host, &blob, &s->err);
}

/* It is there now, so that another push sends nothing. */
static void expect_there(SampleHost *s)
{
    unsigned before = fake_registry_count(&s->fake, "POST");

    expect_result(push(s, NULL), 0, &s->err);
    assert_int_equal(fake_registry_count(&s->fake, "POST"), before);
}

static void whole_and_in_pieces(void **state)
{
    static const struct {
        int64_t chunk_bytes;
        unsigned patches;
        const char *header;
    } cases[] = {
        {0, 0, NULL},
        {7, 3, NULL},
        {10, 2, NULL},
        {20, 1, NULL},
        {100, 1, NULL},
        {1, 20, NULL},
        {7, 2, "OCI-Chunk-Min-Length: 12"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_sample_ SampleHost s = {.options = SAMPLE_OPTIONS};

        s.options.chunk_bytes = cases[i].chunk_bytes;
        if (cases[i].header) {
            s.fake.rules[0] = (FakeRule){FAULT_NO_RANGE, "POST", "/", .header = cases[i].header};
        }
        sample_start(&s);
        expect_result(push(&s, NULL), 0, &s.err);
        assert_int_equal(fake_registry_count(&s.fake, "PATCH"), cases[i].patches);
        assert_int_equal(fake_registry_count(&s.fake, "PUT"), 1);
        expect_there(&s);
    }
}

static void another_repository_has_it(void **state)
{
    static const char *const from[] = {"a/b", "not/here", "other/one", NULL};

    for (int may_mount = 0; may_mount <= 1; may_mount++) {
        _cleanup_sample_ SampleHost s = {.fake.may_mount = may_mount};

        (void)fake_registry_add_blob(&s.fake, "other/one", BYTES, strlen(BYTES));
        sample_start(&s);
        expect_result(push(&s, from), 0, &s.err);
        /* 202 means: go on with this one; and the one before is given back. */
        assert_int_equal(fake_registry_count(&s.fake, "POST"), 2);
        assert_int_equal(fake_registry_count(&s.fake, "DELETE"), 1);
        assert_int_equal(fake_registry_count(&s.fake, "PUT"), !may_mount);
        expect_there(&s);
    }
}

/* Wherever it breaks, it goes on or begins again, and in the end the registry has the right bytes.
 */
static void what_breaks_is_mended(void **state)
{
    static const FakeRule rules[] = {
        {FAULT_STATUS, "POST", "uploads", .times = 2, .status = 503},
        {FAULT_CUT_ANSWER, "POST", "uploads", .times = 1},
        {FAULT_CUT_REQUEST, "PUT", "uploads", .times = 1},
        {FAULT_CUT_REQUEST, "PUT", "uploads", .times = 2},
        {FAULT_CUT_REQUEST, "PATCH", "uploads", .times = 1},
        {FAULT_CUT_REQUEST, "PATCH", "uploads", .skip = 1},
        {FAULT_STATUS, "PUT", "uploads", .status = 500},
        {FAULT_STATUS, "PATCH", "uploads", .status = 429, .header = "Retry-After: 0"},
        {FAULT_STATUS, "PUT", "uploads", .status = 400,
         .text = "{\"errors\":[{\"code\":\"DIGEST_INVALID\"}]}"},
        {FAULT_STATUS, "PATCH", "uploads", .status = 416},
        {FAULT_STATUS, "PATCH", "uploads", .status = 404},
        {FAULT_STATUS, "GET", "uploads", .status = 404},
        {FAULT_STATUS, "HEAD", "blobs", .status = 502},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        for (int mode = 0; mode < 4; mode++) {
            _cleanup_sample_ SampleHost s = {.options = SAMPLE_OPTIONS};

            s.options.attempts = 5;
            s.options.chunk_bytes = mode & 1 ? 8 : 0;
            s.fake.is_forgetful = mode & 2;
            s.fake.rules[0] = rules[i];
            s.fake.rules[1] = (FakeRule){FAULT_CUT_REQUEST, "PUT", "uploads", .skip = 1};
            sample_start(&s);
            expect_result(push(&s, NULL), 0, &s.err);
            expect_there(&s);
        }
    }
}

static void a_broken_upload_goes_on_where_it_was(void **state)
{
    _cleanup_sample_ SampleHost s = {
        .fake.rules = {{FAULT_CUT_REQUEST, "PUT", "uploads", .times = 1}}};

    sample_start(&s);
    expect_result(push(&s, NULL), 0, &s.err);
    assert_int_equal(fake_registry_count(&s.fake, "POST"), 1);
    assert_int_equal(fake_registry_count(&s.fake, "GET"), 1);
    assert_int_equal(fake_registry_count(&s.fake, "PATCH"), 1);
    assert_int_equal(fake_registry_count(&s.fake, "PUT"), 2);
}

static void what_stays_broken_is_said(void **state)
{
    static const struct {
        FakeRule rule;
        int result;
        const char *said;
    } cases[] = {
        {{FAULT_STATUS, "PUT", "uploads", .times = 99, .status = 400,
          .text = "{\"errors\":[{\"code\":\"DIGEST_INVALID\"}]}"},
         -EIO,
         "DIGEST_INVALID"},
        {{FAULT_CUT_REQUEST, "PUT", "uploads", .times = 99}, -EIO, "tried 3 times"},
        {{FAULT_STATUS, "PUT", "uploads", .times = 99, .status = 413, .text = "<html>"},
         -EIO,
         "smaller pieces"},
        {{FAULT_STATUS, "POST", "uploads", .times = 99, .status = 202}, -EBADMSG, "no Location"},
        {{FAULT_STATUS, "POST", "uploads", .times = 99, .status = 202,
          .header = "Location: gopher://x/"},
         -EBADMSG,
         "Location"},
        {{FAULT_STATUS, "POST", "uploads", .times = 99, .status = 403}, -EACCES, "push"},
        {{FAULT_STATUS, "POST", "uploads", .times = 99, .status = 405,
          .text = "{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"read only\"}]}"},
         -EIO,
         "read only"},
        {{FAULT_LIE, "PUT", "uploads", .times = 1}, -EBADMSG, "understood"},
        {{FAULT_STATUS, "HEAD", "blobs", .status = 200, .text = "other size"},
         -EBADMSG,
         "storage is damaged"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_sample_ SampleHost s = {.fake.rules = {cases[i].rule}};
        int r;

        sample_start(&s);
        r = push(&s, NULL);
        assert_true(r < 0);
        expect_says(&s.err, cases[i].said);
        assert_true(r == cases[i].result || (r == -EINVAL && cases[i].result == -EBADMSG));
    }
}

static void nobody_has_it(void **state)
{
    static const char *const from[] = {"other", NULL};
    const BlobPush blob = {
        .repository = "a", .blob = sample_descriptor("t", "x", 1), .mount_from = from};
    _cleanup_sample_ SampleHost s = {0};

    sample_start(&s);
    expect_result(blob_push(s.host, &blob, &s.err), -ENOENT, &s.err);
    expect_says(&s.err, blob.blob.digest);
    assert_int_equal(fake_registry_count(&s.fake, "DELETE"), 1);
}

static void ranges(void **state)
{
    static const struct {
        const char *text;
        int64_t received;
    } cases[] = {
        {"0-499", 500},
        {"bytes=0-499", 500},
        {"0-0", 0},
        {"0-1", 2},
        {"1-499", -1},
        {"0-", -1},
        {"0--1", -1},
        {"", -1},
        {"0-9223372036854775807", -1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t received = -1;

        assert_int_equal(blob_push_parse_range(cases[i].text, &received),
                         cases[i].received < 0 ? -EINVAL : 0);
        assert_int_equal(received, cases[i].received);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_and_in_pieces),
        cmocka_unit_test(another_repository_has_it),
        cmocka_unit_test(what_breaks_is_mended),
        cmocka_unit_test(a_broken_upload_goes_on_where_it_was),
        cmocka_unit_test(what_stays_broken_is_said),
        cmocka_unit_test(nobody_has_it),
        cmocka_unit_test(ranges),
    };

    return cmocka_run_group_tests_name("blob-push", tests, NULL, NULL);
}
