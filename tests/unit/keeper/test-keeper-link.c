/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/keeper/keeper-link.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Place {
    char path[160]; /* longer than a unix socket's path may be */
    char top[40];
    int dir_fd;
} Place;

static int set_up(void **state)
{
    Place *place = calloc(1, sizeof(*place));
    int n;

    (void)snprintf(place->top, sizeof(place->top), "/tmp/keeper-link-XXXXXX");
    if (!mkdtemp(place->top)) {
        return 1;
    }
    n = snprintf(place->path, sizeof(place->path), "%s/", place->top);
    memset(place->path + n, 'd', 110);
    *state = place;
    if (mkdir(place->path, 0700) < 0) {
        return 1;
    }
    place->dir_fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return place->dir_fd < 0;
}

static int tear_down(void **state)
{
    Place *place = *state;

    (void)fd_close(place->dir_fd);
    (void)!file_remove_tree(AT_FDCWD, place->top, NULL);
    free(place);
    return 0;
}

static int start(const Place *place, const char *program, const char *environment, Error *err)
{
    static const char *const command[] = {"sleep", "600", NULL};
    const KeeperStart what = {
        .program = program,
        .instance_fd = place->dir_fd,
        .logs_fd = place->dir_fd,
        .options = {.log_name = "a.log",
                    .log_bytes = 4096,
                    .directory = "/",
                    .command = (char *const *)command},
    };
    _cleanup_fd_ int fd = openat(place->dir_fd, KEEPER_FILE_ENVIRONMENT,
                                 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(fd_write_all(fd, environment, strlen(environment) + 1), 0);
    return keeper_link_start(&what, err);
}

/* What comes next over the link, as text; "" for a hang-up. */
static void read_link(int fd, char *text, size_t size)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&wanted, 1, 30000), 1);
    n = recv(fd, text, size - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
}

static void starts_one_says_its_pid_and_ends_it(void **state)
{
    const Place *place = *state;
    char text[64];
    int fd, pid;

    fd = start(place, getenv("SLIPWAY_KEEPER"), "PATH=/usr/bin:/bin", NULL);
    assert_true(fd >= 0);
    read_link(fd, text, sizeof(text));
    assert_int_equal(sscanf(text, "pid %d\n", &pid), 1);
    assert_int_equal(getsid(pid), pid); /* a session of its own */
    assert_int_equal(keeper_link_stop(fd, 5000), 0);
    read_link(fd, text, sizeof(text));
    assert_string_equal(text, "");
    (void)fd_close(fd);
    assert_true(waitpid(-1, NULL, 0) > 0);
    assert_int_equal(keeper_link_connect(place->dir_fd), -ECONNREFUSED);
}

static void waits_for_the_end(void **state)
{
    const Place *place = *state;
    KeeperStatus status;
    int fd = start(place, getenv("SLIPWAY_KEEPER"), "PATH=/usr/bin:/bin", NULL);

    assert_true(fd >= 0);
    (void)fd_close(fd); /* whoever started it may go: it is found again */
    keeper_link_end(place->dir_fd, 5000);
    keeper_status_read(place->dir_fd, &status);
    assert_int_equal(status.end, KEEPER_KILLED);
    keeper_status_done(&status);
    keeper_link_end(place->dir_fd, 5000); /* nobody there: nothing to wait for */
    assert_true(waitpid(-1, NULL, 0) > 0);
}

static void a_keeper_that_cannot_be_started_is_told(void **state)
{
    _cleanup_error_ Error err = {0};

    assert_int_equal(start(*state, "/no/such/keeper", "A=b", &err), -ENOENT);
    assert_string_equal(error_text(&err),
                        "cannot start '/no/such/keeper': No such file or directory");
    assert_int_equal(keeper_link_connect(((Place *)*state)->dir_fd), -ECONNREFUSED);
}

static void there_is_none_where_there_never_was(void **state)
{
    assert_int_equal(keeper_link_connect(((Place *)*state)->dir_fd), -ENOENT);
}

static void what_lost_its_keeper_is_found_by_its_marker(void **state)
{
    const Place *place = *state;
    char instance[64], environment[128], text[64];
    int fd, pid;

    (void)snprintf(instance, sizeof(instance), "test-%d", (int)getpid());
    (void)snprintf(environment, sizeof(environment), KEEPER_LINK_MARKER "=%s", instance);
    fd = start(place, getenv("SLIPWAY_KEEPER"), environment, NULL);
    assert_true(fd >= 0);
    read_link(fd, text, sizeof(text));
    assert_int_equal(sscanf(text, "pid %d\n", &pid), 1);
    keeper_link_end_leftovers("test-of-somebody-else");
    assert_int_equal(kill(pid, 0), 0);
    keeper_link_end_leftovers(instance);
    read_link(fd, text, sizeof(text));
    assert_string_equal(text, ""); /* with the service, its keeper has ended */
    (void)fd_close(fd);
    assert_true(waitpid(-1, NULL, 0) > 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(starts_one_says_its_pid_and_ends_it),
        TEST(waits_for_the_end),
        TEST(a_keeper_that_cannot_be_started_is_told),
        TEST(there_is_none_where_there_never_was),
        TEST(what_lost_its_keeper_is_found_by_its_marker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
