/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/unix-socket.h"
#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64];

static int set_up(void **state)
{
    (void)strcpy(directory, "/tmp/slipway-test-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command);
}

static const char *place(const char *name)
{
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void listens_with_the_mode_and_goes_with_its_file(void **state)
{
    UnixSocket s = UNIX_SOCKET_EMPTY;
    struct stat st;
    int fd = -1;

    assert_int_equal(unix_socket_listen(place("a"), 0600, &s, NULL), 0);
    assert_int_equal(stat(place("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(unix_socket_connect(place("a"), &fd, NULL), 0);
    (void)close(fd);
    unix_socket_done(&s);
    assert_int_equal(stat(place("a"), &st), -1);
    assert_int_equal(s.fd, -1);
}

static void a_mode_for_all_does_not_depend_on_the_umask(void **state)
{
    UnixSocket s = UNIX_SOCKET_EMPTY;
    mode_t before = umask(077);
    struct stat st;

    assert_int_equal(unix_socket_listen(place("b"), 0666, &s, NULL), 0);
    assert_int_equal(umask(before), 077);
    assert_int_equal(stat(place("b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    unix_socket_done(&s);
}

/* A socket file whose process died without removing it. */
static void leave_stale(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(strlen(path) < sizeof(address.sun_path));
    (void)strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
}

static void a_left_over_file_is_replaced(void **state)
{
    UnixSocket s = UNIX_SOCKET_EMPTY;
    int fd = -1;

    leave_stale(place("stale"));
    assert_int_equal(unix_socket_connect(place("stale"), &fd, NULL), -ECONNREFUSED);
    assert_int_equal(unix_socket_listen(place("stale"), 0600, &s, NULL), 0);
    assert_int_equal(unix_socket_connect(place("stale"), &fd, NULL), 0);
    (void)close(fd);
    unix_socket_done(&s);
}

static void whoever_listens_is_not_pushed_aside(void **state)
{
    UnixSocket first = UNIX_SOCKET_EMPTY, second = UNIX_SOCKET_EMPTY;
    _cleanup_error_ Error err = {0};

    assert_int_equal(unix_socket_listen(place("c"), 0600, &first, NULL), 0);
    assert_int_equal(unix_socket_listen(place("c"), 0600, &second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "another process listens"));
    unix_socket_done(&first);
}

/* Between fork and exec a child of a killed agent has its socket; it goes once somebody asked. */
static void one_that_nobody_serves_is_waited_for(void **state)
{
    UnixSocket first = UNIX_SOCKET_EMPTY, second = UNIX_SOCKET_EMPTY;
    pid_t pid;

    assert_int_equal(unix_socket_listen(place("o"), 0600, &first, NULL), 0);
    pid = fork();
    if (pid == 0) {
        struct pollfd asked = {.fd = first.fd, .events = POLLIN};

        _exit(poll(&asked, 1, 60000) == 1 ? 0 : 1);
    }
    (void)close(first.fd); /* as kill -9 does: the file stays */
    free(first.path);
    assert_int_equal(unix_socket_listen(place("o"), 0600, &second, NULL), 0);
    unix_socket_done(&second);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    UnixSocket s = UNIX_SOCKET_EMPTY;
    _cleanup_error_ Error err = {0};
    struct stat st;

    (void)close(open(place("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(unix_socket_listen(place("file"), 0600, &s, &err), -EEXIST);
    assert_non_null(strstr(err.text, "is no socket"));
    assert_int_equal(stat(place("file"), &st), 0);
}

static void a_file_that_another_made_meanwhile_stays(void **state)
{
    UnixSocket s = UNIX_SOCKET_EMPTY;
    struct stat st;

    assert_int_equal(unix_socket_listen(place("d"), 0600, &s, NULL), 0);
    assert_int_equal(unlink(place("d")), 0);
    leave_stale(place("d"));
    unix_socket_done(&s);
    assert_int_equal(stat(place("d"), &st), 0);
}

static void a_path_beyond_sun_path_works(void **state)
{
    UnixSocket s = UNIX_SOCKET_EMPTY;
    char name[300];
    int fd = -1;

    memset(name, 'x', sizeof(name));
    name[200] = '\0';
    assert_int_equal(mkdir(place(name), 0700), 0);
    (void)strcpy(name + 200, "/agent.sock");
    assert_int_equal(unix_socket_listen(place(name), 0600, &s, NULL), 0);
    assert_int_equal(access(place(name), F_OK), 0);
    assert_int_equal(unix_socket_connect(place(name), &fd, NULL), 0);
    (void)close(fd);
    unix_socket_done(&s);
    assert_int_equal(access(place(name), F_OK), -1);
}

static void what_cannot_be_is_told(void **state)
{
    UnixSocket s = UNIX_SOCKET_EMPTY;
    _cleanup_error_ Error err = {0};
    int fd = -1;

    assert_int_equal(unix_socket_listen("", 0600, &s, &err), -EINVAL);
    assert_int_equal(unix_socket_listen(place("no/such/place"), 0600, &s, &err), -ENOENT);
    assert_int_equal(unix_socket_connect(place("nobody"), &fd, &err), -ENOENT);
    assert_non_null(strstr(err.text, "nobody"));
}

static void a_passed_socket_is_taken_if_it_listens(void **state)
{
    UnixSocket made = UNIX_SOCKET_EMPTY, s = UNIX_SOCKET_EMPTY;
    _cleanup_error_ Error err = {0};
    struct stat st;

    assert_int_equal(unix_socket_listen(place("e"), 0600, &made, NULL), 0);
    assert_int_equal(unix_socket_adopt_take(dup(made.fd), &s, NULL), 0);
    assert_int_equal(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
    unix_socket_done(&s);
    assert_int_equal(stat(place("e"), &st), 0); /* systemd's file is systemd's */
    unix_socket_done(&made);

    assert_int_equal(
        unix_socket_adopt_take(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &s, &err),
        -EPROTOTYPE);
    assert_int_equal(
        unix_socket_adopt_take(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &s, &err),
        -EPROTOTYPE);
    assert_int_equal(unix_socket_adopt_take(open("/dev/null", O_RDONLY | O_CLOEXEC), &s, &err),
                     -ENOTSOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listens_with_the_mode_and_goes_with_its_file),
        cmocka_unit_test(a_mode_for_all_does_not_depend_on_the_umask),
        cmocka_unit_test(a_left_over_file_is_replaced),
        cmocka_unit_test(whoever_listens_is_not_pushed_aside),
        cmocka_unit_test(one_that_nobody_serves_is_waited_for),
        cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
        cmocka_unit_test(a_file_that_another_made_meanwhile_stays),
        cmocka_unit_test(a_path_beyond_sun_path_works),
        cmocka_unit_test(what_cannot_be_is_told),
        cmocka_unit_test(a_passed_socket_is_taken_if_it_listens),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
