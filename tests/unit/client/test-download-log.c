/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/chain.h"
#include "tests/unit/client/download-fixture.h"

#include <errno.h>

/* A log of this many records, as the writer makes it; the caller frees it. */
static char *make_log(Fixture *f, const char *name, unsigned n_records, const char *word, size_t *n)
{
    _cleanup_json_ Json *members = json_new_object();
    Chain *chain = NULL;

    assert_int_equal(json_set_string(members, "event", word), 0);
    assert_int_equal(chain_open(f->scratch->fd, name, &chain, NULL), 0);
    for (unsigned i = 0; i < n_records; i++) {
        assert_int_equal(chain_append(chain, members, NULL), 0);
    }
    (void)chain_free(chain);
    return scratch_read(f->scratch->fd, name, n);
}

static void begin_log(Fixture *f)
{
    assert_int_equal(
        slipway_audit_download(f->pair->client, f->path, on_progress, on_done, &f->outcome), 0);
}

static void answer_log(Fixture *f, const char *log, int64_t offset, int64_t n, int64_t size,
                       const char *more)
{
    _cleanup_json_ Json *request =
        fake_agent_expect(&f->pair->agent, f->pair->client, "audit/read");
    _cleanup_buffer_ Buffer base64 = {0};

    assert_int_equal(json_as_int(json_pointer(request, "/params/offset"), -1), offset);
    assert_int_equal(json_as_int(json_pointer(request, "/params/length"), -1), n);
    assert_null(json_pointer(request, "/params/artifact"));
    n = MIN(n, size - offset);
    assert_int_equal(text_append_base64(&base64, log + offset, (size_t)n), 0);
    fake_agent_answer(&f->pair->agent, request,
                      "{\"offset\":%lld,\"base64\":\"%s\",\"isLast\":%s,\"size\":%lld%s}",
                      (long long)offset, buffer_text(&base64),
                      offset + n == size ? "true" : "false", (long long)size, more);
    assert_int_equal(fake_agent_settle(&f->pair->agent, f->pair->client), 0);
}

static void expect_log(Fixture *f, const char *log, size_t n)
{
    _cleanup_free_ char *got = NULL;
    size_t got_n;

    assert_string_equal(f->outcome.text, "");
    assert_int_equal(f->outcome.n, 1);
    got = scratch_read(f->scratch->fd, "file", &got_n);
    assert_int_equal(got_n, n);
    assert_memory_equal(got, log, n);
    assert_false(file_exists(f->scratch->fd, "file.part"));
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
}

static void test_log(void **state)
{
    Fixture *f = *state;
    size_t n;
    _cleanup_free_ char *log = make_log(f, "log", 3, "x", &n);

    begin_log(f);
    answer_log(f, log, 0, 1, (int64_t)n, "");
    answer_log(f, log, 0, (int64_t)n, (int64_t)n, "");
    expect_log(f, log, n);
    assert_int_equal(f->outcome.progress, n);
}

static void test_log_empty(void **state)
{
    Fixture *f = *state;

    begin_log(f);
    answer_log(f, "", 0, 1, 0, "");
    expect_log(f, "", 0);
}

/* What is written meanwhile is left for the next time. */
static void test_log_that_grows(void **state)
{
    Fixture *f = *state;
    size_t n, whole;
    _cleanup_free_ char *before = make_log(f, "log", 2, "x", &n);
    _cleanup_free_ char *log = make_log(f, "log", 2, "x", &whole);

    begin_log(f);
    answer_log(f, log, 0, 1, (int64_t)n, "");
    {
        _cleanup_json_ Json *request =
            fake_agent_expect(&f->pair->agent, f->pair->client, "audit/read");
        _cleanup_buffer_ Buffer base64 = {0};

        assert_int_equal(text_append_base64(&base64, log, n), 0);
        fake_agent_answer(&f->pair->agent, request,
                          "{\"offset\":0,\"base64\":\"%s\",\"isLast\":false,\"size\":%zu}",
                          buffer_text(&base64), whole);
        assert_int_equal(fake_agent_settle(&f->pair->agent, f->pair->client), 0);
    }
    expect_log(f, before, n);

    f->outcome = (Outcome){0};
    begin_log(f);
    answer_log(f, log, 0, 1, (int64_t)whole, "");
    answer_log(f, log, 0, (int64_t)whole, (int64_t)whole, "");
    expect_log(f, log, whole);
}

/* Of a long copy only the last piece is fetched again, and compared. */
static void test_log_goes_on_with_a_copy(void **state)
{
    Fixture *f = *state;
    size_t n, whole;
    _cleanup_free_ char *word = calloc(1, 50001);
    char *before, *log;

    memset(word, 'w', 50000);
    before = make_log(f, "log", 7, word, &n);
    log = make_log(f, "log", 1, "y", &whole);
    assert_true((int64_t)n > PIECE && (int64_t)whole < 2 * PIECE);
    for (int torn = 0; torn < 2; torn++) { /* a raw copy may end in the middle of a record */
        scratch_write(f->scratch->fd, "file", before, n, 0600);
        if (torn) {
            scratch_write(f->scratch->fd, "file", log, n + 20, 0600);
        }
        f->outcome = (Outcome){0};
        begin_log(f);
        answer_log(f, log, 0, 1, (int64_t)whole, "");
        answer_log(f, log, (int64_t)n - PIECE, PIECE, (int64_t)whole, "");
        answer_log(f, log, (int64_t)n, (int64_t)(whole - n), (int64_t)whole, "");
        expect_log(f, log, whole);
    }
    free(before);
    free(log);
}

