/* SPDX-License-Identifier: MIT */
#include "agent/shim/journal.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/shim/call-dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const JournalEnd end_ok = {
    .status = "succeeded",
    .reason = "",
    .user_us = 1,
    .system_us = 2,
    .max_rss_bytes = 3,
};

static Journal opened(void)
{
    Journal journal = JOURNAL_INIT;

    assert_int_equal(journal_open(&journal, call_dir_fd, NULL), 0);
    return journal;
}

static void assert_file(const char *name, const char *wanted)
{
    char *text = call_dir_fix_times(call_dir_read(name));

    assert_string_equal(text, wanted);
    free(text);
}

static void test_records_as_the_contract_has_them(void **state)
{
    _cleanup_(journal_done) Journal journal = opened();
    static const char line[] = "{\"type\":\"output\",\"a\":\"\xff\"}";
    JournalEnd end = {
        .status = "failed",
        .exit_code = 1,
        .reason = "it said \"no\"",
        .survivors = 4,
        .leftovers = 5,
        .user_us = 6,
        .system_us = 7,
        .max_rss_bytes = 8,
    };

    assert_int_equal(journal_started(&journal, 4711), 0);
    journal_log(&journal, "stdout", "hello world\n", 12);
    journal_report(&journal, line, strlen(line));
    journal_log(&journal, "stderr", "x", 1);
    assert_int_equal(journal_finished(&journal, &end, NULL), 0);
    assert_int_equal(journal.seq, 5);
    assert_file("output.log", "hello world\nx");
    assert_file("journal.ndjson",
                "{\"seq\":1,\"time\":T,\"type\":\"started\",\"pid\":4711}\n"
                "{\"seq\":2,\"time\":T,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":0,"
                "\"length\":12}\n"
                "{\"seq\":3,\"time\":T,\"type\":\"report\",\"line\":"
                "\"{\\\"type\\\":\\\"output\\\",\\\"a\\\":\\\"\xef\xbf\xbd\\\"}\"}\n"
                "{\"seq\":4,\"time\":T,\"type\":\"log\",\"stream\":\"stderr\",\"offset\":12,"
                "\"length\":1}\n"
                "{\"seq\":5,\"time\":T,\"type\":\"finished\",\"status\":\"failed\",\"exitCode\":1,"
                "\"signal\":0,\"reason\":\"it said \\\"no\\\"\",\"survivors\":4,\"leftovers\":5,"
                "\"userUs\":6,\"systemUs\":7,\"maxRssBytes\":8,\"logBytes\":13}\n");
}

static void test_the_status_is_the_last_record(void **state)
{
    _cleanup_(journal_done) Journal journal = opened();
    char *records, *status;

    assert_int_equal(faccessat(call_dir_fd, "status.json.tmp", F_OK, 0), 0);
    assert_int_equal(journal_started(&journal, 1), 0);
    assert_int_equal(journal_finished(&journal, &end_ok, NULL), 0);
    records = call_dir_read("journal.ndjson");
    status = call_dir_read("status.json");
    assert_string_equal(strchr(records, '\n') + 1, status);
    assert_int_not_equal(faccessat(call_dir_fd, "status.json.tmp", F_OK, 0), 0);
    free(records);
    free(status);
}

static void test_a_long_chunk_is_several_records(void **state)
{
    _cleanup_(journal_done) Journal journal = opened();
    size_t n = 2 * JOURNAL_LOG_MAX;
    char *data = malloc(n);

    memset(data, 'x', n);
    memcpy(data + JOURNAL_LOG_MAX - 1, "\xc3\xa9", 2); /* one character across the border */
    journal_log(&journal, "stdout", data, n);
    assert_int_equal(journal.error, 0);
    assert_file("journal.ndjson",
                "{\"seq\":1,\"time\":T,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":0,"
                "\"length\":65535}\n"
                "{\"seq\":2,\"time\":T,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":65535,"
                "\"length\":65536}\n"
                "{\"seq\":3,\"time\":T,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":131071,"
                "\"length\":1}\n");
    free(data);
}

static void test_a_torn_record_is_dropped(void **state)
{
    call_dir_write("journal.ndjson", "{\"seq\":1,\"time\":17");
    call_dir_write("output.log", "of another life");
    {
        _cleanup_(journal_done) Journal journal = opened();

        assert_int_equal(journal_started(&journal, 1), 0);
    }
    assert_file("journal.ndjson", "{\"seq\":1,\"time\":T,\"type\":\"started\",\"pid\":1}\n");
    assert_file("output.log", "");
}

