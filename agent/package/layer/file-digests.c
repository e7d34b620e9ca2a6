/* SPDX-License-Identifier: MIT */
/* The file: a line that names the version, then for each path, in their order,
 * "HEX SIZE MTIME CTIME INODE DEVICE PATH" and a NUL; times in nanoseconds. */
#include "agent/package/layer/file-digests.h"

#include "protocol/base/buffer.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VERSION_LINE "slipway file digests 1\n"
#define FILE_BYTES_MAX ((size_t)256 << 20)

/* What tells that a file was not changed. */
typedef struct Stamp {
    int64_t size, mtime_ns, ctime_ns;
    uint64_t inode, device;
} Stamp;

typedef struct Known {
    const char *path; /* in the text, or owned */
    char hex[DIGEST_HEX_SIZE];
    Stamp stamp;
} Known;

typedef struct KnownList {
    Known *items;
    size_t count, allocated;
} KnownList;

struct FileDigests {
    int dir_fd;
    char *name, *aside;
    int aside_fd;
    Stamp opened; /* of the file that was made when this began: the file system's clock */
    Buffer text;  /* what was remembered; `before` points into it */
    KnownList before, now;
};

static Stamp stamp_of(const struct stat *st)
{
    return (Stamp){.size = st->st_size,
                   .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
                   .ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
                   .inode = st->st_ino,
                   .device = st->st_dev};
}

static bool is_same(const Stamp *a, const Stamp *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
           a->inode == b->inode && a->device == b->device;
}

static int add_known(KnownList *list, const Known *known)
{
    if (list->count == list->allocated) {
        size_t allocated = MAX((size_t)256, list->allocated * 2);
        Known *items = reallocarray(list->items, allocated, sizeof(*items));

        if (!items) {
            return -ENOMEM;
        }
        list->items = items;
        list->allocated = allocated;
    }
    list->items[list->count++] = *known;
    return 0;
}

FileDigests *file_digests_free(FileDigests *digests)
{
    if (digests) {
        if (digests->aside_fd >= 0) {
            (void)unlinkat(digests->dir_fd, digests->aside, 0);
        }
        (void)fd_close(digests->aside_fd);
        for (size_t i = 0; i < digests->now.count; i++) {
            free((char *)digests->now.items[i].path);
        }
        free(digests->now.items);
        free(digests->before.items);
        buffer_done(&digests->text);
        free(digests->aside);
        free(digests->name);
        free(digests);
    }
    return NULL;
}

/* ---- what was remembered ----------------------------------------------------------------------
 */

static bool is_hex(const char *text)
{
    return strspn(text, "0123456789abcdef") == DIGEST_HEX_SIZE - 1;
}

/* One record, NUL-terminated. */
static bool parse_known(const char *text, Known *ret)
{
    Known known;
    int n = -1;

    if (!is_hex(text)) {
        return false;
    }
    memcpy(known.hex, text, DIGEST_HEX_SIZE - 1);
    known.hex[DIGEST_HEX_SIZE - 1] = '\0';
    if (sscanf(text + DIGEST_HEX_SIZE - 1,
               " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNu64 " %" SCNu64 "%n", &known.stamp.size,
               &known.stamp.mtime_ns, &known.stamp.ctime_ns, &known.stamp.inode,
               &known.stamp.device, &n) != 5 ||
        n < 0 || text[DIGEST_HEX_SIZE - 1 + n] != ' ') {
        return false;
    }
    known.path = text + DIGEST_HEX_SIZE + n;
    *ret = known;
    return *known.path != '\0';
}

/* In order, so that they can be searched; 0 also for a text that is none. */
static int parse(FileDigests *digests)
{
    const char *text = buffer_text(&digests->text), *end = text + digests->text.len;
    const char *last = "";
    int r = 0;

    if (strncmp(text, VERSION_LINE, strlen(VERSION_LINE)) != 0 || end[-1] != '\0') {
        return 0;
    }
    for (const char *p = text + strlen(VERSION_LINE); r == 0 && p < end; p += strlen(p) + 1) {
        Known known;

        if (!parse_known(p, &known) || strcmp(last, known.path) >= 0) {
            digests->before.count = 0; /* damaged: nothing in it is worth believing */
            return 0;
        }
        last = known.path;
        r = add_known(&digests->before, &known);
    }
    return r;
}

