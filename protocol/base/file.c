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

/* Each level of a walk holds a descriptor and the 32 KiB of a DIR. Real trees are less deep; what
 * is deeper does not count for the size, and is removed in several goes. */
#define FILE_TREE_DEPTH_MAX 100

/* Reads on to the end of the file or the end of the buffer's room. */
static int read_to_end(int fd, off_t expected, Buffer *b)
{
    size_t limit = b->limit ? b->limit : BUFFER_LIMIT_DEFAULT;
    /* The one finds the end. Files of /proc call themselves empty, and some are there for one read
     * only. */
    size_t step = expected > 0 ? MIN((size_t)expected, FILE_READ_STEP) + 1 : FILE_READ_STEP;

    for (;;) {
        size_t room = MIN(step, limit - b->len);
        char past_limit;
        ssize_t got;
        int r;

        if (room == 0) { /* full, which is fine if the file ends here */
            got = fd_read_full(fd, &past_limit, 1);
            return got > 0 ? -ENOBUFS : (int)got;
        }
        r = buffer_reserve(b, room);
        if (r < 0) {
            return r;
        }
        got = fd_read_full(fd, b->data + b->len, room);
        if (got < 0) {
            return (int)got;
        }
        b->len += (size_t)got;
        b->data[b->len] = '\0';
        if ((size_t)got < room) {
            return 0;
        }
        step = FILE_READ_STEP;
    }
}

int file_read(int dir_fd, const char *name, Buffer *b, Error *err)
{
    _cleanup_fd_ int fd = -1;
    size_t start = b->len;
    struct stat st;
    int r;

    fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return error_set_errno(err, -errno, "cannot read '%s'", name);
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(err, -EINVAL, "cannot read '%s': not a regular file", name);
    }
    r = read_to_end(fd, st.st_size, b);
    if (r < 0) {
        buffer_truncate(b, start);
    }
    if (r == -ENOBUFS) {
        return error_set(err, r, "'%s' is larger than the %zu bytes allowed", name,
                         (b->limit ? b->limit : BUFFER_LIMIT_DEFAULT) - start);
    }
    return r < 0 ? error_set_errno(err, r, "cannot read '%s'", name) : 0;
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

/* A file that nobody has open and that has our mode, whatever an earlier try left behind. */
static int create_aside(int dir_fd, const char *aside, mode_t mode)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = openat(dir_fd, aside, flags, mode);

    if (fd < 0 && errno == EEXIST && unlinkat(dir_fd, aside, 0) == 0) {
        fd = openat(dir_fd, aside, flags, mode);
    }
    return fd < 0 ? -errno : fd;
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
    fd = create_aside(dir_fd, aside, mode);
    r = fd < 0 ? fd : fd_write_all(fd, data, n);
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
    struct stat st;

    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!*path) {
        return error_set(err, -ENOENT, "cannot make a directory without a name");
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
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return error_set(err, -ENOTDIR, "'%s' is not a directory", path);
    }
    return 0;
}

/* ---- trees ------------------------------------------------------------------------------------
 */

typedef struct TreeWalk {
    dev_t device;
    int64_t size;
    bool is_removing;
    int top_fd;      /* removing: the tree's own directory, -1 above it */
    unsigned lifted; /* removing: directories that were too deep and stand in the top now */
    int first_error;
} TreeWalk;

static void tree_fail(TreeWalk *walk, int code)
{
    walk->first_error = walk->first_error ? walk->first_error : code;
}

/* Gives us all rights on a directory of ours, so that it can be emptied. fchmodat() would follow a
 * symbolic link that took its place meanwhile; this does not. */
static bool make_usable(int dir_fd, const char *name)
{
    char path[sizeof("/proc/self/fd/") + 12];
    _cleanup_fd_ int fd = -1;

    fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return fd >= 0 && chmod(path, 0700) == 0;
}

static DIR *tree_open_dir(const TreeWalk *walk, int dir_fd, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    _cleanup_fd_ int fd = -1;
    DIR *dir;

    if (walk->is_removing && faccessat(dir_fd, name, R_OK | W_OK | X_OK, AT_EACCESS) < 0) {
        (void)make_usable(dir_fd, name);
    }
    fd = openat(dir_fd, name, flags);
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir) {
        (void)TAKE_FD(fd);
    }
    return dir;
}

/* A directory at the depth limit is moved up into the top of the tree and removed from there. */
static void tree_lift(TreeWalk *walk, int dir_fd, const char *name)
{
    char place[32];
    int r;

    do {
        (void)snprintf(place, sizeof(place), ".slipway-lifted-%u", walk->lifted++);
        r = renameat2(dir_fd, name, walk->top_fd, place, RENAME_NOREPLACE);
        if (r < 0 && errno == EACCES && make_usable(dir_fd, name)) {
            r = renameat2(dir_fd, name, walk->top_fd, place, RENAME_NOREPLACE);
        }
    } while (r < 0 && errno == EEXIST);
    if (r < 0) {
        tree_fail(walk, -errno);
    }
}

static void tree_visit(TreeWalk *walk, int dir_fd, const char *name, int depth);

static void tree_visit_children(TreeWalk *walk, int dir_fd, const char *name, int depth)
{
    DIR *dir = tree_open_dir(walk, dir_fd, name);
    struct dirent *entry;
    unsigned lifted;

    if (!dir) {
        return; /* removing: the attempt to remove the directory itself will say why */
    }
    if (depth == 0) {
        walk->top_fd = dirfd(dir);
    }
    do {
        lifted = walk->lifted;
        rewinddir(dir);
        while ((entry = readdir(dir))) {
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                tree_visit(walk, dirfd(dir), entry->d_name, depth + 1);
            }
        }
    } while (depth == 0 && walk->lifted > lifted && !walk->first_error);
    (void)closedir(dir);
}

static void tree_visit(TreeWalk *walk, int dir_fd, const char *name, int depth)
{
    bool is_dir;
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT) {
            tree_fail(walk, -errno);
        }
        return;
    }
    if (depth == 0) {
        walk->device = st.st_dev;
    }
    if (st.st_dev != walk->device) {
        tree_fail(walk, -EXDEV);
        return;
    }
    is_dir = S_ISDIR(st.st_mode);
    walk->size += (int64_t)st.st_blocks * 512;
    if (is_dir && depth < FILE_TREE_DEPTH_MAX) {
        tree_visit_children(walk, dir_fd, name, depth);
    } else if (is_dir && walk->is_removing) {
        tree_lift(walk, dir_fd, name);
        return;
    }
    if (walk->is_removing && unlinkat(dir_fd, name, is_dir ? AT_REMOVEDIR : 0) < 0 &&
        errno != ENOENT) {
        tree_fail(walk, -errno);
    }
}

int file_remove_tree(int dir_fd, const char *name, Error *err)
{
    TreeWalk walk = {.is_removing = true, .top_fd = -1};

    tree_visit(&walk, dir_fd, name, 0);
    if (walk.first_error) {
        return error_set_errno(err, walk.first_error, "cannot remove '%s'", name);
    }
    return 0;
}

int64_t file_tree_size(int dir_fd, const char *name)
{
    TreeWalk walk = {.top_fd = -1};

    tree_visit(&walk, dir_fd, name, 0);
    return walk.size;
}

bool file_exists(int dir_fd, const char *name)
{
    return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
