/* SPDX-License-Identifier: MIT */
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/evidence/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RECORDS 5
#define KILL_ROUNDS 8
#define KILL_SEED 20261125

static char directory[] = "/tmp/slipway-test-chain-XXXXXX";
static int dir_fd = -1;

static int set_up_group(void **state)
{
    assert_non_null(mkdtemp(directory));
    dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0;
}

static int tear_down_group(void **state)
{
    (void)fd_close(dir_fd);
    return file_remove_tree(AT_FDCWD, directory, NULL);
}

static void append(const char *what)
{
    _cleanup_(chain_freep) Chain *chain = NULL;
    _cleanup_json_ Json *members = json_new_object();

    assert_int_equal(json_set_string(members, "event", what), 0);
    assert_int_equal(chain_open(dir_fd, "log", &chain, NULL), 0);
    assert_int_equal(chain_append(chain, members, NULL), 0);
}

/* A log of five records. */
static int set_up(void **state)
{
    char text[16];

    (void)unlinkat(dir_fd, "log", 0);
    (void)unlinkat(dir_fd, "log.head", 0);
    for (int i = 1; i <= RECORDS; i++) {
        (void)snprintf(text, sizeof(text), "event %d", i);
        append(text);
    }
    return 0;
}

static void read_log(Buffer *text)
{
    assert_int_equal(file_read(dir_fd, "log", text, NULL), 0);
}

static void write_log(const char *text, size_t n)
{
    assert_int_equal(file_replace(dir_fd, "log", text, n, 0600, NULL), 0);
}

static int check(const ChainHead *expected, size_t n, ChainHead *ret, bool *torn, Error *err)
{
    _cleanup_fd_ int fd = openat(dir_fd, "log", O_RDONLY | O_CLOEXEC);

    return chain_check(fd, expected, n, NULL, NULL, ret, torn, err);
}

static void check_is_wrong(const char *hint)
{
    _cleanup_error_ Error err = {0};
    ChainHead said, head;

    assert_int_equal(chain_read_head(dir_fd, "log", &said, NULL), 0);
    assert_int_equal(check(&said, 1, &head, NULL, &err), -EBADMSG);
    if (!strstr(error_text(&err), hint)) {
        fail_msg("'%s' does not say '%s'", error_text(&err), hint);
    }
}

static void test_a_log_that_nobody_touched_is_right(void **state)
{
    ChainHead said, head;
    bool torn = true;

    assert_int_equal(chain_read_head(dir_fd, "log", &said, NULL), 0);
    assert_int_equal(said.seq, RECORDS);
    assert_int_equal(check(&said, 1, &head, &torn, NULL), 0);
    assert_int_equal(head.seq, RECORDS);
    assert_string_equal(head.sha256, said.sha256);
    assert_false(torn);
}

static char *line_of(Buffer *text, int number, size_t *ret_len)
{
    char *line = text->data;

    while (--number > 0) {
        line = strchr(line, '\n') + 1;
    }
    *ret_len = (size_t)(strchr(line, '\n') - line) + 1;
    return line;
}

static void test_a_removed_record_is_found(void **state)
{
    for (int i = 1; i <= RECORDS; i++) {
        _cleanup_buffer_ Buffer text = {0};
        char hint[32];
        char *line;
        size_t n;

        (void)set_up(NULL);
        read_log(&text);
        line = line_of(&text, i, &n);
        memmove(line, line + n, text.len - (size_t)(line - text.data) - n);
        write_log(text.data, text.len - n);
        (void)snprintf(hint, sizeof(hint), "record %d is missing", i);
        check_is_wrong(hint);
    }
}

/* Each byte of each record: whatever is changed is found, and the record is named. */
static void test_an_edited_byte_is_found(void **state)
{
    _cleanup_buffer_ Buffer text = {0};

    read_log(&text);
    for (size_t i = 0; i < text.len; i++) {
        text.data[i] ^= 1;
        write_log(text.data, text.len);
        check_is_wrong("record");
        text.data[i] ^= 1;
    }
}

static void test_reordered_records_are_found(void **state)
{
    _cleanup_buffer_ Buffer text = {0}, changed = {0};
    char *second, *third;
    size_t n2, n3;

    read_log(&text);
    second = line_of(&text, 2, &n2);
    third = line_of(&text, 3, &n3);
    assert_int_equal(buffer_append(&changed, text.data, (size_t)(second - text.data)), 0);
    assert_int_equal(buffer_append(&changed, third, n3), 0);
    assert_int_equal(buffer_append(&changed, second, n2), 0);
    assert_int_equal(buffer_append_text(&changed, third + n3), 0);
    write_log(changed.data, changed.len);
    check_is_wrong("record 2 is missing: record 3 stands in its place");
}

static void test_a_cut_off_end_is_found(void **state)
{
    _cleanup_(chain_freep) Chain *chain = NULL;
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_error_ Error err = {0};
    char *line;
    size_t n;

    read_log(&text);
    line = line_of(&text, 4, &n);
    write_log(text.data, (size_t)(line - text.data));
    check_is_wrong("records 4 to 5 are missing");
    assert_int_equal(chain_open(dir_fd, "log", &chain, &err), -EBADMSG);
    assert_non_null(strstr(error_text(&err), "ends with record 3"));
}