static int open_aside(FileDigests *digests, Error *err)
{
    struct stat st;

    if (unlinkat(digests->dir_fd, digests->aside, 0) < 0 && errno != ENOENT) {
        return error_set_errno(err, -errno, "cannot remove '%s'", digests->aside);
    }
    digests->aside_fd =
        openat(digests->dir_fd, digests->aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (digests->aside_fd < 0 || fstat(digests->aside_fd, &st) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s'", digests->aside);
    }
    digests->opened = stamp_of(&st);
    return 0;
}

int file_digests_open(int dir_fd, const char *name, FileDigests **ret, Error *err)
{
    _cleanup_(file_digests_freep) FileDigests *digests = calloc(1, sizeof(*digests));
    int r;

    if (!digests) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    digests->dir_fd = dir_fd;
    digests->aside_fd = -1;
    digests->text.limit = FILE_BYTES_MAX;
    digests->name = strdup(name);
    /* A name of its own: two calls of one run may not stand in each other's way. */
    if (!digests->name || asprintf(&digests->aside, "%s.%d.tmp", name, (int)getpid()) < 0) {
        digests->aside = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = open_aside(digests, err);
    if (r < 0) {
        return r;
    }
    if (file_read(dir_fd, name, &digests->text, NULL) == 0 && digests->text.len > 0) {
        r = parse(digests);
    }
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    *ret = TAKE_PTR(digests);
    return 0;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static int compare_known(const void *a, const void *b)
{
    return strcmp(((const Known *)a)->path, ((const Known *)b)->path);
}

static bool find_before(const FileDigests *digests, Known *known)
{
    const Known *found = digests->before.count == 0
                             ? NULL
                             : bsearch(known, digests->before.items, digests->before.count,
                                       sizeof(*known), compare_known);

    if (!found || !is_same(&found->stamp, &known->stamp)) {
        return false;
    }
    memcpy(known->hex, found->hex, sizeof(known->hex));
    return true;
}

static int read_digest(int root_fd, Known *known, Error *err)
{
    _cleanup_fd_ int fd =
        openat(root_fd, known->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    Stamp stamp;
    int r;

    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot read it");
    }
    r = digest_fd(fd, known->hex, NULL, err);
    if (r == 0 && fstat(fd, &st) < 0) {
        r = error_set_errno(err, -errno, "cannot read it");
    }
    if (r < 0) {
        return r;
    }
    stamp = stamp_of(&st);
    return is_same(&stamp, &known->stamp) ? 0
                                          : error_set(err, -EAGAIN, "changed while it was packed");
}

/* Whether a change after it was read would show. */
static bool is_settled(const FileDigests *digests, const Stamp *stamp)
{
    return stamp->device == digests->opened.device && stamp->mtime_ns < digests->opened.mtime_ns &&
           stamp->ctime_ns < digests->opened.mtime_ns;
}

int file_digests_get(FileDigests *digests, int root_fd, const char *path, const struct stat *st,
                     char ret_hex[static DIGEST_HEX_SIZE], Error *err)
{
    Known known = {.path = path, .stamp = stamp_of(st)};
    int r = find_before(digests, &known) ? 0 : read_digest(root_fd, &known, err);

    if (r < 0) {
        return error_wrap(err, "'%s'", path);
    }
    memcpy(ret_hex, known.hex, sizeof(known.hex));
    if (!is_settled(digests, &known.stamp)) {
        return 0;
    }
    known.path = strdup(path);
    if (!known.path || add_known(&digests->now, &known) < 0) {
        free((char *)known.path);
        return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

/* ---- remembering ------------------------------------------------------------------------------
 */

static int format_known(const KnownList *list, Buffer *text)
{
    int r = buffer_append_text(text, VERSION_LINE);

    for (size_t i = 0; r == 0 && i < list->count; i++) {
        const Known *known = &list->items[i];

        if (i > 0 && strcmp(list->items[i - 1].path, known->path) == 0) {
            continue; /* in two layers, for two platforms */
        }
        r = buffer_append_format(
            text, "%s %" PRId64 " %" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %s", known->hex,
            known->stamp.size, known->stamp.mtime_ns, known->stamp.ctime_ns, known->stamp.inode,
            known->stamp.device, known->path);
        r = r == 0 ? buffer_append(text, "", 1) : r;
    }
    return r;
}

int file_digests_save(FileDigests *digests, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(FILE_BYTES_MAX);
    int r;

    if (digests->now.count > 0) {
        qsort(digests->now.items, digests->now.count, sizeof(Known), compare_known);
    }
    r = format_known(&digests->now, &text);
    r = r == 0 ? fd_write_all(digests->aside_fd, text.data, text.len) : r;
    if (r == 0 && renameat(digests->dir_fd, digests->aside, digests->dir_fd, digests->name) < 0) {
        r = -errno;
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot write '%s'", digests->name);
    }
    digests->aside_fd = fd_close(digests->aside_fd);
    return 0;
}
