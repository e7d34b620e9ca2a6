/* SPDX-License-Identifier: MIT */
/* A directory of this host, or one that is mounted here: a web server's document root. */
#include "agent/package/repository/publish-backend.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE ".slipway-lock"
#define DIRECTORY_MODE 0755
#define FILE_MODE 0644

/* What sendfile takes at once. */
#define COPY_MAX ((size_t)64 << 20)

typedef struct Directory {
    PublishTarget target;
    int fd;
    int lock_fd; /* -1: not held */
} Directory;

static int make_parents(int dir_fd, const char *name, Error *err)
{
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        _cleanup_free_ char *parent = strndup(name, (size_t)(slash - name));

        if (!parent) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        if (mkdirat(dir_fd, parent, DIRECTORY_MODE) < 0 && errno != EEXIST) {
            return error_set_errno(err, -errno, "cannot make '%s'", parent);
        }
    }
    return 0;
}

static int read_file(PublishTarget *target, const char *name, Buffer *ret, Error *err)
{
    Directory *d = (Directory *)target;

    int r;

    if (!file_exists(d->fd, name)) {
        return 0;
    }
    r = file_read(d->fd, name, ret, err);
    return r < 0 ? r : 1;
}

static int put(PublishTarget *target, const char *name, const void *data, size_t n, Error *err)
{
    Directory *d = (Directory *)target;
    int r = make_parents(d->fd, name, err);

    return r == 0 ? file_replace(d->fd, name, data, n, FILE_MODE, err) : r;
}

static int copy(int from_fd, int to_fd, int64_t size_bytes)
{
    off_t offset = 0;

    while (offset < size_bytes) {
        ssize_t n = sendfile(to_fd, from_fd, &offset, MIN(COPY_MAX, (size_t)(size_bytes - offset)));

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0) { /* shorter than it was said to be */
            return -EIO;
        }
    }
    return fsync(to_fd) < 0 ? -errno : 0;
}

static int sync_parent(int dir_fd, const char *name)
{
    const char *slash = strrchr(name, '/');
    _cleanup_free_ char *parent = slash ? strndup(name, (size_t)(slash - name)) : strdup(".");
    _cleanup_fd_ int fd = parent ? openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (!parent) {
        return -ENOMEM;
    }
    return fd < 0 ? -errno : file_sync_dir(fd);
}

static int put_file(PublishTarget *target, const char *name, int fd, int64_t size_bytes, Error *err)
{
    Directory *d = (Directory *)target;
    _cleanup_free_ char *aside = NULL;
    _cleanup_fd_ int out_fd = -1;
    int r = make_parents(d->fd, name, err);

    if (r < 0) {
        return r;
    }
    if (asprintf(&aside, "%s.tmp", name) < 0) {
        aside = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    out_fd = openat(d->fd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (out_fd < 0) {
        return error_set_errno(err, -errno, "cannot write it");
    }
    r = copy(fd, out_fd, size_bytes);
    if (r == 0 && renameat(d->fd, aside, d->fd, name) < 0) {
        r = -errno;
    }
    r = r == 0 ? sync_parent(d->fd, name) : r;
    if (r < 0) {
        (void)unlinkat(d->fd, aside, 0);
        return error_set_errno(err, r, "cannot write it");
    }
    return 0;
}

static int remove_file(PublishTarget *target, const char *name, Error *err)
{
    Directory *d = (Directory *)target;

    if (unlinkat(d->fd, name, 0) < 0 && errno != ENOENT) {
        return error_set_errno(err, -errno, "cannot remove it");
    }
    return 0;
}

/* ---- lock -------------------------------------------------------------------------------------
 */

static int tell_holder(Directory *d, int fd, Error *err)
{
    char text[PUBLISH_HOLDER_MAX + 1];
    ssize_t n = fd_pread_full(fd, text, sizeof(text) - 1, 0);

    text[MAX(n, 0)] = '\0';
    return publish_lock_tell(text, d->target.address, err);
}

/* An flock: the kernel lets go of it with its owner, so there is no stale one to break; the file's
 * content only says who that is. */
static int take_lock(PublishTarget *target, const char *holder, Error *err)
{
    Directory *d = (Directory *)target;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(PUBLISH_HOLDER_MAX);
    _cleanup_fd_ int fd =
        openat(d->fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    int r;

    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot open '" LOCK_FILE "'");
    }
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK) {
            return tell_holder(d, fd, err);
        }
        if (errno != EINTR) {
            return error_set_errno(err, -errno, "cannot lock '" LOCK_FILE "'");
        }
    }
    r = publish_lock_format(holder, clock_wall_us(), &text);
    if (r == 0 && ftruncate(fd, 0) < 0) {
        r = -errno;
    }
    r = r == 0 ? fd_write_all(fd, text.data, text.len) : r;
    if (r < 0) {
        return error_set_errno(err, r, "cannot write who publishes");
    }
    d->lock_fd = TAKE_FD(fd);
    return 0;
}

static void close_directory(PublishTarget *target)
{
    Directory *d = (Directory *)target;

    (void)fd_close(d->lock_fd);
    (void)fd_close(d->fd);
    free(d);
}

static const PublishBackend backend = {
    .read = read_file,
    .put = put,
    .put_file = put_file,
    .remove = remove_file,
    .take_lock = take_lock,
    .close = close_directory,
};

int publish_directory_open(const char *address, const PublishAccess *access, PublishTarget **ret,
                           Error *err)
{
    Directory *d;
    int r = file_make_dirs(address, DIRECTORY_MODE, err);

    if (r < 0) {
        return r;
    }
    d = calloc(1, sizeof(*d));
    if (!d) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *d = (Directory){.target = {.backend = &backend}, .lock_fd = -1};
    d->fd = open(address, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0) {
        r = error_set_errno(err, -errno, "cannot open '%s'", address);
        close_directory(&d->target);
        return r;
    }
    *ret = &d->target;
    return 0;
}
