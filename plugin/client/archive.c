/* SPDX-License-Identifier: MIT */
/* The archives of the artifact room, for programs that know only the public header. */
#include "plugin/include/slipway.h"

#include "protocol/artifact/archive.h"
#include "protocol/artifact/file-list.h"
#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int unpack(const char *path, const char *directory, Error *err)
{
    _cleanup_free_ char *parent_text = strdup(directory), *name_text = strdup(directory);
    _cleanup_fd_ int in = open(path, O_RDONLY | O_CLOEXEC), parent = -1;
    const char *parent_name;
    int r;

    if (in < 0) {
        return error_set_errno(err, -errno, "'%s'", path);
    }
    if (!parent_text || !name_text) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    parent_name = dirname(parent_text);
    parent = open(parent_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        return error_set_errno(err, -errno, "'%s'", parent_name);
    }
    r = archive_unpack(in, parent, basename(name_text), &(ArchiveLimits){0}, NULL, NULL, err);
    return r < 0 ? error_wrap(err, "unpacking '%s' into '%s'", path, directory) : 0;
}

_public_ int slipway_archive_unpack(const char *path, const char *directory, char **ret_error)
{
    _cleanup_error_ Error err = {0};

    return error_tell(&err, unpack(path, directory, &err), ret_error);
}

static int pack(const char *directory, const char *path, Error *err)
{
    static const char *const everything[] = {"**"};
    _cleanup_fd_ int root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), out = -1;
    _cleanup_(file_list_done) FileList list = {0};
    ArchiveSummary summary;
    int r;

    if (root < 0) {
        return error_set_errno(err, -errno, "'%s'", directory);
    }
    r = file_list_match(root, everything, 1, &list, err);
    if (r == -ENOENT) {
        return error_set(err, r, "'%s' is empty", directory);
    }
    if (r < 0) {
        return error_wrap(err, "'%s'", directory);
    }
    out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0) {
        return error_set_errno(err, -errno, "'%s'", path);
    }
    r = archive_pack(root, list.names, list.count, -1, out, NULL, NULL, &summary, err);
    if (r < 0) {
        (void)unlink(path);
        return error_wrap(err, "packing '%s'", directory);
    }
    return 0;
}

_public_ int slipway_archive_pack(const char *directory, const char *path, char **ret_error)
{
    _cleanup_error_ Error err = {0};

    return error_tell(&err, pack(directory, path, &err), ret_error);
}
