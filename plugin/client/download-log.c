/* SPDX-License-Identifier: MIT */
/* The audit log into a file. It has no digest that could be announced, since it grows, but a chain
 * of its own:
 *
 * C → A: audit/read 0                               its size and head by now
 * C → A: audit/read …                               from a piece before the end of the copy that is
 *                                                   there (or from the start) up to that size
 * the last one: as it was where the two overlap, and one chain → fsync, rename */
#include "plugin/client/download.h"

#include "protocol/base/fd.h"
#include "protocol/evidence/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the last whole line ends, in a file of `size` bytes; -EBADMSG: nowhere near its end. */
static int find_whole_end(int fd, int64_t size, int64_t *ret, Error *err)
{
    int64_t start = MAX(size - (int64_t)CHAIN_RECORD_MAX, 0);
    _cleanup_free_ char *tail = malloc(CHAIN_RECORD_MAX);
    const char *feed;
    ssize_t n;

    if (!tail) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    n = fd_pread_full(fd, tail, (size_t)(size - start), start);
    if (n < 0) {
        return error_set_errno(err, (int)n, "reading its end");
    }
    feed = memrchr(tail, '\n', (size_t)n);
    if (!feed && start > 0) {
        return error_set(err, -EBADMSG, "it is no audit log");
    }
    *ret = feed ? start + (feed - tail) + 1 : 0;
    return 0;
}

/* Both have these bytes from `overlap` on; a chain that goes on from them has all before them. */
static int compare_with_copy(const Download *d, Error *err)
{
    int64_t n = d->copy_size - d->overlap;
    _cleanup_free_ char *old = malloc((size_t)n + 1), *new = malloc((size_t)n + 1);

    if (!old || !new) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (fd_pread_full(d->copy_fd, old, (size_t)n, d->overlap) != n ||
        fd_pread_full(d->fd, new, (size_t)n, d->overlap) != n) {
        return error_set(err, -EIO, "cannot compare with what is there");
    }
    if (memcmp(old, new, (size_t)n) != 0) {
        return error_set(err, -EUCLEAN,
                         "what is there is no beginning of the agent's log: it is of another log, "
                         "or one of the two was changed since");
    }
    return 0;
}

/* What came of a wrong log is kept as it is: somebody will want to look at it. */
static int conclude_log(Download *d, Error *err)
{
    ChainHead head;
    bool is_torn = false;
    int64_t end = d->size;
    int r = compare_with_copy(d, err);

    if (r < 0) {
        return r;
    }
    if (lseek(d->fd, 0, SEEK_SET) < 0) {
        return error_set_errno(err, -errno, "'%s'", d->part);
    }
    r = chain_check(d->fd, &d->head, d->head.seq > 0, NULL, NULL, &head, &is_torn, err);
    if (r == -EBADMSG) {
        d->is_evidence = true;
        (void)error_wrap(err, "the log, kept as '%s', is not as it was written", d->part);
        return -EUCLEAN;
    }
    /* The record at the end is being written, or was when the host crashed: it is none yet. */
    r = r == 0 && is_torn ? find_whole_end(d->fd, d->size, &end, err) : r;
    if (r == 0 && end < d->size && ftruncate(d->fd, end) < 0) {
        r = error_set_errno(err, -errno, "'%s'", d->part);
    }
    return r < 0 ? r : download_put_in_place(d, err);
}

static int copy_bytes(int from, int to, int64_t n)
{
    char chunk[65536];

    for (int64_t at = 0; at < n;) {
        ssize_t got = fd_pread_full(from, chunk, (size_t)MIN((int64_t)sizeof(chunk), n - at), at);
        int r = got > 0 ? fd_write_all(to, chunk, (size_t)got) : got < 0 ? (int)got : -EIO;

        if (r < 0) {
            return r;
        }
        at += got;
    }
    return 0;
}

