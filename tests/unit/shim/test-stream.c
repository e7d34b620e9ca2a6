/* SPDX-License-Identifier: MIT */
#include "agent/shim/stream.h"

#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/shim/call-dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A pipe whose other end is a stream, with a clock of our own. */
typedef struct Pipe {
    Journal journal;
    Mask mask;
    StreamShared shared;
    Stream stream;
    int write_fd;
    int64_t now;
} Pipe;

static void pipe_start(Pipe *p, const char *name)
{
    int fds[2];

    *p = (Pipe){.journal = JOURNAL_INIT};
    assert_int_equal(journal_open(&p->journal, call_dir_fd, NULL), 0);
    assert_int_equal(mask_add(&p->mask, "hunter2", 7), 0);
    assert_int_equal(stream_shared_init(&p->shared, &p->journal, &p->mask), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    (void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
    stream_init(&p->stream, fds[0], name);
    p->write_fd = fds[1];
}

static void pipe_end(Pipe *p)
{
    stream_done(&p->stream);
    stream_shared_done(&p->shared);
    mask_done(&p->mask);
    journal_done(&p->journal);
    (void)fd_close(p->write_fd);
}

static void pipe_say(Pipe *p, const char *text)
{
    assert_int_equal(fd_write_all(p->write_fd, text, strlen(text)), 0);
    while (stream_pump(&p->stream, &p->shared, p->now) > 0) {
    }
}

static void pipe_hang_up(Pipe *p)
{
    p->write_fd = fd_close(p->write_fd);
    while (!p->stream.has_ended) {
        (void)!stream_pump(&p->stream, &p->shared, p->now);
    }
}

static void assert_log(const char *wanted)
{
    char *log = call_dir_read("output.log");

    assert_string_equal(log, wanted);
    free(log);
}

static void test_what_is_whole_is_there_at_once(void **state)
{
    Pipe p;

    pipe_start(&p, "stdout");
    pipe_say(&p, "a prompt: ");
    assert_log("a prompt: ");
    assert_int_equal(p.stream.quiet_at, -1);
    pipe_say(&p, "hunter2, ");
    assert_log("a prompt: ****, ");
    pipe_hang_up(&p);
    assert_log("a prompt: ****, ");
    pipe_end(&p);
}

static void test_a_few_bytes_wait_until_it_is_quiet(void **state)
{
    Pipe p;

    pipe_start(&p, "stdout");
    p.now = 1000;
    pipe_say(&p, "tell hu");
    assert_log("tell ");
    assert_int_equal(p.stream.quiet_at, 1000 + STREAM_QUIET_MS);
    stream_show_held(&p.stream, &p.shared);
    assert_log("tell hu");
    assert_int_equal(p.stream.quiet_at, -1);
    pipe_say(&p, "nter2!");
    assert_log("tell hu****!");
    pipe_say(&p, "h");
    stream_show_held(&p.stream, &p.shared);
    pipe_say(&p, "u");
    stream_show_held(&p.stream, &p.shared);
    pipe_say(&p, "t");
    assert_log("tell hu****!hut");
    pipe_end(&p);
}

static void test_more_of_a_secret_waits_for_the_rest(void **state)
{
    Pipe p;

    pipe_start(&p, "stdout");
    pipe_say(&p, "hunter");
    assert_int_equal(p.stream.quiet_at, -1);
    assert_log("");
    pipe_say(&p, "2");
    assert_log("****");
    pipe_say(&p, "hunt");
    pipe_hang_up(&p); /* a beginning is no secret */
    assert_log("****hunt");
    pipe_end(&p);
}

static void test_a_character_in_two_pieces(void **state)
{
    Pipe p;
    char *records;

    pipe_start(&p, "stderr");
    pipe_say(&p, "x\xe2\x82");
    assert_log("x");
    pipe_say(&p, "\xacy");
    assert_log("x\xe2\x82\xacy");
    records = call_dir_read("journal.ndjson");
    assert_non_null(strstr(records, "\"stream\":\"stderr\",\"offset\":0,\"length\":1}"));
    assert_non_null(strstr(records, "\"stream\":\"stderr\",\"offset\":1,\"length\":4}"));
    free(records);
    pipe_say(&p, "\xe2"); /* and one that never becomes one */
    assert_int_not_equal(p.stream.quiet_at, -1);
    stream_show_held(&p.stream, &p.shared);
    assert_log("x\xe2\x82\xacy\xe2");
    pipe_hang_up(&p);
    assert_log("x\xe2\x82\xacy\xe2");
    pipe_end(&p);
}

static void test_reports_are_lines(void **state)
{
    Pipe p;
    char *records;

    pipe_start(&p, NULL);
    pipe_say(&p, "{\"a\":\"hun");
    assert_int_equal(p.stream.quiet_at, -1);
    pipe_say(&p, "ter2\"}\n\nsecond\nthi");
    pipe_say(&p, "rd");
    pipe_hang_up(&p);
    records = call_dir_fix_times(call_dir_read("journal.ndjson"));
    assert_string_equal(
        records,
        "{\"seq\":1,\"time\":T,\"type\":\"report\",\"line\":\"{\\\"a\\\":\\\"****\\\"}\"}\n"
        "{\"seq\":2,\"time\":T,\"type\":\"report\",\"line\":\"second\"}\n"
        "{\"seq\":3,\"time\":T,\"type\":\"report\",\"line\":\"third\"}\n");
    free(records);
    assert_log("");
    pipe_end(&p);
}

static void test_a_report_that_is_too_long(void **state)
{
    Pipe p;
    char *line = malloc(STREAM_REPORT_MAX + 2);

    memset(line, 'x', STREAM_REPORT_MAX + 1);
    line[STREAM_REPORT_MAX + 1] = '\0';
    pipe_start(&p, NULL);
    pipe_say(&p, line + 1); /* the longest that there may be */
    pipe_say(&p, "\n");
    assert_int_equal(p.journal.seq, 1);
    assert_log("");
    pipe_say(&p, line);
    pipe_say(&p, "x\nnext\n");
    assert_int_equal(p.journal.seq, 3);
    assert_log("slipway: dropped a report that is longer than 262144 bytes\n");
    pipe_end(&p);
    free(line);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, call_dir_make, call_dir_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_whole_is_there_at_once),
        TEST(test_a_few_bytes_wait_until_it_is_quiet),
        TEST(test_more_of_a_secret_waits_for_the_rest),
        TEST(test_a_character_in_two_pieces),
        TEST(test_reports_are_lines),
        TEST(test_a_report_that_is_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
