/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/systemd.h"
#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void set_pid(const char *name, pid_t pid)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    (void)setenv(name, text, 1);
}

static void sockets_are_taken_once(void **state)
{
    (void)setenv("LISTEN_FDS", "2", 1);
    set_pid("LISTEN_PID", getpid());
    assert_int_equal(systemd_take_listen_fds(NULL), 2);
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_PID"));
    assert_int_equal(systemd_take_listen_fds(NULL), 0);
}

static void sockets_for_another_process_are_not_ours(void **state)
{
    (void)setenv("LISTEN_FDS", "2", 1);
    set_pid("LISTEN_PID", getpid() + 1);
    assert_int_equal(systemd_take_listen_fds(NULL), 0);
    (void)setenv("LISTEN_FDS", "2", 1);
    assert_int_equal(systemd_take_listen_fds(NULL), 0);
}

static void a_bad_number_is_told(void **state)
{
    static const char *const bad[] = {"x", "", "-1", "65", "99999999999999999999"};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_error_ Error err = {0};

        (void)setenv("LISTEN_FDS", bad[i], 1);
        set_pid("LISTEN_PID", getpid());
        assert_int_equal(systemd_take_listen_fds(&err), -EINVAL);
        assert_non_null(strstr(err.text, "LISTEN_FDS"));
    }
}

static void hear(const char *address, const char *wanted)
{
    struct sockaddr_un bound = {.sun_family = AF_UNIX};
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char heard[64] = "";

    (void)strcpy(bound.sun_path, address);
    if (*address == '@') {
        bound.sun_path[0] = '\0';
    }
    assert_int_equal(bind(fd, (struct sockaddr *)&bound,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address))),
                     0);
    (void)setenv("NOTIFY_SOCKET", address, 1);
    systemd_notify(wanted);
    assert_int_equal(recv(fd, heard, sizeof(heard), 0), (int)strlen(wanted));
    assert_string_equal(heard, wanted);
    (void)unsetenv("NOTIFY_SOCKET");
}

static void systemd_hears_what_it_wants_to(void **state)
{
    char directory[] = "/tmp/slipway-test-XXXXXX", path[64], abstract[64];

    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/notify", directory);
    (void)snprintf(abstract, sizeof(abstract), "@slipway-test-%d", (int)getpid());
    hear(path, "READY=1");
    hear(abstract, "STOPPING=1");
    (void)unlink(path);
    (void)rmdir(directory);
}

static void nobody_to_tell_is_no_trouble(void **state)
{
    char longer[256];

    memset(longer, 'x', sizeof(longer));
    longer[0] = '/';
    longer[255] = '\0';
    (void)unsetenv("NOTIFY_SOCKET");
    systemd_notify("READY=1");
    (void)setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
    systemd_notify("READY=1");
    (void)setenv("NOTIFY_SOCKET", longer, 1);
    systemd_notify("READY=1");
    (void)setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
    systemd_notify("READY=1");
    (void)unsetenv("NOTIFY_SOCKET");
}

static void the_watchdog_is_fed_twice_in_its_time(void **state)
{
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    assert_int_equal(systemd_watchdog_ms(), 0);
    (void)setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(systemd_watchdog_ms(), 15000);
    set_pid("WATCHDOG_PID", getpid());
    assert_int_equal(systemd_watchdog_ms(), 15000);
    set_pid("WATCHDOG_PID", getpid() + 1);
    assert_int_equal(systemd_watchdog_ms(), 0);
    (void)unsetenv("WATCHDOG_PID");
    (void)setenv("WATCHDOG_USEC", "1", 1);
    assert_int_equal(systemd_watchdog_ms(), 1);
    (void)setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(systemd_watchdog_ms(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_are_taken_once),
        cmocka_unit_test(sockets_for_another_process_are_not_ours),
        cmocka_unit_test(a_bad_number_is_told),
        cmocka_unit_test(systemd_hears_what_it_wants_to),
        cmocka_unit_test(nobody_to_tell_is_no_trouble),
        cmocka_unit_test(the_watchdog_is_fed_twice_in_its_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
