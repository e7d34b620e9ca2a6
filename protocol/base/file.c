/* SPDX-License-Identifier: MIT */
#include "protocol/base/file.h"

#include "protocol/base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_READ_STEP ((size_t)64 << 10)

/* Deeper than any real tree (PATH_MAX / 2), and each level holds one descriptor and little stack.
 */
#define FILE_TREE_DEPTH_MAX 512

int file_read(int dir_fd, const char *name, Buffer *b, Error *err)
{
    _cleanup_fd_ int fd = -1;
    struct stat st;
    int r;

    fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return error_set_errno(err, -errno, "cannot read '%s'", name);
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(err, -EINVAL, "cannot read '%s': not a regular file", name);
    }
    for (;;) {
        ssize_t got;

        r = buffer_reserve(b, FILE_READ_STEP);
        if (r == -ENOBUFS) { /* near the limit: what is left may still be enough */
            size_t left = (b->limit ? b->limit : BUFFER_LIMIT_DEFAULT) - b->len;

            if ((off_t)left < st.st_size - (off_t)b->len) {
                return error_set(err, r, "'%s' is larger than the %zu bytes allowed", name,
                                 b->limit);
            }
            r = buffer_reserve(b, left);
        }
        if (r < 0) {
            return error_set_errno(err, r, "cannot read '%s'", name);
        }
        got = fd_read_full(fd, b->data + b->len, MIN(FILE_READ_STEP, b->allocated - b->len - 1));
        if (got < 0) {
            return error_set_errno(err, (int)got, "cannot read '%s'", name);
        }
        b->len += (size_t)got;
        b->data[b->len] = '\0';
        if (got == 0) {
            return 0;
        }
    }
}

int file_sync_dir(int dir_fd)
{
    _cleanup_fd_ int fd = -1;

    if (dir_fd == AT_FDCWD) {
        dir_fd = fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            return -errno;
        }
    }
    return fsync(dir_fd) < 0 ? -errno : 0;
}

static int sync_parent(int dir_fd, const char *name)
{
    _cleanup_free_ char *parent = NULL;
    _cleanup_fd_ int fd = -1;
    const char *slash = strrchr(name, '/');

    if (!slash) {
        return file_sync_dir(dir_fd);
    }
    parent = strndup(name, (size_t)(slash - name) + 1);
    if (!parent) {
        return -ENOMEM;
    }
    fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : file_sync_dir(fd);
}

int file_replace(int dir_fd, const char *name, const void *data, size_t n, mode_t mode, Error *err)
{
    _cleanup_free_ char *aside = NULL;
    _cleanup_fd_ int fd = -1;
    int r;

    if (asprintf(&aside, "%s.tmp", name) < 0) {
        aside = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    fd = openat(dir_fd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    r = fd < 0 ? -errno : fd_write_all(fd, data, n);
    if (r == 0 && (fsync(fd) < 0 || renameat(dir_fd, aside, dir_fd, name) < 0)) {
        r = -errno;
    }
    if (r == 0) {
        r = sync_parent(dir_fd, name);
    }
    if (r < 0) {
        if (fd >= 0) {
            (void)unlinkat(dir_fd, aside, 0);
        }
        return error_set_errno(err, r, "cannot write '%s'", name);
    }
    return 0;
}

int file_make_dirs(const char *path, mode_t mode, Error *err)
{
    _cleanup_free_ char *copy = strdup(path);

    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (char *p = copy + 1;; p++) {
        if (*p == '/' || *p == '\0') {
            char saved = *p;

            *p = '\0';
            if (mkdir(copy, mode) < 0 && errno != EEXIST) {
                return error_set_errno(err, -errno, "cannot make directory '%s'", copy);
            }
            *p = saved;
            if (saved == '\0') {
                break;
            }
        }
    }
    {
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
            return error_set(err, -ENOTDIR, "'%s' is not a directory", path);
        }
    }
    return 0;
}

typedef struct TreeWalk {
    dev_t device;
    int64_t size;
    bool is_removing;
    int first_error;
} TreeWalk;

static void tree_visit(TreeWalk *walk, int dir_fd, const char *name, int depth);

static void tree_visit_children(TreeWalk *walk, int dir_fd, const char *name, int depth)
{
    struct dirent *entry;
    DIR *dir;
    int fd;

    fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && walk->is_removing && fchmodat(dir_fd, name, 0700, 0) == 0) {
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        (void)fd_close(fd);
        return;
    }
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            tree_visit(walk, dirfd(dir), entry->d_name, depth + 1);
        }
    }
    (void)closedir(dir);
}

static void tree_visit(TreeWalk *walk, int dir_fd, const char *name, int depth)
{
    struct stat st;
    int r;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return;
    }
    if (depth == 0) {
        walk->device = st.st_dev;
    }
    if (st.st_dev != walk->device || depth > FILE_TREE_DEPTH_MAX) {
        walk->first_error = walk->first_error ? walk->first_error : -EXDEV;
        return;
    }
    walk->size += (int64_t)st.st_blocks * 512;
    if (S_ISDIR(st.st_mode)) {
        tree_visit_children(walk, dir_fd, name, depth);
    }
    if (!walk->is_removing) {
        return;
    }
    r = unlinkat(dir_fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
    if (r < 0 && errno == EACCES && fchmod(dir_fd, 0700) == 0) { /* it is ours, so give it */
        r = unlinkat(dir_fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
    }
    if (r < 0 && errno != ENOENT && !walk->first_error) {
        walk->first_error = -errno;
    }
}

int file_remove_tree(int dir_fd, const char *name, Error *err)
{
    TreeWalk walk = {.is_removing = true};

    tree_visit(&walk, dir_fd, name, 0);
    if (walk.first_error) {
        return error_set_errno(err, walk.first_error, "cannot remove '%s'", name);
    }
    return 0;
}

int64_t file_tree_size(int dir_fd, const char *name)
{
    TreeWalk walk = {0};

    tree_visit(&walk, dir_fd, name, 0);
    return walk.size;
}

bool file_exists(int dir_fd, const char *name)
{
    return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
