/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-payload.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_SIZE ((size_t)256 << 10)

#define TRAILER "TRAILER!!!"

/* Of "newc": everything is padded to this. */
#define CPIO_ALIGNMENT 4

typedef struct Writing {
    int workspace_fd, out_fd;
    uint32_t time;
    Compressor *compressor;
    Digest *outside, *inside;
    char *block;
    RpmPayload sums;
} Writing;

static int on_compressed(void *userdata, const void *data, size_t n)
{
    Writing *w = userdata;
    int r = fd_write_all(w->out_fd, data, n);

    w->sums.size_bytes += (int64_t)n;
    return r == 0 ? digest_update(w->outside, data, n) : r;
}

static void writing_done(Writing *w)
{
    (void)compressor_free(w->compressor);
    (void)digest_free(w->outside);
    (void)digest_free(w->inside);
    free(w->block);
}

static int put(Writing *w, const void *data, size_t n, Error *err)
{
    int r = digest_update(w->inside, data, n);

    w->sums.inside_bytes += (int64_t)n;
    return r < 0 ? error_set(err, r, "libcrypto cannot go on with a SHA-256")
                 : compressor_write(w->compressor, data, n, err);
}

static int put_padding(Writing *w, Error *err)
{
    static const char zeros[CPIO_ALIGNMENT];

    return put(w, zeros, (size_t)(-w->sums.inside_bytes & (CPIO_ALIGNMENT - 1)), err);
}

/* Owners are in the header of the package, by name; here they are 0. */
static int put_head(Writing *w, const char *prefix, const char *name, uint32_t inode, uint32_t mode,
                    uint32_t time, uint32_t size_bytes, Error *err)
{
    _cleanup_buffer_ Buffer head = BUFFER_INIT(0);
    size_t name_size = strlen(prefix) + strlen(name) + 1;
    int r = buffer_append_format(&head,
                                 "070701%08" PRIx32 "%08" PRIx32 "%08x%08x%08x%08" PRIx32
                                 "%08" PRIx32 "%08x%08x%08x%08x%08zx%08x%s%s",
                                 inode, mode, 0U, 0U, 1U, time, size_bytes, 0U, 0U, 0U, 0U,
                                 name_size, 0U, prefix, name);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = put(w, head.data, head.len + 1, err); /* the name has its NUL */
    return r == 0 ? put_padding(w, err) : r;
}

static int changed(const RpmFile *file, Error *err)
{
    return error_set(err, -EAGAIN, "'%s' changed while it was packed", file->entry->from);
}

static int put_bytes(Writing *w, int fd, RpmFile *file, Digest *digest, Error *err)
{
    uint32_t left = file->size_bytes;
    char past_end;

    while (left > 0) {
        ssize_t n = fd_read_full(fd, w->block, MIN((size_t)left, BLOCK_SIZE));
        int r;

        if (n < 0) {
            return error_set_errno(err, (int)n, "'%s'", file->entry->from);
        }
        if (n == 0) {
            return changed(file, err);
        }
        r = digest_update(digest, w->block, (size_t)n);
        if (r < 0) {
            return error_set(err, r, "libcrypto cannot go on with a SHA-256");
        }
        r = put(w, w->block, (size_t)n, err);
        if (r < 0) {
            return r;
        }
        left -= (uint32_t)n;
    }
    return fd_read_full(fd, &past_end, 1) == 0 ? 0 : changed(file, err);
}

static int put_content(Writing *w, RpmFile *file, Error *err)
{
    _cleanup_(digest_freep) Digest *digest = NULL;
    _cleanup_fd_ int fd = openat(w->workspace_fd, file->entry->from,
                                 O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return error_set_errno(err, -errno, "'%s'", file->entry->from);
    }
    if (!S_ISREG(st.st_mode)) {
        return changed(file, err);
    }
    r = digest_new(&digest, err);
    r = r == 0 ? put_bytes(w, fd, file, digest, err) : r;
    if (r < 0) {
        return r;
    }
    r = digest_finish(digest, file->digest);
    return r < 0 ? error_set(err, r, "libcrypto cannot finish a SHA-256") : 0;
}

static int put_file(Writing *w, RpmFile *file, uint32_t inode, Error *err)
{
    const char *target = file->link_target;
    int r;

    if (file->flags & RPM_FILE_GHOST) {
        return 0;
    }
    r = put_head(w, "./", file->entry->to, inode, file->mode, w->time, file->size_bytes, err);
    if (r == 0 && target) {
        r = put(w, target, strlen(target), err);
    } else if (r == 0 && file->entry->kind == FILE_MAP_FILE) {
        r = put_content(w, file, err);
    }
    return r == 0 ? put_padding(w, err) : r;
}

static int begin(Writing *w, Compression compression, Error *err)
{
    int r;

    w->block = malloc(BLOCK_SIZE);
    if (!w->block) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = digest_new(&w->inside, err);
    r = r == 0 ? digest_new(&w->outside, err) : r;
    return r == 0 ? compressor_new(compression, on_compressed, w, &w->compressor, err) : r;
}

static int finish(Writing *w, Error *err)
{
    int r = put_head(w, "", TRAILER, 0, 0, 0, 0, err);

    r = r == 0 ? compressor_finish(w->compressor, err) : r;
    if (r < 0) {
        return r;
    }
    if (w->sums.inside_bytes > RPM_CONTENT_BYTES_MAX ||
        w->sums.size_bytes > RPM_CONTENT_BYTES_MAX) {
        return error_set(err, -EFBIG, "the payload has 4 GiB or more, more than an rpm holds");
    }
    r = digest_finish(w->inside, w->sums.inside_sha256);
    r = r == 0 ? digest_finish(w->outside, w->sums.sha256) : r;
    return r < 0 ? error_set(err, r, "libcrypto cannot finish a SHA-256") : 0;
}

int rpm_payload_write(int workspace_fd, RpmFiles *files, uint32_t time, Compression compression,
                      int out_fd, RpmPayload *ret, Error *err)
{
    _cleanup_(writing_done)
        Writing w = {.workspace_fd = workspace_fd, .out_fd = out_fd, .time = time};
    int r = begin(&w, compression, err);

    for (size_t i = 0; r == 0 && i < files->count; i++) {
        r = put_file(&w, &files->list[i], (uint32_t)i + 1, err);
    }
    r = r == 0 ? finish(&w, err) : r;
    if (r == 0) {
        *ret = w.sums;
    }
    return r;
}
