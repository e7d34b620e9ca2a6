/* SPDX-License-Identifier: MIT */
#include "tests/unit/shim/call-dir.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TIME_MEMBER "\"time\":"

char call_dir_path[64];
int call_dir_fd = -1;

int call_dir_make(void **state)
{
    (void)snprintf(call_dir_path, sizeof(call_dir_path), "/tmp/slipway-test-shim-XXXXXX");
    if (!mkdtemp(call_dir_path)) {
        return -1;
    }
    call_dir_fd = open(call_dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return call_dir_fd < 0 ? -1 : 0;
}

int call_dir_remove(void **state)
{
    call_dir_fd = fd_close(call_dir_fd);
    return file_remove_tree(AT_FDCWD, call_dir_path, NULL);
}

char *call_dir_read(const char *name)
{
    _cleanup_buffer_ Buffer b = {0};

    assert_int_equal(file_read(call_dir_fd, name, &b, NULL), 0);
    return buffer_take_text(&b);
}

void call_dir_write(const char *name, const char *text)
{
    _cleanup_fd_ int fd = openat(call_dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

char *call_dir_fix_times(char *text)
{
    int64_t now = clock_wall_us();

    for (char *p = strstr(text, TIME_MEMBER); p; p = strstr(p, TIME_MEMBER)) {
        char *end;
        long long time = strtoll(p + strlen(TIME_MEMBER), &end, 10);

        assert_true(time <= now && time > now - 60 * 1000 * 1000);
        p += strlen(TIME_MEMBER);
        *p++ = 'T';
        memmove(p, end, strlen(end) + 1);
    }
    return text;
}
