/* SPDX-License-Identifier: MIT */
/* A directory of its own for each test: `cmocka_unit_test_setup_teardown(f, scratch_setup,
 * scratch_teardown)`, then SCRATCH_FD is it, held open. */
#pragma once

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Scratch {
    char path[64];
    int fd;
} Scratch;

#define SCRATCH_FD (((const Scratch *)*state)->fd)
#define SCRATCH_PATH (((const Scratch *)*state)->path)

_unused_ static int scratch_setup(void **state)
{
    Scratch *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    (void)strcpy(s->path, "/tmp/slipway-test-XXXXXX");
    assert_non_null(mkdtemp(s->path));
    s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(s->fd >= 0);
    *state = s;
    return 0;
}

_unused_ static int scratch_teardown(void **state)
{
    Scratch *s = *state;
    int r = file_remove_tree(AT_FDCWD, s->path, NULL);

    (void)fd_close(s->fd);
    free(s);
    *state = NULL;
    return r;
}

#define scratch_test(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

/* A file with this text, its directories made. */
_unused_ static void scratch_write(int root_fd, const char *name, const void *data, size_t n,
                                   mode_t mode)
{
    char path[4096];
    int fd;

    (void)snprintf(path, sizeof(path), "%s", name);
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdirat(root_fd, path, 0755);
        *slash = '/';
    }
    fd = openat(root_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, data, n), 0);
    assert_int_equal(fchmod(fd, mode), 0);
    (void)fd_close(fd);
}

_unused_ static void scratch_write_text(int root_fd, const char *name, const char *text)
{
    scratch_write(root_fd, name, text, strlen(text), 0644);
}

/* The content of a file; the caller frees it. */
_unused_ static char *scratch_read(int root_fd, const char *name, size_t *ret_len)
{
    _cleanup_buffer_ Buffer b = {.limit = (size_t)1 << 30};
    _cleanup_error_ Error err = {0};

    if (file_read(root_fd, name, &b, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    if (ret_len) {
        *ret_len = b.len;
    }
    return buffer_take_text(&b);
}

_unused_ static void scratch_expect_text(int root_fd, const char *name, const char *expected)
{
    _cleanup_free_ char *text = scratch_read(root_fd, name, NULL);

    assert_string_equal(text, expected);
}

/* How many names are in a directory. */
_unused_ static size_t scratch_count(int root_fd, const char *name)
{
    DIR *dir = fdopendir(openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    (void)closedir(dir);
    return n - 2; /* . and .. */
}