static void test_a_call_that_has_run_is_left_alone(void **state)
{
    _cleanup_(journal_done) Journal journal = JOURNAL_INIT;
    _cleanup_error_ Error err = {0};

    call_dir_write("journal.ndjson", "{\"seq\":1}\n{\"se");
    call_dir_write("output.log", "kept");
    assert_int_equal(journal_open(&journal, call_dir_fd, &err), -EEXIST);
    assert_non_null(strstr(error_text(&err), "has run already"));
    assert_file("journal.ndjson", "{\"seq\":1}\n{\"se");
    assert_file("output.log", "kept");
}

/* A limit on the size of files stands for a full disk. */
static void set_limit(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int reset_and_remove(void **state)
{
    set_limit(RLIM_INFINITY);
    return call_dir_remove(state);
}

static void test_half_a_chunk_is_taken_back(void **state)
{
    _cleanup_(journal_done) Journal journal = opened();
    char *data = malloc(10000);

    memset(data, 'x', 10000);
    assert_int_equal(journal_started(&journal, 1), 0);
    journal_log(&journal, "stdout", data, 3000);
    set_limit(8192);
    journal_log(&journal, "stdout", data, 10000);
    assert_int_equal(journal.error, -EFBIG);
    assert_string_equal(journal.failed_write, "output.log");
    journal_log(&journal, "stdout", "small", 5); /* not after a gap */
    journal_report(&journal, "{}", 2);
    assert_int_equal(journal_finished(&journal, &end_ok, NULL), 0);
    assert_int_equal(journal.log_bytes, 3000);
    free(data);
    data = call_dir_read("output.log");
    assert_int_equal(strlen(data), 3000);
    free(data);
    assert_file("journal.ndjson",
                "{\"seq\":1,\"time\":T,\"type\":\"started\",\"pid\":1}\n"
                "{\"seq\":2,\"time\":T,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":0,"
                "\"length\":3000}\n"
                "{\"seq\":3,\"time\":T,\"type\":\"finished\",\"status\":\"succeeded\",\"exitCode\":"
                "0,\"signal\":0,\"reason\":\"\",\"survivors\":0,\"leftovers\":0,\"userUs\":1,"
                "\"systemUs\":2,\"maxRssBytes\":3,\"logBytes\":3000}\n");
}

static void test_a_chunk_without_its_record_is_taken_back(void **state)
{
    _cleanup_(journal_done) Journal journal = opened();
    struct stat st;

    assert_int_equal(journal_started(&journal, 1), 0);
    set_limit((rlim_t)journal.bytes + 10);
    journal_log(&journal, "stdout", "hello", 5);
    assert_int_equal(journal.error, -EFBIG);
    assert_string_equal(journal.failed_write, "journal.ndjson");
    assert_int_equal(fstatat(call_dir_fd, "output.log", &st, 0), 0);
    assert_int_equal(st.st_size, 0);
    assert_file("journal.ndjson", "{\"seq\":1,\"time\":T,\"type\":\"started\",\"pid\":1}\n");
}

static void test_an_end_that_cannot_be_written(void **state)
{
    _cleanup_(journal_done) Journal journal = opened();
    _cleanup_error_ Error err = {0};

    set_limit(10);
    assert_int_equal(journal_started(&journal, 1), -EFBIG);
    assert_int_equal(journal_finished(&journal, &end_ok, &err), -EFBIG);
    assert_non_null(strstr(error_text(&err), "journal.ndjson"));
    assert_int_not_equal(faccessat(call_dir_fd, "status.json", F_OK, 0), 0);
    assert_file("journal.ndjson", "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, call_dir_make, reset_and_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_records_as_the_contract_has_them),
        TEST(test_the_status_is_the_last_record),
        TEST(test_a_long_chunk_is_several_records),
        TEST(test_a_torn_record_is_dropped),
        TEST(test_a_call_that_has_run_is_left_alone),
        TEST(test_half_a_chunk_is_taken_back),
        TEST(test_a_chunk_without_its_record_is_taken_back),
        TEST(test_an_end_that_cannot_be_written),
    };

    (void)signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