/* The power went while a record was written: at any of its bytes. */
static void test_a_torn_end_is_mended_and_no_whole_record_lost(void **state)
{
    _cleanup_buffer_ Buffer text = {0}, head = {0};
    size_t n;
    char *last;

    read_log(&text);
    last = line_of(&text, RECORDS, &n);
    for (size_t cut = 0; cut <= n; cut++) {
        ChainHead found;
        bool torn, is_kept = cut + 1 >= n;

        (void)set_up(NULL);
        (void)unlinkat(dir_fd, "log.head", 0); /* it is written after the record */
        buffer_clear(&text);
        read_log(&text);
        last = line_of(&text, RECORDS, &n);
        write_log(text.data, (size_t)(last - text.data) + cut);
        assert_int_equal(check(NULL, 0, &found, &torn, NULL), 0);
        assert_int_equal(torn, cut > 0 && cut < n);
        append("after the crash");
        assert_int_equal(check(NULL, 0, &found, &torn, NULL), 0);
        assert_int_equal(found.seq, is_kept ? RECORDS + 1 : RECORDS);
        assert_false(torn);
    }
}

/* A child that appends until it is killed. It says a byte for each record that it was told is on
 * disk. */
static _noreturn_ void append_for_ever(int out_fd)
{
    for (;;) {
        append("by the child");
        if (write(out_fd, "x", 1) != 1) {
            _exit(1);
        }
    }
}

/* Reads until so many bytes came, or to the end; returns how many there were. */
static unsigned count_bytes(int fd, unsigned most)
{
    unsigned n = 0;
    char byte;

    while (n < most && read(fd, &byte, 1) == 1) {
        n++;
    }
    return n;
}

/* kill -9 at whatever moment: what was acknowledged is there, at most one more, and the next who
 * comes goes on. */
static void test_kill_9_while_appending_loses_nothing(void **state)
{
    uint64_t n_before = RECORDS;

    srand(KILL_SEED);
    for (unsigned round = 0; round < KILL_ROUNDS; round++) {
        unsigned n_said, delay_us = (unsigned)rand() % 2000;
        ChainHead found, head;
        int pipe_fds[2], status;
        pid_t pid;

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            append_for_ever(pipe_fds[1]);
        }
        (void)close(pipe_fds[1]);
        n_said = count_bytes(pipe_fds[0], 1 + (unsigned)rand() % 4);
        (void)usleep(delay_us); /* no wait for anything: where in the next record it is killed */
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        n_said += count_bytes(pipe_fds[0], UINT_MAX);
        (void)close(pipe_fds[0]);
        append("after the kill");
        assert_int_equal(chain_read_head(dir_fd, "log", &head, NULL), 0);
        assert_int_equal(check(&head, 1, &found, NULL, NULL), 0);
        assert_in_range(found.seq, n_before + n_said + 1, n_before + n_said + 2);
        n_before = found.seq;
    }
}

static void test_a_record_may_not_be_longer_than_the_limit(void **state)
{
    _cleanup_(chain_freep) Chain *chain = NULL;
    _cleanup_json_ Json *members = json_new_object();
    _cleanup_buffer_ Buffer text = {0};
    ChainHead head;

    assert_int_equal(buffer_reserve(&text, CHAIN_RECORD_MAX), 0);
    memset(text.data, 'x', CHAIN_RECORD_MAX);
    text.data[CHAIN_RECORD_MAX] = '\0';
    assert_int_equal(json_set_string(members, "event", text.data), 0);
    assert_int_equal(chain_open(dir_fd, "log", &chain, NULL), 0);
    assert_int_equal(chain_append(chain, members, NULL), -EMSGSIZE);
    assert_int_equal(chain_head(chain)->seq, RECORDS);
    assert_int_equal(check(NULL, 0, &head, NULL, NULL), 0);
    assert_int_equal(head.seq, RECORDS);
}

static void test_the_members_of_the_chain_are_not_given(void **state)
{
    static const char *const own[] = {"seq", "time", "previous"};
    _cleanup_(chain_freep) Chain *chain = NULL;

    assert_int_equal(chain_open(dir_fd, "log", &chain, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        _cleanup_json_ Json *members = json_new_object();

        assert_int_equal(json_set_string(members, own[i], "x"), 0);
        assert_int_equal(chain_append(chain, members, NULL), -EINVAL);
    }
    assert_int_equal(chain_head(chain)->seq, RECORDS);
}

static int count(const Json *record, const ChainHead *head, void *userdata)
{
    assert_int_equal(json_get_int(record, "seq", 0), head->seq);
    return ++*(int *)userdata == 3 ? 7 : 0;
}

static void test_a_visitor_may_end_the_walk(void **state)
{
    _cleanup_fd_ int fd = openat(dir_fd, "log", O_RDONLY | O_CLOEXEC);
    ChainHead head;
    int n = 0;

    assert_int_equal(chain_check(fd, NULL, 0, count, &n, &head, NULL, NULL), 7);
    assert_int_equal(n, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_log_that_nobody_touched_is_right, set_up),
        cmocka_unit_test_setup(test_a_removed_record_is_found, set_up),
        cmocka_unit_test_setup(test_an_edited_byte_is_found, set_up),
        cmocka_unit_test_setup(test_reordered_records_are_found, set_up),
        cmocka_unit_test_setup(test_a_cut_off_end_is_found, set_up),
        cmocka_unit_test_setup(test_a_torn_end_is_mended_and_no_whole_record_lost, set_up),
        cmocka_unit_test_setup(test_kill_9_while_appending_loses_nothing, set_up),
        cmocka_unit_test_setup(test_a_record_may_not_be_longer_than_the_limit, set_up),
        cmocka_unit_test_setup(test_the_members_of_the_chain_are_not_given, set_up),
        cmocka_unit_test_setup(test_a_visitor_may_end_the_walk, set_up),
    };

    return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
