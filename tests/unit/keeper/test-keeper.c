/* SPDX-License-Identifier: MIT */
/* A keeper in a child process of the test, which plays the engine. */
#include "agent/engine-local/keeper/keeper.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Place {
    char path[32];
    int dir_fd;
    struct sockaddr_un address;
} Place;

static int set_up(void **state)
{
    Place *place = calloc(1, sizeof(*place));

    (void)snprintf(place->path, sizeof(place->path), "/tmp/keeper-XXXXXX");
    place->dir_fd =
        mkdtemp(place->path) ? open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    place->address.sun_family = AF_UNIX;
    (void)snprintf(place->address.sun_path, sizeof(place->address.sun_path), "%s/s", place->path);
    *state = place;
    return place->dir_fd < 0;
}

static int tear_down(void **state)
{
    Place *place = *state;

    (void)fd_close(place->dir_fd);
    (void)!file_remove_tree(AT_FDCWD, place->path, NULL);
    free(place);
    return 0;
}

static void write_file(const Place *place, const char *name, const char *data, size_t n)
{
    _cleanup_fd_ int fd = openat(place->dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(fd_write_all(fd, data, n), 0);
}

/* The keeper's process; it has become one when this returns. */
static pid_t start(const Place *place, const char *const *command)
{
    static const char environment[] = "PATH=/usr/bin:/bin\0GREETING=hello";
    _cleanup_fd_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    write_file(place, KEEPER_FILE_ENVIRONMENT, environment, sizeof(environment));
    assert_int_equal(
        bind(listener, (const struct sockaddr *)&place->address, sizeof(place->address)), 0);
    assert_int_equal(listen(listener, 4), 0);
    pid = fork();
    if (pid == 0) {
        const KeeperOptions options = {.log_name = "a.log",
                                       .log_bytes = 4096,
                                       .files_max = 64,
                                       .directory = "/",
                                       .command = (char *const *)command};
        int dir_fd = fcntl(place->dir_fd, F_DUPFD, 10), control_fd = fcntl(listener, F_DUPFD, 10);

        (void)dup2(dir_fd, KEEPER_FD_INSTANCE);
        (void)dup2(control_fd, KEEPER_FD_CONTROL);
        (void)dup2(dir_fd, KEEPER_FD_LOGS);
        (void)close(control_fd);
        _exit(keeper_run(&options, NULL) < 0);
    }
    assert_true(pid > 0);
    return pid;
}

static int connect_to(const Place *place)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&place->address, sizeof(place->address)),
                     0);
    return fd;
}

static void assert_ends(const Place *place, pid_t keeper, KeeperEnd end, int value)
{
    KeeperStatus status;
    int wait_status;

    assert_int_equal(waitpid(keeper, &wait_status, 0), keeper);
    assert_int_equal(wait_status, 0);
    keeper_status_read(place->dir_fd, &status);
    assert_int_equal(status.end, end);
    assert_int_equal(status.value, value);
    keeper_status_done(&status);
}

static void assert_log(const Place *place, const char *wanted)
{
    _cleanup_buffer_ Buffer text = {0};

    assert_int_equal(file_read(place->dir_fd, "a.log", &text, NULL), 0);
    assert_string_equal(buffer_text(&text), wanted);
}

static void tells_the_exit_status_and_keeps_the_output(void **state)
{
    const char *const command[] = {
        "sh", "-c",
        "echo $GREETING; ulimit -n; pwd; ls /proc/self/fd | wc -l; echo bad >&2; exit 3", NULL};

    assert_ends(*state, start(*state, command), KEEPER_EXITED, 3);
    assert_log(*state, "hello\n64\n/\n4\nbad\n"); /* 0, 1, 2 and the one that ls itself opened */
}

static void tells_the_signal(void **state)
{
    const char *const command[] = {"sh", "-c", "kill -9 $$", NULL};

    assert_ends(*state, start(*state, command), KEEPER_KILLED, SIGKILL);
}

static void tells_why_it_did_not_start(void **state)
{
    const char *const command[] = {"/no/such/program", NULL};
    KeeperStatus status;

    assert_ends(*state, start(*state, command), KEEPER_FAILED, 0);
    keeper_status_read(((Place *)*state)->dir_fd, &status);
    assert_string_equal(status.text, "cannot start '/no/such/program': No such file or directory");
    keeper_status_done(&status);
}

