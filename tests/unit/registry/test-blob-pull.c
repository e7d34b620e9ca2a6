/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/blob-pull.h"

#include "tests/unit/registry/sample.h"

#include <errno.h>

#define BYTES "0123456789abcdefghij"

static int pull(SampleHost *s, int layout_fd)
{
    Descriptor blob = sample_descriptor("t", BYTES, strlen(BYTES));

    error_done(&s->err);
    return blob_pull(s->host, "a/b", &blob, layout_fd, &s->err);
}

static void start(SampleHost *s, void **state)
{
    (void)fake_registry_add_blob(&s->fake, "a/b", BYTES, strlen(BYTES));
    sample_start(s);
    assert_int_equal(layout_init(SCRATCH_FD, &s->err), 0);
}

static void forget(void **state)
{
    assert_int_equal(file_remove_tree(SCRATCH_FD, "blobs", NULL), 0);
}

static void expect_there(void **state)
{
    Descriptor blob = sample_descriptor("t", BYTES, strlen(BYTES));
    _cleanup_error_ Error err = {0};

    expect_result(layout_open_blob(SCRATCH_FD, &blob, NULL, &err), 1, &err);
    assert_int_equal(scratch_count(SCRATCH_FD, "blobs/sha256"), 1);
}

static void it_is_brought_once(void **state)
{
    _cleanup_sample_ SampleHost s = {0};

    start(&s, state);
    for (int i = 0; i < 2; i++) {
        expect_result(pull(&s, SCRATCH_FD), 0, &s.err);
        expect_there(state);
    }
    assert_int_equal(fake_registry_count(&s.fake, "GET"), 1);
}

static void what_breaks_is_mended(void **state)
{
    static const struct {
        FakeRule rules[2];
        unsigned gets;
    } cases[] = {
        {{{FAULT_CUT_ANSWER, "GET", "/", .times = 1}}, 2},
        {{{FAULT_CUT_ANSWER, "GET", "/", .times = 4}}, 5}, /* each time something comes */
        {{{FAULT_CUT_ANSWER, "GET", "/", .times = 1}, {FAULT_NO_RANGE, "GET", "/", .times = 1}}, 2},
        {{{FAULT_CUT_ANSWER, "GET", "/", .times = 1}, {FAULT_STATUS, "GET", "/", .status = 416}},
         3},
        {{{FAULT_STATUS, "GET", "/", .times = 2, .status = 503}}, 3},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_sample_ SampleHost s = {0};

        memcpy(s.fake.rules, cases[i].rules, sizeof(cases[i].rules));
        start(&s, state);
        expect_result(pull(&s, SCRATCH_FD), 0, &s.err);
        expect_there(state);
        assert_int_equal(fake_registry_count(&s.fake, "GET"), cases[i].gets);
        forget(state);
    }
}

/* What an earlier process left: the beginning, nonsense, too much, all of it. */
static void what_was_left_is_used_if_it_is_right(void **state)
{
    static const struct {
        const char *left;
        unsigned gets;
    } cases[] = {{"0123456789", 1}, {"x123456789", 2}, {BYTES "too much", 1}, {BYTES, 0}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Descriptor blob = sample_descriptor("t", BYTES, strlen(BYTES));
        _cleanup_sample_ SampleHost s = {0};
        char path[128];

        start(&s, state);
        (void)snprintf(path, sizeof(path), "blobs/sha256/%s.part", blob.digest + 7);
        scratch_write_text(SCRATCH_FD, path, cases[i].left);
        expect_result(pull(&s, SCRATCH_FD), 0, &s.err);
        expect_there(state);
        assert_int_equal(fake_registry_count(&s.fake, "GET"), cases[i].gets);
        forget(state);
    }
}

static void what_stays_wrong_is_said(void **state)
{
    static const struct {
        FakeRule rule;
        int result;
        const char *said;
        size_t left; /* files */
    } cases[] = {
        {{FAULT_WRONG_BYTES, "GET", "/", .times = 9}, -EBADMSG, "gave sha256:", 0},
        {{FAULT_MORE_BYTES, "GET", "/", .times = 9}, -EBADMSG, "gives more than its 20", 0},
        {{FAULT_STATUS, "GET", "/", .times = 9, .status = 404}, -ENOENT, "does not have", 1},
        {{FAULT_STATUS, "GET", "/", .times = 9, .status = 200, .text = "<html>"},
         -EBADMSG,
         NULL,
         0},
        {{FAULT_STATUS, "GET", "/", .times = 9, .status = 200, .text = ""},
         -EIO,
         "only 0 of 20",
         1},
        {{FAULT_STATUS, "GET", "/", .times = 9, .status = 403}, -EACCES, "pull", 1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_sample_ SampleHost s = {.fake.rules = {cases[i].rule}};
        int r;

        start(&s, state);
        r = pull(&s, SCRATCH_FD);
        assert_true(r < 0);
        assert_true(r == cases[i].result || !cases[i].said);
        if (cases[i].said) {
            expect_says(&s.err, cases[i].said);
            assert_int_equal(scratch_count(SCRATCH_FD, "blobs/sha256"), cases[i].left);
        }
        forget(state);
    }
}

static void into_memory(void **state)
{
    Descriptor blob = sample_descriptor("t", BYTES, strlen(BYTES)),
               none = sample_descriptor("t", "none", 4);
    _cleanup_sample_ SampleHost s = {.fake.rules = {{FAULT_WRONG_BYTES, "GET", "/", .skip = 1}}};
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0), small = BUFFER_INIT(4);

    start(&s, state);
    expect_result(blob_pull_text(s.host, "a/b", &blob, &text, &s.err), 0, &s.err);
    assert_string_equal(buffer_text(&text), BYTES);
    expect_result(blob_pull_text(s.host, "a/b", &blob, &text, &s.err), -EBADMSG, &s.err);
    expect_result(blob_pull_text(s.host, "a/b", &none, &text, &s.err), -ENOENT, &s.err);
    expect_result(blob_pull_text(s.host, "a/b", &blob, &small, &s.err), -ENOBUFS, &s.err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(it_is_brought_once),
        scratch_test(what_breaks_is_mended),
        scratch_test(what_was_left_is_used_if_it_is_right),
        scratch_test(what_stays_wrong_is_said),
        scratch_test(into_memory),
    };

    return cmocka_run_group_tests_name("blob-pull", tests, NULL, NULL);
}
