/* SPDX-License-Identifier: MIT */
#include "agent/package/oci-layer.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHITEOUT ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* What archive_unpack lets through is no deeper. */
#define LAYER_DEPTH_MAX 256

static int merge_directory(int layer_fd, int root_fd, unsigned depth, Error *err);

typedef int (*EntryFunction)(int layer_fd, int root_fd, const char *name, unsigned depth,
                             Error *err);

/* Calls `function` for every entry of `layer_fd`, which may take it away. */
static int for_each_entry(int layer_fd, int root_fd, EntryFunction function, unsigned depth,
                          Error *err)
{
    int fd = openat(layer_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (!dir) {
        r = -errno;
        (void)fd_close(fd);
        return error_set_errno(err, r, "cannot read a directory");
    }
    while (r == 0 && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            r = function(layer_fd, root_fd, entry->d_name, depth, err);
        }
    }
    (void)closedir(dir);
    return r;
}

static int remove_from_root(int layer_fd, int root_fd, const char *name, unsigned depth, Error *err)
{
    return file_remove_tree(root_fd, name, err);
}

/* Whiteouts speak of the layers below, so they come before anything of this layer is added. */
static int apply_whiteout(int layer_fd, int root_fd, const char *name, unsigned depth, Error *err)
{
    const char *gone;
    int r;

    if (!text_has_prefix(name, WHITEOUT)) {
        return 0;
    }
    gone = name + strlen(WHITEOUT);
    if (strcmp(name, WHITEOUT_OPAQUE) == 0) {
        r = for_each_entry(root_fd, root_fd, remove_from_root, depth, err);
    } else if (!*gone || strcmp(gone, ".") == 0 || strcmp(gone, "..") == 0) {
        return error_set(err, -EBADMSG, "the whiteout '%s' names nothing that can be removed",
                         name);
    } else {
        r = file_remove_tree(root_fd, gone, err);
    }
    if (r == 0 && unlinkat(layer_fd, name, 0) < 0) {
        r = error_set_errno(err, -errno, "whiteout '%s'", name);
    }
    return r;
}

/* A directory of the layer meets what is there: it joins a directory, it replaces anything else.
 * Both are ours to write to while we move, whatever their modes will be. */
static int open_joined(int root_fd, const char *name, int *ret_fd, Error *err)
{
    _cleanup_fd_ int fd = -1;
    struct stat st;
    int r = 0;

    if (fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
        r = file_remove_tree(root_fd, name, err);
    }
    if (r < 0) {
        return r;
    }
    if (mkdirat(root_fd, name, 0700) < 0 &&
        (errno != EEXIST || fchmodat(root_fd, name, 0700, 0) < 0)) {
        return error_set_errno(err, -errno, "cannot make directory '%s'", name);
    }
    fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot open directory '%s'", name);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int move_directory(int layer_fd, int root_fd, const char *name, mode_t mode, unsigned depth,
                          Error *err)
{
    _cleanup_fd_ int from_fd = -1, to_fd = -1;
    int r;

    if (depth >= LAYER_DEPTH_MAX) {
        return error_set(err, -EBADMSG, "'%s' lies deeper than %d directories", name,
                         LAYER_DEPTH_MAX);
    }
    if (fchmodat(layer_fd, name, 0700, 0) < 0) {
        return error_set_errno(err, -errno, "cannot open directory '%s'", name);
    }
    from_fd = openat(layer_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from_fd < 0) {
        return error_set_errno(err, -errno, "cannot open directory '%s'", name);
    }
    r = open_joined(root_fd, name, &to_fd, err);
    r = r == 0 ? merge_directory(from_fd, to_fd, depth + 1, err) : r;
    if (r < 0) {
        return error_wrap(err, "%s", name);
    }
    if (fchmod(to_fd, mode & 0777) < 0 || unlinkat(layer_fd, name, AT_REMOVEDIR) < 0) {
        return error_set_errno(err, -errno, "directory '%s'", name);
    }
    return 0;
}

static int move_entry(int layer_fd, int root_fd, const char *name, unsigned depth, Error *err)
{
    struct stat st;
    int r;

    if (fstatat(layer_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return error_set_errno(err, -errno, "'%s'", name);
    }
    if (S_ISDIR(st.st_mode)) {
        return move_directory(layer_fd, root_fd, name, st.st_mode, depth, err);
    }
    r = file_remove_tree(root_fd, name, err);
    if (r == 0 && renameat(layer_fd, name, root_fd, name) < 0) {
        r = error_set_errno(err, -errno, "cannot move '%s'", name);
    }
    return r;
}

static int merge_directory(int layer_fd, int root_fd, unsigned depth, Error *err)
{
    int r = for_each_entry(layer_fd, root_fd, apply_whiteout, depth, err);

    return r == 0 ? for_each_entry(layer_fd, root_fd, move_entry, depth, err) : r;
}

int oci_layer_merge(int parent_fd, const char *layer, const char *root, Error *err)
{
    _cleanup_fd_ int layer_fd = -1, root_fd = -1;
    int r;

    layer_fd = openat(parent_fd, layer, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    root_fd = openat(parent_fd, root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (layer_fd < 0 || root_fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s'", layer_fd < 0 ? layer : root);
    }
    r = merge_directory(layer_fd, root_fd, 0, err);
    if (r == 0 && unlinkat(parent_fd, layer, AT_REMOVEDIR) < 0) {
        r = error_set_errno(err, -errno, "cannot remove '%s'", layer);
    }
    return r;
}