/* The copy that is there, if any, up to its last piece, becomes the beginning of the part file. */
static int open_log_part(Download *d, Error *err)
{
    struct stat st = {0};
    int r = 0;

    d->copy_fd = open(d->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if ((d->copy_fd < 0 && errno != ENOENT) || (d->copy_fd >= 0 && fstat(d->copy_fd, &st) < 0)) {
        return error_set_errno(err, -errno, "'%s'", d->path);
    }
    if (d->copy_fd >= 0 && !S_ISREG(st.st_mode)) {
        return error_set(err, -EINVAL, "'%s' is not a regular file", d->path);
    }
    r = d->copy_fd >= 0 ? find_whole_end(d->copy_fd, st.st_size, &d->copy_size, err) : 0;
    if (r < 0) {
        return error_wrap(err, "'%s'", d->path);
    }
    d->overlap = MAX(d->copy_size - d->piece, 0);
    d->fd = open(d->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    r = d->fd < 0 ? -errno : copy_bytes(d->copy_fd, d->fd, d->overlap);
    if (r < 0) {
        return error_set_errno(err, r, "'%s'", d->part);
    }
    d->written = d->asked = d->overlap;
    return 0;
}

static int read_log_state(Download *d, const SlipwayJson *result, Error *err)
{
    const char *sha256 = slipway_json_get_string(result, "/head/sha256", "");
    int64_t seq = slipway_json_get_int(result, "/head/seq", 0);

    d->size = slipway_json_get_int(result, "/size", -1);
    if (d->size < 0 || d->size > DOWNLOAD_SIZE_MAX) {
        return error_set(err, -EPROTO, "the agent does not say how long it is");
    }
    if (seq > 0 && strlen(sha256) == DIGEST_HEX_SIZE - 1) {
        d->head.seq = (uint64_t)seq;
        memcpy(d->head.sha256, sha256, DIGEST_HEX_SIZE);
    }
    if (d->size < d->copy_size) {
        return error_set(err, -EUCLEAN,
                         "the agent's log has %lld bytes, what is there of it %lld: records were "
                         "taken away from its end",
                         (long long)d->size, (long long)d->copy_size);
    }
    return 0;
}

static void on_log_state(SlipwayClient *client, const SlipwayJson *result,
                         const SlipwayError *error, void *userdata)
{
    Download *d = userdata;
    _cleanup_error_ Error err = {0};
    int r =
        error ? error_set(&err, -EREMOTEIO, "%s", error->message) : read_log_state(d, result, &err);

    if (r < 0) {
        download_fail(d,
                      error           ? error->code
                      : r == -EUCLEAN ? SLIPWAY_ERROR_CONFLICT
                                      : SLIPWAY_ERROR_INTERNAL,
                      &err);
    }
    download_go_on(d);
}

static const DownloadKind log_kind = {
    .method = "audit/read",
    .may_grow = true,
    .conclude = conclude_log,
};

_public_ int slipway_audit_download(SlipwayClient *client, const char *path,
                                    SlipwayProgressCallback progress, SlipwayDoneCallback done,
                                    void *userdata)
{
    _cleanup_(download_freep) Download *d = NULL;
    _cleanup_json_ Json *params = json_new_object();
    _cleanup_error_ Error err = {0};
    ClientRequest *request;
    int r = params ? json_set_int(params, "offset", 0) : -ENOMEM;

    r = r == 0 ? json_set_int(params, "length", 1) : r;
    r = r == 0 ? download_new(client, &log_kind, path, &d) : r;
    if (r < 0) {
        return r;
    }
    r = open_log_part(d, &err);
    if (r < 0) {
        return client_fail(client, r, "%s", error_text(&err));
    }
    d->progress = progress;
    d->done = done;
    d->userdata = userdata;
    r = client_send(client, d->kind->method, params, on_log_state, d, &request);
    if (r < 0) {
        (void)unlink(d->part);
        return r;
    }
    (void)TAKE_PTR(d);
    return 0;
}
