/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/channel.h"
#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Fixture {
    uv_loop_t loop;
    Channel channel;
    unsigned n_readable;
    unsigned n_writable;
    unsigned n_closed;
    bool closes_itself;
} Fixture;

static void on_readable(void *userdata)
{
    Fixture *f = userdata;

    f->n_readable++;
    if (f->closes_itself) {
        channel_close(&f->channel);
    }
}

static void on_writable(void *userdata)
{
    Fixture *f = userdata;

    f->n_writable++;
    if (f->closes_itself) {
        channel_close(&f->channel);
    }
}

static void on_closed(void *userdata)
{
    ((Fixture *)userdata)->n_closed++;
}

static const ChannelEvents events = {on_readable, on_writable, on_closed};

static int set_up(void **state)
{
    static Fixture f;

    f = (Fixture){0};
    *state = &f;
    return uv_loop_init(&f.loop);
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    channel_close(&f->channel);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->n_closed, 1);
    return uv_loop_close(&f->loop);
}

/* Returns the other end. */
static int open_socket(Fixture *f)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(channel_open_take(&f->channel, &f->loop, pair[0], pair[0], &events, f, NULL),
                     0);
    return pair[1];
}

static void turn(Fixture *f)
{
    for (int i = 0; i < 3; i++) {
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
}

static void it_calls_only_for_what_is_wanted(void **state)
{
    Fixture *f = *state;
    _cleanup_fd_ int peer = open_socket(f);
    char data[8];

    assert_int_equal(write(peer, "hi", 2), 2);
    turn(f);
    assert_int_equal(f->n_readable + f->n_writable, 0);
    channel_want(&f->channel, true, false);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->n_readable, 1);
    assert_int_equal(f->n_writable, 0);
    assert_int_equal(channel_read(&f->channel, data, sizeof(data)), 2);
    assert_int_equal(channel_read(&f->channel, data, sizeof(data)), -EAGAIN);
    channel_want(&f->channel, false, true);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->n_readable, 1);
    assert_int_equal(f->n_writable, 1);
}

static void the_end_of_the_input_is_nothing_read(void **state)
{
    Fixture *f = *state;
    int peer = open_socket(f);
    char data[8];

    (void)fd_close(peer);
    channel_want(&f->channel, true, false);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->n_readable, 1);
    assert_int_equal(channel_read(&f->channel, data, sizeof(data)), 0);
}

static void a_slow_reader_gets_all_bytes_in_order(void **state)
{
    Fixture *f = *state;
    _cleanup_fd_ int peer = open_socket(f);
    static char data[100000], got[100000];
    size_t sent = 0, received = 0;

    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)(i % 251);
    }
    /* More each time than is read, then less, so that what waits is moved now and then. */
    while (received < 40 * sizeof(data)) {
        if (sent < 40 * sizeof(data)) {
            assert_int_equal(buffer_append(&f->channel.out, data, sizeof(data)), 0);
            sent += sizeof(data);
        }
        assert_true(channel_flush(&f->channel) >= 0);
        for (int i = 0; i < 3 && received < sent; i++) {
            ssize_t n = recv(peer, got, MIN(sizeof(got), 33333), MSG_DONTWAIT);

            if (n < 0) {
                assert_int_equal(errno, EAGAIN);
                break;
            }
            for (ssize_t k = 0; k < n; k++, received++) {
                if (got[k] != data[received % sizeof(data)]) {
                    fail_msg("byte %zu differs", received);
                }
            }
        }
    }
    assert_int_equal(channel_backlog(&f->channel), 0);
    assert_int_equal(f->channel.out.len, 0);
    channel_trim(&f->channel);
    assert_int_equal(f->channel.out.allocated, 0);
}

static void a_reader_that_is_gone_is_told(void **state)
{
    Fixture *f = *state;
    int peer = open_socket(f);

    (void)fd_close(peer);
    assert_int_equal(buffer_append_text(&f->channel.out, "x"), 0);
    assert_int_equal(channel_flush(&f->channel), -EPIPE);
}

