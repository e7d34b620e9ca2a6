/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/journal.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define STARTED "{\"seq\":1,\"time\":10,\"type\":\"started\",\"pid\":7}\n"
#define LOG_2 \
    "{\"seq\":2,\"time\":11,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":0,\"length\":5}\n"
#define LOG_3 \
    "{\"seq\":3,\"time\":12,\"type\":\"log\",\"stream\":\"stderr\",\"offset\":5,\"length\":9}\n"
#define REPORT_4 "{\"seq\":4,\"time\":13,\"type\":\"report\",\"line\":\"{}\"}\n"
#define FINISHED_5 "{\"seq\":5,\"time\":14,\"type\":\"finished\",\"status\":\"succeeded\"}\n"

static int next(Journal *journal, JournalRecord *record)
{
    _cleanup_error_ Error err = {0};
    int r = journal_next(journal, record, &err);

    if (r < 0 && r != -EBADMSG) {
        fail_msg("%s", error_text(&err));
    }
    return r;
}

static void open_journal(int fd, Journal *journal)
{
    _cleanup_error_ Error err = {0};

    assert_int_equal(journal_open(journal, fd, &err), 0);
}

static void reads_every_kind(void **state)
{
    _cleanup_journal_ Journal journal = JOURNAL_EMPTY;
    JournalRecord record;

    scratch_write_text(SCRATCH_FD, "journal.ndjson", STARTED LOG_2 LOG_3 REPORT_4 FINISHED_5);
    open_journal(SCRATCH_FD, &journal);
    assert_int_equal(next(&journal, &record), 1);
    assert_int_equal(record.type, JOURNAL_STARTED);
    assert_int_equal(record.time_us, 10);
    assert_int_equal(json_get_int(record.json, "pid", 0), 7);
    assert_int_equal(next(&journal, &record), 1);
    assert_int_equal(record.type, JOURNAL_LOG);
    assert_string_equal(record.stream, "stdout");
    assert_null(record.json);
    assert_int_equal(next(&journal, &record), 1);
    assert_string_equal(record.stream, "stderr");
    assert_int_equal(record.offset, 5);
    assert_int_equal(record.length, 9);
    assert_int_equal(next(&journal, &record), 1);
    assert_int_equal(record.type, JOURNAL_REPORT);
    assert_string_equal(json_get_string(record.json, "line"), "{}");
    assert_int_equal(next(&journal, &record), 1);
    assert_int_equal(record.type, JOURNAL_FINISHED);
    assert_int_equal(record.seq, 5);
    assert_int_equal(next(&journal, &record), 0);
    assert_null(journal.buffer.data); /* one that has caught up holds no memory */
}

/* The other order of members is the other parser's business, with the same result. */
static void reads_log_records_of_any_form(void **state)
{
    static const char *const same[] = {
        "{\"seq\":2,\"time\":11,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":3,\"length\":5}",
        "{\"type\":\"log\",\"seq\":2,\"time\":11,\"stream\":\"stdout\",\"offset\":3,\"length\":5}",
        "{\"seq\": 2, \"time\": 11, \"type\": \"log\", \"stream\": \"stdout\", \"offset\": 3, "
        "\"length\": 5}",
        "{\"seq\":2,\"time\":11,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":3,\"length\":5,"
        "\"more\":1}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        JournalRecord record;
        Json *json;

        assert_int_equal(journal_parse(same[i], strlen(same[i]), &record, &json, NULL), 0);
        assert_null(json);
        assert_int_equal(record.type, JOURNAL_LOG);
        assert_int_equal(record.seq, 2);
        assert_int_equal(record.time_us, 11);
        assert_string_equal(record.stream, "stdout");
        assert_int_equal(record.offset, 3);
        assert_int_equal(record.length, 5);
    }
}

static void refuses_what_is_no_record(void **state)
{
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"seq\":1,\"time\":1}",
        "{\"seq\":1,\"time\":1,\"type\":\"other\"}",
        "{\"seq\":0,\"time\":1,\"type\":\"started\"}",
        "{\"seq\":-1,\"time\":1,\"type\":\"started\"}",
        "{\"seq\":0,\"time\":11,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":3,\"length\":5}",
        "{\"seq\":1,\"time\":11,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":-3,\"length\":5}",
        "{\"seq\":1,\"time\":11,\"type\":\"log\",\"offset\":3,\"length\":5}",
        "{\"seq\":1,\"time\":11,\"type\":\"log\",\"stream\":\"stdout\",\"offset\":3,"
        "\"length\":99999999999999999999}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        _cleanup_error_ Error err = {0};
        JournalRecord record;
        Json *json;

        assert_int_equal(journal_parse(wrong[i], strlen(wrong[i]), &record, &json, &err), -EBADMSG);
        assert_non_null(err.text);
    }
}

