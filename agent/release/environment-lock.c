/* SPDX-License-Identifier: MIT */
#include "agent/release/environment-lock.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define HOLDER_MAX ((size_t)16 << 10)

/* Who holds it may be about to write who it is, or may never have come to it: then only that is
 * said. */
static int say_who(int fd, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(HOLDER_MAX);
    _cleanup_json_ Json *holder = NULL;
    const char *call, *action, *since;
    ssize_t n = -1;

    if (buffer_reserve(&text, HOLDER_MAX) == 0) {
        n = fd_pread_full(fd, text.data, HOLDER_MAX, 0);
    }
    if (n > 0 && json_parse(text.data, (size_t)n, &holder, NULL) < 0) {
        holder = NULL;
    }
    call = json_get_string(holder, "call");
    action = json_get_string(holder, "action");
    since = json_get_string(holder, "since");
    if (!call) {
        (void)error_set(err, -EBUSY, "another call is changing this environment");
    } else {
        (void)error_set(err, -EBUSY,
                        "call %s (%s, process %lld) has been changing this environment since %s",
                        call, action ? action : "?", (long long)json_get_int(holder, "pid", 0),
                        since ? since : "?");
    }
    return ENVIRONMENT_LOCK_HELD;
}

static int write_holder(int fd, const Json *holder)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(HOLDER_MAX);
    int r = json_format(holder, &text);

    r = r < 0 ? r : buffer_append_text(&text, "\n");
    if (r == 0 && (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
        r = -errno;
    }
    return r < 0 ? r : fd_write_all(fd, text.data, text.len);
}

int environment_lock_take(int dir_fd, const Json *holder, EnvironmentLock *ret, Error *err)
{
    _cleanup_fd_ int fd =
        openat(dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r;

    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot open the environment's lock");
    }
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK) {
            return say_who(fd, err);
        }
        if (errno != EINTR) {
            return error_set_errno(err, -errno, "cannot lock the environment");
        }
    }
    r = write_holder(fd, holder);
    if (r < 0) {
        return error_set_errno(err, r, "cannot write who locks the environment");
    }
    ret->fd = TAKE_FD(fd);
    return 0;
}

void environment_lock_release(EnvironmentLock *lock)
{
    if (lock->fd >= 0) {
        /* Who it was is left in the file: it says who was last, and only a held lock is read. */
        lock->fd = fd_close(lock->fd);
    }
}
