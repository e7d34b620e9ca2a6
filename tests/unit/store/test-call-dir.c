/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/call-dir.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/socket.h>

#define SPEC                                                                         \
    "{\"action\":\"build\",\"run\":\"r\",\"idempotencyKey\":\"k\",\"createdAt\":"    \
    "\"2026-01-01T00:00:01.500000Z\",\"timeoutSeconds\":1.5,\"graceSeconds\":0.001," \
    "\"terminal\":true,\"directories\":{\"workspace\":\"/w\"}}"

#define RECORD "{\"seq\":1,\"time\":1,\"type\":\"started\",\"pid\":1}\n"

static Json *parse(const char *text)
{
    Json *value = NULL;

    assert_int_equal(json_parse(text, strlen(text), &value, NULL), 0);
    return value;
}

static int open_call(int fd)
{
    int ret = -1;

    assert_int_equal(call_dir_open(fd, "c", &ret, NULL), 0);
    return ret;
}

static void makes_a_call(void **state)
{
    _cleanup_json_ Json *spec = parse(SPEC);
    _cleanup_call_spec_ CallSpec read = {0};
    _cleanup_fd_ int fd = -1;

    assert_int_equal(call_dir_create(SCRATCH_FD, "c", spec, NULL), 0);
    fd = open_call(SCRATCH_FD);
    assert_true(file_exists(fd, "artifacts"));
    assert_int_equal(call_dir_read_spec(fd, &read, NULL), 0);
    assert_string_equal(read.action, "build");
    assert_string_equal(read.run, "r");
    assert_string_equal(read.key, "k");
    assert_string_equal(read.workspace, "/w");
    assert_null(read.traceparent);
    assert_int_equal(read.created_us, 1767225601500000);
    assert_int_equal(read.timeout_ms, 1500);
    assert_int_equal(read.silence_timeout_ms, 0);
    assert_int_equal(read.grace_ms, 1);
    assert_true(read.is_terminal);
}

static void does_not_make_one_twice(void **state)
{
    _cleanup_json_ Json *spec = parse(SPEC);
    _cleanup_error_ Error err = {0};

    assert_int_equal(call_dir_create(SCRATCH_FD, "c", spec, NULL), 0);
    assert_int_equal(call_dir_create(SCRATCH_FD, "c", spec, &err), -EEXIST);
    assert_true(file_exists(SCRATCH_FD, "c/spec.json"));
}

static void tells_a_torn_spec(void **state)
{
    static const char *const torn[] = {
        "", "{\"action\":\"bu", "[]", "{}",
        "{\"action\":\"build\",\"idempotencyKey\":\"k\",\"createdAt\":\"yesterday\","
        "\"directories\":{\"workspace\":\"/w\"}}"};

    for (size_t i = 0; i < ARRAY_SIZE(torn); i++) {
        _cleanup_error_ Error err = {0};
        CallSpec spec;

        scratch_write_text(SCRATCH_FD, "spec.json", torn[i]);
        assert_int_equal(call_dir_read_spec(SCRATCH_FD, &spec, &err), -EBADMSG);
        assert_non_null(err.text);
    }
}

static CallDirState examine(int fd)
{
    _cleanup_fd_ int lock = -1;
    CallDirState state;

    assert_int_equal(call_dir_examine(fd, &state, &lock, NULL), 0);
    assert_true((lock >= 0) == (state == CALL_DIR_LOST || state == CALL_DIR_QUEUED));
    return state;
}