/* Half a record is not there yet; the rest makes it whole. */
static void waits_for_the_rest_of_a_record(void **state)
{
    _cleanup_journal_ Journal journal = JOURNAL_EMPTY;
    JournalRecord record;
    int fd;

    scratch_write_text(SCRATCH_FD, "journal.ndjson", STARTED "{\"seq\":2,\"time\":1");
    open_journal(SCRATCH_FD, &journal);
    assert_int_equal(next(&journal, &record), 1);
    assert_int_equal(next(&journal, &record), 0);
    assert_int_equal(next(&journal, &record), 0);
    fd = openat(SCRATCH_FD, "journal.ndjson", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(fd_write_all(fd, LOG_2 + strlen("{\"seq\":2,\"time\":1"),
                                  strlen(LOG_2) - strlen("{\"seq\":2,\"time\":1")),
                     0);
    (void)fd_close(fd);
    assert_int_equal(next(&journal, &record), 1);
    assert_int_equal(record.seq, 2);
}

static void tells_a_gap(void **state)
{
    _cleanup_journal_ Journal journal = JOURNAL_EMPTY;
    JournalRecord record;

    scratch_write_text(SCRATCH_FD, "journal.ndjson", STARTED LOG_3);
    open_journal(SCRATCH_FD, &journal);
    assert_int_equal(next(&journal, &record), 1);
    assert_int_equal(next(&journal, &record), -EBADMSG);
}

static void tells_a_line_without_end(void **state)
{
    _cleanup_journal_ Journal journal = JOURNAL_EMPTY;
    _cleanup_free_ char *text = calloc(1, JOURNAL_LINE_MAX + 10);
    JournalRecord record;

    memset(text, 'x', JOURNAL_LINE_MAX + 1);
    scratch_write(SCRATCH_FD, "journal.ndjson", text, JOURNAL_LINE_MAX + 1, 0600);
    open_journal(SCRATCH_FD, &journal);
    assert_int_equal(next(&journal, &record), -EBADMSG);
}

/* ---- finding a place --------------------------------------------------------------------------
 */

#define MANY 3000

static void write_many(int fd)
{
    _cleanup_buffer_ Buffer text = {0};

    for (unsigned seq = 1; seq <= MANY; seq++) {
        /* now and then a record that is longer than a step of the search */
        if (seq % 500 == 0) {
            assert_int_equal(buffer_append_format(&text,
                                                  "{\"seq\":%u,\"time\":1,\"type\":\"report\","
                                                  "\"line\":\"%09000d\"}\n",
                                                  seq, 0),
                             0);
        } else {
            assert_int_equal(buffer_append_format(&text,
                                                  "{\"seq\":%u,\"time\":1,\"type\":\"log\","
                                                  "\"stream\":\"stdout\",\"offset\":%u,"
                                                  "\"length\":1}\n",
                                                  seq, seq),
                             0);
        }
    }
    scratch_write(fd, "journal.ndjson", text.data, text.len, 0600);
}

static void seeks_to_any_place(void **state)
{
    write_many(SCRATCH_FD);
    for (uint64_t after = 0; after <= MANY + 1; after++) {
        _cleanup_journal_ Journal journal = JOURNAL_EMPTY;
        JournalRecord record;

        open_journal(SCRATCH_FD, &journal);
        assert_int_equal(journal_seek(&journal, after, NULL), 0);
        if (after >= MANY) {
            assert_int_equal(next(&journal, &record), 0);
        } else {
            assert_int_equal(next(&journal, &record), 1);
            assert_int_equal(record.seq, after + 1);
        }
    }
}

/* What is far before the place is not read: here it is no journal at all. */
static void seeks_without_reading_all(void **state)
{
    _cleanup_journal_ Journal journal = JOURNAL_EMPTY;
    JournalRecord record;
    int fd;

    write_many(SCRATCH_FD);
    fd = openat(SCRATCH_FD, "journal.ndjson", O_WRONLY | O_CLOEXEC);
    assert_int_equal(fd_write_all(fd, "broken", 6), 0);
    (void)fd_close(fd);
    open_journal(SCRATCH_FD, &journal);
    assert_int_equal(journal_seek(&journal, MANY - 3, NULL), 0);
    assert_int_equal(next(&journal, &record), 1);
    assert_int_equal(record.seq, MANY - 2);
    assert_int_equal(journal_seek(&journal, 0, NULL), 0);
    assert_int_equal(next(&journal, &record), -EBADMSG);
}

/* ---- writing the end --------------------------------------------------------------------------
 */

static void finish(int fd)
{
    const JournalEnd end = {
        .status = "lost", .reason = "the \"power\"", .leftovers = 2, .log_bytes = 5};
    _cleanup_error_ Error err = {0};

    if (journal_finish(fd, &end, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void check_end(int fd, uint64_t seq)
{
    _cleanup_journal_ Journal journal = JOURNAL_EMPTY;
    _cleanup_free_ char *status = scratch_read(fd, "status.json", NULL);
    JournalRecord record;

    open_journal(fd, &journal);
    for (uint64_t i = 1; i < seq; i++) {
        assert_int_equal(next(&journal, &record), 1);
        assert_int_not_equal(record.type, JOURNAL_FINISHED);
    }
    assert_int_equal(next(&journal, &record), 1);
    assert_int_equal(record.type, JOURNAL_FINISHED);
    assert_int_equal(record.seq, seq);
    assert_string_equal(json_get_string(record.json, "status"), "lost");
    assert_string_equal(json_get_string(record.json, "reason"), "the \"power\"");
    assert_int_equal(json_get_int(record.json, "survivors", 0), -1);
    assert_int_equal(json_get_int(record.json, "leftovers", 0), 2);
    assert_int_equal(next(&journal, &record), 0);
    assert_non_null(strstr(status, "\"status\":\"lost\""));
}

static void ends_a_call_that_never_began(void **state)
{
    finish(SCRATCH_FD);
    check_end(SCRATCH_FD, 1);
}

static void ends_a_journal(void **state)
{
    scratch_write_text(SCRATCH_FD, "journal.ndjson", STARTED LOG_2);
    finish(SCRATCH_FD);
    check_end(SCRATCH_FD, 3);
}

static void drops_a_torn_line(void **state)
{
    scratch_write_text(SCRATCH_FD, "journal.ndjson", STARTED LOG_2 "{\"seq\":3,\"tim");
    finish(SCRATCH_FD);
    check_end(SCRATCH_FD, 3);
}

/* A power cut may leave zeros where the file had grown already. */
static void drops_what_is_no_record(void **state)
{
    scratch_write(SCRATCH_FD, "journal.ndjson", STARTED LOG_2 "\0\0\0\0\n\0\0",
                  strlen(STARTED LOG_2) + 7, 0600);
    finish(SCRATCH_FD);
    check_end(SCRATCH_FD, 3);
}

/* Its writer died between the last record and status.json: that record is what happened. */
static void keeps_an_end_that_is_there(void **state)
{
    _cleanup_free_ char *journal = NULL, *status = NULL;

    scratch_write_text(SCRATCH_FD, "journal.ndjson", STARTED LOG_2 LOG_3 REPORT_4 FINISHED_5);
    finish(SCRATCH_FD);
    journal = scratch_read(SCRATCH_FD, "journal.ndjson", NULL);
    status = scratch_read(SCRATCH_FD, "status.json", NULL);
    assert_string_equal(journal, STARTED LOG_2 LOG_3 REPORT_4 FINISHED_5);
    assert_string_equal(status, FINISHED_5);
}

static void ends_a_long_journal(void **state)
{
    write_many(SCRATCH_FD);
    finish(SCRATCH_FD);
    check_end(SCRATCH_FD, MANY + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(reads_every_kind),
        cmocka_unit_test(reads_log_records_of_any_form),
        cmocka_unit_test(refuses_what_is_no_record),
        scratch_test(waits_for_the_rest_of_a_record),
        scratch_test(tells_a_gap),
        scratch_test(tells_a_line_without_end),
        scratch_test(seeks_to_any_place),
        scratch_test(seeks_without_reading_all),
        scratch_test(ends_a_call_that_never_began),
        scratch_test(ends_a_journal),
        scratch_test(drops_a_torn_line),
        scratch_test(drops_what_is_no_record),
        scratch_test(keeps_an_end_that_is_there),
        scratch_test(ends_a_long_journal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
