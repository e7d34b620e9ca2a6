/* SPDX-License-Identifier: MIT */
#include "agent/shim/control.h"

#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/shim/call-dir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address;

static Control listening(void)
{
    Control control;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", call_dir_path);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    control_init(&control, fd);
    return control;
}

static int connected(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* One turn of a loop that never waits. */
static bool turn(Control *control)
{
    struct pollfd fds[CONTROL_POLL_FDS];

    control_prepare(control, fds);
    (void)poll(fds, CONTROL_POLL_FDS, 0);
    return control_handle(control, fds);
}

static void assert_hears(int fd, const char *wanted)
{
    char text[256];
    ssize_t got = recv(fd, text, sizeof(text) - 1, 0);

    text[got > 0 ? got : 0] = '\0';
    assert_string_equal(text, wanted);
}

static void test_numbers_are_told_once(void **state)
{
    _cleanup_(control_done) Control control = listening();
    _cleanup_fd_ int agent = connected();

    control_tell(&control, 1);
    assert_false(turn(&control));
    control_tell(&control, 2);
    assert_hears(agent, "seq 2\n");
    control_tell(&control, 2);
    assert_hears(agent, "");
    control_tell(&control, 18446744073709551615u);
    assert_hears(agent, "seq 18446744073709551615\n");
}

static void test_cancel_in_pieces_and_among_others(void **state)
{
    _cleanup_(control_done) Control control = listening();
    _cleanup_fd_ int agent = connected();

    assert_false(turn(&control));
    assert_int_equal(send(agent, "other\ncan", 9, 0), 9);
    assert_false(turn(&control));
    assert_int_equal(send(agent, "celling\ncance", 13, 0), 13);
    assert_false(turn(&control));
    assert_int_equal(send(agent, "l\n", 2, 0), 2);
    assert_true(turn(&control));
    assert_false(turn(&control));
}

static void test_who_says_cancel_and_leaves_is_heard(void **state)
{
    _cleanup_(control_done) Control control = listening();
    int agent = connected();

    assert_int_equal(send(agent, "cancel\n", 7, 0), 7);
    (void)close(agent);
    assert_false(turn(&control)); /* accepted */
    control_tell(&control, 1);    /* nobody reads that any more */
    assert_true(turn(&control));
    assert_false(turn(&control)); /* its end */
    assert_int_equal(control.connections[0].fd, -1);
}

static void test_a_line_that_is_too_long(void **state)
{
    _cleanup_(control_done) Control control = listening();
    _cleanup_fd_ int agent = connected();
    char line[CONTROL_LINE_MAX];

    memset(line, 'x', sizeof(line));
    assert_false(turn(&control));
    assert_int_equal(send(agent, line, sizeof(line), 0), sizeof(line));
    assert_false(turn(&control));
    assert_int_equal(recv(agent, line, sizeof(line), 0), 0);
}

static void test_more_than_there_is_room_for(void **state)
{
    _cleanup_(control_done) Control control = listening();
    int agents[CONTROL_CONNECTIONS_MAX + 1];

    for (size_t k = 0; k < ARRAY_SIZE(agents); k++) {
        agents[k] = connected();
        assert_false(turn(&control));
    }
    control_tell(&control, 1);
    assert_hears(agents[0], "seq 1\n");
    assert_hears(agents[CONTROL_CONNECTIONS_MAX], "");
    (void)close(agents[0]);
    assert_false(turn(&control)); /* hears that one has gone */
    assert_false(turn(&control)); /* takes the next */
    control_tell(&control, 1);
    assert_hears(agents[CONTROL_CONNECTIONS_MAX], "seq 1\n");
    for (size_t k = 1; k < ARRAY_SIZE(agents); k++) {
        (void)close(agents[k]);
    }
}

static void test_who_does_not_read_hears_the_newest_later(void **state)
{
    _cleanup_(control_done) Control control = listening();
    _cleanup_fd_ int agent = connected();
    char text[4096], last[64] = "";
    uint64_t seq = 0;
    ssize_t got;

    assert_false(turn(&control));
    while (control.connections[0].out_len == 0) { /* until the socket is full */
        control_tell(&control, ++seq);
    }
    control_tell(&control, seq + 1000); /* waits for nothing */
    while ((got = recv(agent, text, sizeof(text), 0)) > 0) {
        assert_false(turn(&control));
        control_tell(&control, seq + 1000);
        (void)snprintf(last, sizeof(last), "%.*s", (int)MIN(got, (ssize_t)63),
                       text + MAX(got - 63, (ssize_t)0));
    }
    (void)snprintf(text, sizeof(text), "seq %llu\n", (unsigned long long)seq + 1000);
    assert_non_null(strstr(last, text));
}

static void test_the_end_is_a_hang_up(void **state)
{
    Control control = listening();
    _cleanup_fd_ int agent = connected();
    char byte;

    assert_false(turn(&control));
    control_done(&control);
    assert_int_equal(recv(agent, &byte, 1, 0), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, call_dir_make, call_dir_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_numbers_are_told_once),
        TEST(test_cancel_in_pieces_and_among_others),
        TEST(test_who_says_cancel_and_leaves_is_heard),
        TEST(test_a_line_that_is_too_long),
        TEST(test_more_than_there_is_room_for),
        TEST(test_who_does_not_read_hears_the_newest_later),
        TEST(test_the_end_is_a_hang_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