/* The table of agent/calls/README.md. */
static void knows_what_the_files_mean(void **state)
{
    _cleanup_fd_ int lock = -1;
    int second;

    assert_int_equal(examine(SCRATCH_FD), CALL_DIR_QUEUED);
    assert_int_equal(call_dir_lock(SCRATCH_FD, &lock, NULL), 0);
    assert_int_equal(examine(SCRATCH_FD), CALL_DIR_RUNNING);
    assert_int_equal(call_dir_lock(SCRATCH_FD, &second, NULL), -EWOULDBLOCK);
    lock = fd_close(lock);
    assert_int_equal(examine(SCRATCH_FD), CALL_DIR_QUEUED);
    scratch_write_text(SCRATCH_FD, "journal.ndjson", "");
    assert_int_equal(examine(SCRATCH_FD), CALL_DIR_QUEUED);
    scratch_write_text(SCRATCH_FD, "journal.ndjson", "{\"seq\":1,");
    assert_int_equal(examine(SCRATCH_FD), CALL_DIR_QUEUED);
    scratch_write_text(SCRATCH_FD, "journal.ndjson", RECORD);
    assert_int_equal(examine(SCRATCH_FD), CALL_DIR_LOST);
    scratch_write_text(SCRATCH_FD, "status.json", "{}");
    assert_int_equal(examine(SCRATCH_FD), CALL_DIR_FINISHED);
    assert_int_equal(call_dir_lock(SCRATCH_FD, &lock, NULL), 0);
    assert_int_equal(examine(SCRATCH_FD), CALL_DIR_FINISHED); /* a shim that is about to exit */
}

static void talks_over_the_control_socket(void **state)
{
    _cleanup_fd_ int listening = -1, ours = -1, theirs = -1;
    char text[8];

    assert_int_equal(call_dir_connect(SCRATCH_FD, &ours, NULL), -ENOENT);
    assert_int_equal(call_dir_listen(SCRATCH_FD, &listening, NULL), 0);
    assert_int_equal(call_dir_connect(SCRATCH_FD, &ours, NULL), 0);
    theirs = accept(listening, NULL, NULL);
    assert_true(theirs >= 0);
    assert_int_equal(send(ours, "cancel\n", 7, 0), 7);
    assert_int_equal(recv(theirs, text, sizeof(text), 0), 7);
    ours = fd_close(ours);
    listening = fd_close(listening);
    assert_int_equal(call_dir_connect(SCRATCH_FD, &ours, NULL), -ECONNREFUSED);
    assert_int_equal(call_dir_listen(SCRATCH_FD, &listening, NULL), 0); /* over the old one */
    call_dir_tidy(SCRATCH_FD);
    assert_false(file_exists(SCRATCH_FD, "control.sock"));
}

/* sun_path has 108 bytes; a state directory may be deeper. */
static void has_a_socket_below_a_long_path(void **state)
{
    _cleanup_fd_ int fd = -1, listening = -1, ours = -1;
    char path[201] = "";

    memset(path, 'x', 200);
    assert_int_equal(mkdirat(SCRATCH_FD, path, 0700), 0);
    assert_int_equal(call_dir_open(SCRATCH_FD, path, &fd, NULL), 0);
    assert_int_equal(call_dir_listen(fd, &listening, NULL), 0);
    assert_int_equal(call_dir_connect(fd, &ours, NULL), 0);
}

static void writes_seconds(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {{0, "{\"t\":0}"},
                {1000000, "{\"t\":1}"},
                {1500000, "{\"t\":1.500000}"},
                {1, "{\"t\":0.000001}"},
                {-5, "{\"t\":0}"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_json_ Json *object = json_new_object();
        _cleanup_buffer_ Buffer text = {0};

        assert_int_equal(call_dir_set_seconds(object, "t", rows[i].us), 0);
        assert_int_equal(json_format(object, &text), 0);
        assert_string_equal(buffer_text(&text), rows[i].text);
    }
}

static void measures_the_log(void **state)
{
    assert_int_equal(call_dir_log_size(SCRATCH_FD), 0);
    scratch_write_text(SCRATCH_FD, "output.log", "hello");
    assert_int_equal(call_dir_log_size(SCRATCH_FD), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(makes_a_call),
        scratch_test(does_not_make_one_twice),
        scratch_test(tells_a_torn_spec),
        scratch_test(knows_what_the_files_mean),
        scratch_test(talks_over_the_control_socket),
        scratch_test(has_a_socket_below_a_long_path),
        cmocka_unit_test(writes_seconds),
        scratch_test(measures_the_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
