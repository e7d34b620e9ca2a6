/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/keeper/service-log.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT 64

typedef struct Place {
    char path[32];
    int fd;
} Place;

static int set_up(void **state)
{
    Place *place = calloc(1, sizeof(*place));

    (void)snprintf(place->path, sizeof(place->path), "/tmp/service-log-XXXXXX");
    place->fd = mkdtemp(place->path) ? open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    *state = place;
    return place->fd < 0;
}

static int tear_down(void **state)
{
    Place *place = *state;

    (void)fd_close(place->fd);
    (void)!file_remove_tree(AT_FDCWD, place->path, NULL);
    free(place);
    return 0;
}

static void write_text(const Place *place, const char *text)
{
    ServiceLog log;

    assert_int_equal(service_log_open(&log, place->fd, "a.log", LIMIT), 0);
    assert_int_equal(service_log_write(&log, text, strlen(text)), 0);
    service_log_done(&log);
}

static void assert_tail(const Place *place, size_t n_lines, const char *wanted)
{
    _cleanup_buffer_ Buffer tail = {0};

    assert_int_equal(service_log_tail(place->fd, "a.log", n_lines, &tail), 0);
    assert_string_equal(buffer_text(&tail), wanted);
}

static off_t size_of(const Place *place, const char *name)
{
    struct stat st;

    return fstatat(place->fd, name, &st, 0) == 0 ? st.st_size : -1;
}

static void keeps_what_was_there(void **state)
{
    write_text(*state, "one\n");
    write_text(*state, "two\nthree");
    assert_tail(*state, 10, "one\ntwo\nthree\n");
    assert_tail(*state, 2, "two\nthree\n");
    assert_tail(*state, 0, "");
}

static void nothing_where_there_is_no_log(void **state)
{
    assert_tail(*state, 10, "");
}

static void grows_to_its_limit_and_keeps_one_older_file(void **state)
{
    char text[5 * LIMIT + 1];

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        text[i] = i % 8 == 7 ? '\n' : (char)('a' + i / 8 % 26);
    }
    text[sizeof(text) - 1] = '\0';
    write_text(*state, text);
    write_text(*state, "end\n");
    assert_int_equal(size_of(*state, "a.log"), 4);
    assert_int_equal(size_of(*state, "a.log.1"), LIMIT);
    assert_int_equal(size_of(*state, "a.log.2"), -1);
    assert_tail(*state, 3, "mmmmmmm\nnnnnnnn\nend\n"); /* the tail goes on in the older file */
}

static void a_long_line_loses_its_beginning(void **state)
{
    char text[2 * SERVICE_LOG_LINE_MAX];
    _cleanup_buffer_ Buffer tail = {0};
    ServiceLog log;

    memset(text, 'x', sizeof(text));
    memcpy(text + sizeof(text) - 4, "end\n", 4);
    assert_int_equal(service_log_open(&log, ((Place *)*state)->fd, "a.log", 1 << 20), 0);
    assert_int_equal(service_log_write(&log, text, sizeof(text)), 0);
    service_log_done(&log);
    assert_int_equal(service_log_tail(((Place *)*state)->fd, "a.log", 4, &tail), 0);
    assert_int_equal(tail.len, SERVICE_LOG_LINE_MAX + 1);
    assert_string_equal(tail.data + tail.len - 5, "xend\n");
}

static void a_nul_does_not_end_the_text(void **state)
{
    ServiceLog log;

    assert_int_equal(service_log_open(&log, ((Place *)*state)->fd, "a.log", LIMIT), 0);
    assert_int_equal(service_log_write(&log, "a\0b\nc", 5), 0);
    service_log_done(&log);
    assert_tail(*state, 2, "a b\nc\n");
}

static void a_log_that_cannot_be_written_is_an_error(void **state)
{
    ServiceLog log;

    assert_int_equal(service_log_open(&log, ((Place *)*state)->fd, "no/such.log", LIMIT), -ENOENT);
}

static void prunes_the_oldest(void **state)
{
    const Place *place = *state;
    const char *const names[] = {"1.log", "3.log", "2.log", "1.log.1", "other"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(mknodat(place->fd, names[i], S_IFREG | 0600, 0), 0);
    }
    service_log_prune(place->fd, 2);
    assert_int_equal(size_of(place, "1.log"), -1);
    assert_int_equal(size_of(place, "1.log.1"), -1);
    assert_int_equal(size_of(place, "2.log"), 0);
    assert_int_equal(size_of(place, "3.log"), 0);
    assert_int_equal(size_of(place, "other"), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(keeps_what_was_there),
        TEST(nothing_where_there_is_no_log),
        TEST(grows_to_its_limit_and_keeps_one_older_file),
        TEST(a_long_line_loses_its_beginning),
        TEST(a_nul_does_not_end_the_text),
        TEST(a_log_that_cannot_be_written_is_an_error),
        TEST(prunes_the_oldest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
