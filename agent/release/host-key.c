/* SPDX-License-Identifier: MIT */
#include "agent/release/host-key.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_KEY_FILE HOST_KEY_FILE ".new"

static int open_directory(const char *path, int *ret, Error *err)
{
    int r = file_make_dirs(path, 0700, err);

    if (r < 0) {
        return r;
    }
    *ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret < 0) {
        return error_set_errno(err, -errno, "cannot open '%s'", path);
    }
    /* One at a time: who comes second finds the key of the first. */
    return flock(*ret, LOCK_EX) < 0 ? error_set_errno(err, -errno, "cannot lock '%s'", path) : 0;
}

static int write_public(int dir_fd, const Key *key, Error *err)
{
    _cleanup_buffer_ Buffer pem = {0};
    int r = key_format_public(key, &pem, err);

    return r < 0 ? r : file_replace(dir_fd, HOST_KEY_PUBLIC_FILE, pem.data, pem.len, 0644, err);
}

/* The public file first: whoever sees the key also finds what belongs to it. */
static int make_key(int dir_fd, Key **ret, Error *err)
{
    _cleanup_(key_freep) Key *key = NULL;
    int r = key_generate(&key, err);

    (void)unlinkat(dir_fd, NEW_KEY_FILE, 0); /* of one that was interrupted */
    r = r < 0 ? r : key_write_private(key, dir_fd, NEW_KEY_FILE, err);
    r = r < 0 ? r : write_public(dir_fd, key, err);
    if (r < 0) {
        return r;
    }
    if (renameat(dir_fd, NEW_KEY_FILE, dir_fd, HOST_KEY_FILE) < 0 || fsync(dir_fd) < 0) {
        return error_set_errno(err, -errno, "cannot write '" HOST_KEY_FILE "'");
    }
    *ret = TAKE_PTR(key);
    return 0;
}

/* Somebody may have tidied up the public file: it follows from the key. */
static int read_key(int dir_fd, Key **ret, Error *err)
{
    _cleanup_(key_freep) Key *key = NULL;
    int r = key_read_private(dir_fd, HOST_KEY_FILE, &key, err);

    if (r == 0 && !file_exists(dir_fd, HOST_KEY_PUBLIC_FILE)) {
        r = write_public(dir_fd, key, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(key);
    return 0;
}

int host_key_open(const char *directory, Key **ret, Error *err)
{
    _cleanup_fd_ int dir_fd = -1;
    int r = open_directory(directory, &dir_fd, err);

    if (r == 0) {
        r = file_exists(dir_fd, HOST_KEY_FILE) ? read_key(dir_fd, ret, err)
                                               : make_key(dir_fd, ret, err);
    }
    return r < 0 ? error_wrap(err, "the key of this host, in '%s'", directory) : 0;
}

int host_key_trust(const char *directory, const char *agent, const Json *keys, Trust *ret,
                   Error *err)
{
    Key *key = NULL;
    int r = trust_add(ret, keys, err);

    if (r < 0 || !directory) {
        return r;
    }
    r = host_key_open(directory, &key, err);
    return r < 0 ? r : trust_add_key_take(ret, agent, key, HOST_KEY_ROLES, err);
}