static void expect_log_refused(Fixture *f, int code, const char *words, bool is_kept)
{
    assert_int_equal(f->outcome.n, 1);
    if (!strstr(f->outcome.text, words)) {
        fail_msg("'%s' is not in: %s", words, f->outcome.text);
    }
    assert_int_equal(f->outcome.code, code);
    assert_int_equal(file_exists(f->scratch->fd, "file.part"), is_kept);
}

static void test_log_of_another_copy(void **state)
{
    Fixture *f = *state;
    size_t n, m;
    _cleanup_free_ char *log = make_log(f, "log", 3, "x", &n);
    _cleanup_free_ char *other = make_log(f, "other", 3, "y", &m);

    scratch_write(f->scratch->fd, "file", other, m, 0600);
    begin_log(f);
    answer_log(f, log, 0, 1, (int64_t)n, "");
    answer_log(f, log, 0, (int64_t)n, (int64_t)n, "");
    expect_log_refused(f, SLIPWAY_ERROR_CONFLICT, "no beginning of the agent's log", false);
    scratch_expect_text(f->scratch->fd, "file", other);
}

static void test_log_shorter_than_the_copy(void **state)
{
    Fixture *f = *state;
    size_t n, m;
    _cleanup_free_ char *log = make_log(f, "log", 2, "x", &n);
    _cleanup_free_ char *copy = make_log(f, "log", 1, "x", &m);

    scratch_write(f->scratch->fd, "file", copy, m, 0600);
    begin_log(f);
    answer_log(f, log, 0, 1, (int64_t)n, "");
    expect_log_refused(f, SLIPWAY_ERROR_CONFLICT, "taken away from its end", false);
    scratch_expect_text(f->scratch->fd, "file", copy);
}

static void test_log_that_was_changed(void **state)
{
    static const char head[] = ",\"head\":{\"seq\":3,\"sha256\":\"01234567890123456789012345678901"
                               "23456789012345678901234567890123\"}";
    static const struct {
        const char *more;
        bool is_edited;
        const char *words;
    } rows[] = {
        {"", true, "record 1 was changed"},
        {head, false, "record 3 is missing"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        void *inner = NULL;
        _cleanup_free_ char *log = NULL;
        Fixture *f;
        size_t n;

        assert_int_equal(setup(&inner), 0);
        f = inner;
        log = make_log(f, "log", 2, "x", &n);
        if (rows[i].is_edited) {
            *strstr(log, "x\"") = 'y';
        }
        begin_log(f);
        answer_log(f, log, 0, 1, (int64_t)n, rows[i].more);
        answer_log(f, log, 0, (int64_t)n, (int64_t)n, "");
        expect_log_refused(f, SLIPWAY_ERROR_CONFLICT, rows[i].words, true);
        assert_false(file_exists(f->scratch->fd, "file"));
        assert_int_equal(teardown(&inner), 0);
    }
}

/* What is at the end is being written: it is no record yet. */
static void test_log_with_a_torn_end(void **state)
{
    Fixture *f = *state;
    size_t n;
    _cleanup_free_ char *log = make_log(f, "log", 2, "x", &n);
    _cleanup_free_ char *torn = NULL;
    int m = asprintf(&torn, "%s{\"seq\":3", log);

    begin_log(f);
    answer_log(f, torn, 0, 1, m, "");
    answer_log(f, torn, 0, m, m, "");
    expect_log(f, log, n);
}

static void test_log_refused(void **state)
{
    Fixture *f = *state;
    _cleanup_json_ Json *request = NULL;
    int r;

    begin_log(f);
    request = fake_agent_expect(&f->pair->agent, f->pair->client, "audit/read");
    fake_agent_refuse(&f->pair->agent, request, SLIPWAY_ERROR_METHOD_NOT_FOUND, "no such method");
    assert_int_equal(fake_agent_settle(&f->pair->agent, f->pair->client), 0);
    expect_log_refused(f, SLIPWAY_ERROR_METHOD_NOT_FOUND, "fetching the audit log into", false);

    memset(f->content, 'x', 100000); /* no line feed near its end */
    scratch_write(f->scratch->fd, "file", f->content, 100000, 0600);
    r = slipway_audit_download(f->pair->client, f->path, NULL, NULL, NULL);
    assert_int_equal(r, -EBADMSG);
    assert_non_null(strstr(slipway_client_get_error(f->pair->client), "is no audit log"));
    assert_int_equal(slipway_audit_download(f->pair->client, "/nowhere/file", NULL, NULL, NULL),
                     -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        download_test(test_log),
        download_test(test_log_empty),
        download_test(test_log_that_grows),
        download_test(test_log_goes_on_with_a_copy),
        download_test(test_log_of_another_copy),
        download_test(test_log_shorter_than_the_copy),
        cmocka_unit_test(test_log_that_was_changed),
        download_test(test_log_with_a_torn_end),
        download_test(test_log_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
