/* SPDX-License-Identifier: MIT */
#include "agent/release/environment-lock.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Place {
    char path[128];
    int fd;
    Json *holder;
} Place;

static const char holder_text[] =
    "{\"call\":\"c1\",\"action\":\"deploy-x\",\"pid\":7,\"since\":\"T\"}";

static int set_up(void **state)
{
    static Place place;
    const char *base = getenv("TMPDIR");

    (void)snprintf(place.path, sizeof(place.path), "%s/lock.XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(place.path));
    place.fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(place.fd >= 0);
    assert_int_equal(json_parse(holder_text, strlen(holder_text), &place.holder, NULL), 0);
    *state = &place;
    return 0;
}

static int tear_down(void **state)
{
    Place *place = *state;

    place->holder = json_unref(place->holder);
    place->fd = fd_close(place->fd);
    return file_remove_tree(AT_FDCWD, place->path, NULL);
}

static void a_second_one_learns_who_has_it(void **state)
{
    Place *place = *state;
    _cleanup_environment_lock_ EnvironmentLock first = ENVIRONMENT_LOCK_INIT;
    _cleanup_environment_lock_ EnvironmentLock second = ENVIRONMENT_LOCK_INIT;
    _cleanup_error_ Error err = {0};

    assert_int_equal(environment_lock_take(place->fd, place->holder, &first, &err), 0);
    assert_null(err.text);
    assert_int_equal(environment_lock_take(place->fd, place->holder, &second, &err),
                     ENVIRONMENT_LOCK_HELD);
    assert_string_equal(error_text(&err), "call c1 (deploy-x, process 7) has been changing this "
                                          "environment since T");
    assert_int_equal(second.fd, -1);
    environment_lock_release(&first);
    error_done(&err);
    assert_int_equal(environment_lock_take(place->fd, place->holder, &second, &err), 0);
}

/* What a holder wrote may be cut, or be missing. */
static void a_holder_without_a_name(void **state)
{
    static const char *const texts[] = {"", "{\"call\":", "[]", "null"};
    Place *place = *state;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_environment_lock_ EnvironmentLock first = ENVIRONMENT_LOCK_INIT;
        _cleanup_environment_lock_ EnvironmentLock second = ENVIRONMENT_LOCK_INIT;
        _cleanup_error_ Error err = {0};

        assert_int_equal(environment_lock_take(place->fd, place->holder, &first, &err), 0);
        assert_int_equal(ftruncate(first.fd, 0), 0);
        assert_int_equal(pwrite(first.fd, texts[i], strlen(texts[i]), 0), strlen(texts[i]));
        assert_int_equal(environment_lock_take(place->fd, place->holder, &second, &err),
                         ENVIRONMENT_LOCK_HELD);
        assert_string_equal(error_text(&err), "another call is changing this environment");
    }
}

static void it_goes_with_its_owner(void **state)
{
    Place *place = *state;
    _cleanup_environment_lock_ EnvironmentLock lock = ENVIRONMENT_LOCK_INIT;
    int pipe_fds[2], status;
    pid_t pid;
    char byte;

    assert_int_equal(pipe(pipe_fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (environment_lock_take(place->fd, place->holder, &lock, NULL) == 0) {
            (void)!write(pipe_fds[1], "x", 1);
            (void)pause();
        }
        _exit(1);
    }
    (void)close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    assert_int_equal(environment_lock_take(place->fd, place->holder, &lock, NULL),
                     ENVIRONMENT_LOCK_HELD);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(environment_lock_take(place->fd, place->holder, &lock, NULL), 0);
    (void)close(pipe_fds[0]);
}

/* A program that the holder starts must not hold it on. */
static void it_is_not_inherited(void **state)
{
    Place *place = *state;
    _cleanup_environment_lock_ EnvironmentLock lock = ENVIRONMENT_LOCK_INIT;

    assert_int_equal(environment_lock_take(place->fd, place->holder, &lock, NULL), 0);
    assert_int_equal(fcntl(lock.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_one_learns_who_has_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_holder_without_a_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_goes_with_its_owner, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_not_inherited, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("environment-lock", tests, NULL, NULL);
}