static void pipes_work_and_the_shell_keeps_its_own(void **state)
{
    Fixture *f = *state;
    int up[2], down[2], shared;
    char data[8] = "";

    assert_int_equal(pipe2(up, O_CLOEXEC), 0);
    assert_int_equal(pipe2(down, O_CLOEXEC), 0);
    shared = dup(up[0]); /* as a shell has the terminal that its programs read */
    assert_int_equal(channel_open_take(&f->channel, &f->loop, up[0], down[1], &events, f, NULL), 0);
    assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);

    channel_want(&f->channel, true, true);
    assert_int_equal(write(up[1], "ab", 2), 2);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->n_readable, 1);
    assert_int_equal(f->n_writable, 1);
    assert_int_equal(channel_read(&f->channel, data, sizeof(data)), 2);
    assert_int_equal(channel_read(&f->channel, data, sizeof(data)), -EAGAIN);
    assert_int_equal(buffer_append_text(&f->channel.out, "cd"), 0);
    assert_int_equal(channel_flush(&f->channel), 1);
    assert_int_equal(read(down[0], data, sizeof(data)), 2);
    assert_string_equal(data, "cd");

    (void)close(down[0]);
    turn(f);
    assert_true(f->n_writable > 1); /* a broken pipe calls, too */
    assert_int_equal(buffer_append_text(&f->channel.out, "x"), 0);
    assert_int_equal(channel_flush(&f->channel), -EPIPE);
    (void)close(shared);
    (void)close(up[1]);
}

static void plain_files_are_always_ready(void **state)
{
    Fixture *f = *state;
    int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC), copy;
    char data[8] = "";

    copy = dup(out);
    assert_int_equal(pwrite(in, "ab", 2, 0), 2);
    assert_int_equal(channel_open_take(&f->channel, &f->loop, in, out, &events, f, NULL), 0);
    turn(f);
    assert_int_equal(f->n_readable + f->n_writable, 0);
    channel_want(&f->channel, true, true);
    turn(f);
    assert_true(f->n_readable > 0);
    assert_true(f->n_writable > 0);
    assert_int_equal(channel_read(&f->channel, data, sizeof(data)), 2);
    assert_int_equal(channel_read(&f->channel, data, sizeof(data)), 0);
    assert_int_equal(buffer_append_text(&f->channel.out, "cd"), 0);
    assert_int_equal(channel_flush(&f->channel), 1);
    assert_int_equal(pread(copy, data, sizeof(data), 0), 2);
    f->closes_itself = true;
    turn(f);
    assert_int_equal(f->n_closed, 1);
    (void)close(copy);
}

static void it_may_be_closed_from_inside_its_call(void **state)
{
    Fixture *f = *state;
    _cleanup_fd_ int peer = open_socket(f);
    char data[8];

    f->closes_itself = true;
    assert_int_equal(write(peer, "hi", 2), 2);
    channel_want(&f->channel, true, true);
    turn(f);
    assert_int_equal(f->n_readable + f->n_writable, 1);
    assert_int_equal(f->n_closed, 1);
    assert_int_equal(recv(peer, data, sizeof(data), 0), -1);
    assert_int_equal(errno, ECONNRESET);
}

static void a_descriptor_that_is_none_is_an_error(void **state)
{
    Fixture *f = *state;
    _cleanup_error_ Error err = {0};
    int closed = dup(0);

    (void)close(closed);
    assert_true(channel_open_take(&f->channel, &f->loop, closed, closed, &events, f, &err) < 0);
    assert_non_null(strstr(err.text, "watching descriptor"));
    f->channel.input.fd = -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_calls_only_for_what_is_wanted),       TEST(the_end_of_the_input_is_nothing_read),
        TEST(a_slow_reader_gets_all_bytes_in_order),  TEST(a_reader_that_is_gone_is_told),
        TEST(pipes_work_and_the_shell_keeps_its_own), TEST(plain_files_are_always_ready),
        TEST(it_may_be_closed_from_inside_its_call),  TEST(a_descriptor_that_is_none_is_an_error),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