static void says_the_pid_and_stops_when_told(void **state)
{
    const char *const command[] = {"sleep", "600", NULL};
    pid_t keeper = start(*state, command);
    _cleanup_fd_ int fd = connect_to(*state);
    char text[64] = "";
    int service;

    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_int_equal(sscanf(text, "pid %d\n", &service), 1);
    assert_int_equal(kill(service, 0), 0);
    assert_int_equal(send(fd, "st", 2, 0), 2); /* in pieces, and among what it does not know */
    assert_int_equal(send(fd, "op 5000\nwhat\n", 13, 0), 13);
    assert_int_equal(recv(fd, text, sizeof(text), 0), 0);
    assert_ends(*state, keeper, KEEPER_KILLED, SIGTERM);
}

static void kills_what_does_not_obey(void **state)
{
    /* The one that ignores SIGTERM is in a session of its own, and its parent is gone. */
    const char *const command[] = {
        "sh", "-c", "(trap '' TERM; setsid sh -c 'echo up; exec sleep 600' &); exec sleep 600",
        NULL};
    pid_t keeper = start(*state, command);
    _cleanup_fd_ int fd = connect_to(*state);
    int64_t before = clock_monotonic_ms();

    assert_int_equal(send(fd, "stop 50\n", 8, 0), 8);
    assert_ends(*state, keeper, KEEPER_KILLED, SIGTERM);
    assert_in_range(clock_monotonic_ms() - before, 0, 30000);
}

static void ends_what_the_service_left_behind(void **state)
{
    const char *const command[] = {"sh", "-c", "setsid sleep 600 & exit 0", NULL};

    assert_ends(*state, start(*state, command), KEEPER_EXITED, 0);
}

static void ends_its_service_when_it_is_ended(void **state)
{
    const char *const command[] = {"sleep", "600", NULL};
    pid_t keeper = start(*state, command);
    _cleanup_fd_ int fd = connect_to(*state);
    char text[64];

    assert_true(recv(fd, text, sizeof(text), 0) > 0); /* it is in its loop */
    assert_int_equal(kill(keeper, SIGTERM), 0);
    assert_ends(*state, keeper, KEEPER_KILLED, SIGTERM);
}

static void hangs_up_on_who_talks_nonsense_or_comes_too_many(void **state)
{
    const char *const command[] = {"sleep", "600", NULL};
    pid_t keeper = start(*state, command);
    char nonsense[200], text[64];
    int fds[6];

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        ssize_t n;

        fds[i] = connect_to(*state);
        n = recv(fds[i], text, sizeof(text), 0);
        assert_int_equal(n > 0, i < 4);
    }
    memset(nonsense, 'x', sizeof(nonsense));
    assert_int_equal(send(fds[0], nonsense, sizeof(nonsense), 0), sizeof(nonsense));
    assert_true(recv(fds[0], text, sizeof(text), 0) <= 0);
    assert_int_equal(send(fds[1], "stop 0\n", 7, 0), 7);
    assert_ends(*state, keeper, KEEPER_KILLED, SIGKILL);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        (void)fd_close(fds[i]);
    }
}

static void what_is_no_status_is_lost(void **state)
{
    const char *const texts[] = {"", "exited", "exited3\n", "ended 1\n", NULL};
    const Place *place = *state;
    KeeperStatus status;

    keeper_status_read(place->dir_fd, &status);
    assert_int_equal(status.end, KEEPER_LOST);
    for (size_t i = 0; texts[i]; i++) {
        (void)unlinkat(place->dir_fd, KEEPER_FILE_STATUS, 0);
        write_file(place, KEEPER_FILE_STATUS, texts[i], strlen(texts[i]));
        keeper_status_read(place->dir_fd, &status);
        assert_int_equal(status.end, KEEPER_LOST);
        keeper_status_done(&status);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(tells_the_exit_status_and_keeps_the_output),
        TEST(tells_the_signal),
        TEST(tells_why_it_did_not_start),
        TEST(says_the_pid_and_stops_when_told),
        TEST(kills_what_does_not_obey),
        TEST(ends_what_the_service_left_behind),
        TEST(ends_its_service_when_it_is_ended),
        TEST(hangs_up_on_who_talks_nonsense_or_comes_too_many),
        TEST(what_is_no_status_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
