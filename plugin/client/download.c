/* SPDX-License-Identifier: MIT */
/* An artifact, or the audit log, into a file; an archive also into a directory meanwhile. Several
 * pieces are asked for at once, so that the way to the agent is never idle; they are written and
 * digested in order, whatever order they come in.
 *
 * C → A: artifacts/read 0, artifacts/read 256K, … (DOWNLOAD_WINDOW of them)
 * A → C: a piece                                    → write, digest, ask for the next one
 * the last one: size and digest right → fsync, rename; wrong → remove, and once more from the start
 * if some of it was there from another time
 *
 * The log has no digest that could be announced, since it grows, but a chain of its own:
 *
 * C → A: audit/read 0                               its size and head by now
 * C → A: audit/read …                               from a piece before the end of the copy that is
 *                                                   there (or from the start) up to that size
 * the last one: as it was where the two overlap, and one chain → fsync, rename */
#include "plugin/client/client.h"

#include "plugin/client/unpack.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/evidence/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOWNLOAD_WINDOW 8
#define DOWNLOAD_SIZE_MAX ((int64_t)1 << 50)

typedef struct Download Download;

/* One piece that was asked for. Slots are used in turn, so slot order is file order. */
typedef struct DownloadSlot {
    Download *download;
    int64_t offset;
    int64_t length;
    Buffer early; /* came before the one in front of it */
    bool is_asked;
    bool is_early;
} DownloadSlot;

/* What is fetched, and when it is right. */
typedef struct DownloadKind {
    const char *method;
    bool may_grow; /* meanwhile: what `isLast` says is of another moment */
    int (*conclude)(Download *d,
                    Error *err); /* 1: it is in its place. 0: once more from the start */
} DownloadKind;

struct Download {
    const DownloadKind *kind;
    SlipwayClient *client;
    char *artifact; /* NULL: the audit log */
    char *path;
    char *part;
    char *directory; /* where it is unpacked; NULL: it is not */
    char sha256[DIGEST_HEX_SIZE];
    int64_t size;
    int64_t piece;
    int64_t asked;   /* up to here pieces were asked for */
    int64_t written; /* up to here they are in the file */
    int fd;
    Digest *digest; /* NULL: it is made elsewhere */
    Unpack *unpack; /* which makes the digest */
    DownloadSlot slots[DOWNLOAD_WINDOW];
    unsigned first; /* slot of the piece at `written` */
    unsigned n_asked;
    bool is_resumed;
    int copy_fd;       /* log: an earlier copy, or -1 */
    int64_t copy_size; /* log: of its whole lines */
    int64_t overlap;   /* log: from here on its bytes are fetched again */
    ChainHead head;    /* log: what the host says of its end */
    bool is_evidence;  /* log: the part file is to be looked at */
    bool is_over;      /* the outcome was told; kept until the last answer came */
    SlipwayProgressCallback progress;
    SlipwayDoneCallback done;
    void *userdata;
};

static Download *download_free(Download *d)
{
    if (!d) {
        return NULL;
    }
    for (size_t i = 0; i < DOWNLOAD_WINDOW; i++) {
        buffer_done(&d->slots[i].early);
    }
    d->fd = fd_close(d->fd);
    d->copy_fd = fd_close(d->copy_fd);
    (void)digest_free(d->digest);
    (void)unpack_free(d->unpack);
    free(d->artifact);
    free(d->directory);
    free(d->path);
    free(d->part);
    free(d);
    return NULL;
}
DEFINE_CLEANUP(Download, download_free)

/* Tells the outcome once; pieces on the way keep the object until they are there. */
static void finish(Download *d, int code, const char *text)
{
    SlipwayError error = {.code = code, .message = text};

    if (d->is_over) {
        return;
    }
    d->is_over = true;
    d->unpack = unpack_free(d->unpack);
    d->fd = fd_close(d->fd);
    if (code && !d->artifact && !d->is_evidence) {
        (void)unlink(d->part);
    }
    if (code) {
        (void)client_fail(d->client, -EIO, "%s", text);
    }
    if (d->done) {
        d->done(d->client, code ? &error : NULL, d->userdata);
    }
}

static void finish_error(Download *d, int code, Error *err)
{
    (void)error_wrap(err, d->artifact ? "fetching '%s' into '%s'" : "fetching %s into '%s'",
                     d->artifact ? d->artifact : "the audit log", d->path);
    finish(d, code, error_text(err));
    error_done(err);
}

static int ask(Download *d, DownloadSlot *slot);

static int ask_for_more(Download *d)
{
    int r = 0;

    while (r == 0 && d->n_asked < DOWNLOAD_WINDOW && d->asked < d->size) {
        DownloadSlot *slot = &d->slots[(d->first + d->n_asked) % DOWNLOAD_WINDOW];

        slot->offset = d->asked;
        slot->length = MIN(d->piece, d->size - d->asked);
        r = ask(d, slot);
        if (r == 0) {
            d->asked += slot->length;
            d->n_asked++;
        }
    }
    return r == -EBUSY && d->n_asked > 0 ? 0 : r; /* the next answer makes room */
}

/* What is there of it goes through the digest. */
static int digest_part(Download *d, int64_t size, Error *err)
{
    char chunk[65536];
    int64_t done = 0;
    int r = digest_new(&d->digest, err);

    while (r == 0 && done < size) {
        ssize_t n = fd_read_full(d->fd, chunk, sizeof(chunk));

        if (n <= 0) {
            return error_set_errno(err, n < 0 ? (int)n : -EIO, "reading '%s'", d->part);
        }
        r = digest_update(d->digest, chunk, (size_t)n);
        if (r < 0) {
            return error_set_errno(err, r, "digest");
        }
        done += n;
    }
    return r;
}

static int unpack_part(Download *d, Error *err)
{
    int r = unpack_start(d->fd, d->size, d->sha256, d->directory, &d->unpack, err);

    if (r == 0) {
        unpack_tell(d->unpack, d->written);
    }
    return r;
}

/* The part file is gone on with from its size. */
static int open_part(Download *d, bool from_start, Error *err)
{
    struct stat st;
    int r;

    d->fd = fd_close(d->fd);
    d->digest = digest_free(d->digest);
    d->fd =
        open(d->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (from_start ? O_TRUNC : 0), 0666);
    if (d->fd < 0 || fstat(d->fd, &st) < 0) {
        return error_set_errno(err, -errno, "'%s'", d->part);
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(err, -EINVAL, "'%s' is not a regular file", d->part);
    }
    if (st.st_size > d->size && ftruncate(d->fd, 0) < 0) {
        return error_set_errno(err, -errno, "'%s'", d->part);
    }
    d->written = st.st_size <= d->size ? st.st_size : 0;
    r = d->directory ? unpack_part(d, err) : digest_part(d, d->written, err);
    if (r < 0) {
        return r;
    }
    if (lseek(d->fd, d->written, SEEK_SET) < 0) {
        return error_set_errno(err, -errno, "'%s'", d->part);
    }
    d->is_resumed = d->written > 0;
    d->asked = d->written;
    d->first = 0;
    return 0;
}

static int put_in_place(Download *d, Error *err)
{
    if (fsync(d->fd) < 0 || rename(d->part, d->path) < 0) {
        return error_set_errno(err, -errno, "putting '%s' in its place", d->path);
    }
    return 1;
}

/* Once more from the start where some of it was there from another time: 0. */
static int conclude_wrong(Download *d, const char *sha256, Error *err)
{
    if (d->is_resumed) {
        return open_part(d, true, err);
    }
    (void)unlink(d->part);
    return error_set(err, -EBADMSG,
                     "what came is not what was announced (SHA-256 %s instead of %s); it was "
                     "thrown away",
                     sha256, d->sha256);
}

static int conclude_artifact(Download *d, Error *err)
{
    char sha256[DIGEST_HEX_SIZE];
    int r = digest_finish(d->digest, sha256);

    if (r < 0) {
        return error_set_errno(err, r, "digest");
    }
    return strcmp(sha256, d->sha256) == 0 ? put_in_place(d, err) : conclude_wrong(d, sha256, err);
}

/* The archive is no longer needed when it is unpacked; when it cannot be, it is what is left. */
static int conclude_archive(Download *d, Error *err)
{
    _cleanup_(unpack_result_done) UnpackResult result = {0};
    int r;

    unpack_finish(TAKE_PTR(d->unpack), &result);
    if (result.sha256[0] == '\0') { /* the file could not be read */
        return error_set(err, result.code, "%s", error_text(&result.error));
    }
    if (!result.is_right) {
        return conclude_wrong(d, result.sha256, err);
    }
    if (result.code == 0) {
        (void)unlink(d->part);
        return 1;
    }
    r = put_in_place(d, err);
    return r < 0 ? r
                 : error_set(err, result.code, "%s; the archive is kept as '%s'",
                             error_text(&result.error), d->path);
}

static void go_on(Download *d)
{
    _cleanup_error_ Error err = {0};
    int r = 0;

    if (!d->is_over && d->written == d->size) {
        r = d->kind->conclude(d, &err);
        if (r < 0) {
            finish_error(d, r == -EUCLEAN ? SLIPWAY_ERROR_CONFLICT : SLIPWAY_ERROR_LOCAL, &err);
        } else if (r > 0) {
            finish(d, 0, NULL);
        }
    }
    if (!d->is_over) {
        r = ask_for_more(d);
        if (r < 0) {
            (void)error_set(&err, r, "%s", slipway_client_get_error(d->client));
            finish_error(d, SLIPWAY_ERROR_DISCONNECTED, &err);
        }
    }
    if (d->is_over && d->n_asked == 0) {
        (void)download_free(d);
    }
}

static int write_piece(Download *d, const char *data, size_t n, Error *err)
{
    int r = fd_write_all(d->fd, data, n);

    if (r < 0) {
        return error_set_errno(err, r, "writing '%s'", d->part);
    }
    r = d->digest ? digest_update(d->digest, data, n) : 0;
    if (r < 0) {
        return error_set_errno(err, r, "digest");
    }
    d->written += (int64_t)n;
    if (d->unpack) {
        unpack_tell(d->unpack, d->written);
    }
    if (d->progress) {
        d->progress((uint64_t)d->written, (uint64_t)d->size, d->userdata);
    }
    return 0;
}

/* The slot in front is done; those behind it that came early follow. */
static int advance(Download *d, Error *err)
{
    for (;;) {
        DownloadSlot *slot;
        int r;

        d->first = (d->first + 1) % DOWNLOAD_WINDOW;
        d->n_asked--;
        slot = &d->slots[d->first];
        if (d->n_asked == 0 || !slot->is_early) {
            return 0;
        }
        slot->is_early = false;
        r = write_piece(d, slot->early.data, slot->early.len, err);
        if (r < 0) {
            return r;
        }
    }
}

static bool fits(Download *d, const DownloadSlot *slot, int64_t offset, size_t n, bool is_last,
                 Error *err)
{
    if (offset != slot->offset || (int64_t)n != slot->length ||
        (!d->kind->may_grow && is_last != (offset + (int64_t)n == d->size))) {
        (void)error_set(err, -EPROTO,
                        "the agent sent %zu bytes at %lld%s where %lld at %lld were asked for, of "
                        "%lld in all",
                        n, (long long)offset, is_last ? " as the last ones" : "",
                        (long long)slot->length, (long long)slot->offset, (long long)d->size);
        return false;
    }
    return true;
}

/* After the outcome only what is still on its way matters. */
static void count_asked(Download *d)
{
    d->n_asked = 0;
    for (size_t i = 0; i < DOWNLOAD_WINDOW; i++) {
        d->n_asked += d->slots[i].is_asked;
    }
}

static void on_chunk(SlipwayClient *client, int64_t offset, const char *data, size_t n,
                     bool is_last, void *userdata)
{
    DownloadSlot *slot = userdata;
    Download *d = slot->download;
    _cleanup_error_ Error err = {0};
    int r = 0;

    slot->is_asked = false;
    if (d->is_over) {
        /* only counted */
    } else if (!fits(d, slot, offset, n, is_last, &err)) {
        finish_error(d, SLIPWAY_ERROR_INTERNAL, &err);
    } else if (slot == &d->slots[d->first]) {
        r = write_piece(d, data, n, &err);
        r = r == 0 ? advance(d, &err) : r;
    } else {
        buffer_clear(&slot->early);
        r = buffer_append(&slot->early, data, n);
        slot->is_early = r == 0;
    }
    if (r < 0) {
        finish_error(d, SLIPWAY_ERROR_LOCAL, &err);
    }
    if (d->is_over) {
        count_asked(d);
    }
    go_on(d);
}

static void on_read_failed(SlipwayClient *client, const SlipwayJson *result,
                           const SlipwayError *error, void *userdata)
{
    DownloadSlot *slot = userdata;
    Download *d = slot->download;
    _cleanup_error_ Error err = {0};

    slot->is_asked = false;
    if (!d->is_over) {
        (void)error_set(&err, -EREMOTEIO, "%s", error ? error->message : "no piece");
        finish_error(d, error ? error->code : SLIPWAY_ERROR_INTERNAL, &err);
    }
    count_asked(d);
    go_on(d);
}

static int ask(Download *d, DownloadSlot *slot)
{
    _cleanup_json_ Json *params = json_new_object();
    ClientRequest *request;
    int r = params ? json_set_string(params, "artifact", d->artifact) : -ENOMEM;

    r = r == 0 ? json_set_int(params, "offset", slot->offset) : r;
    r = r == 0 ? json_set_int(params, "length", slot->length) : r;
    r = r == 0 ? client_send(d->client, d->kind->method, params, on_read_failed, slot, &request)
               : r;
    if (r < 0) {
        return r;
    }
    request->chunk = on_chunk;
    slot->is_asked = true;
    slot->is_early = false;
    return 0;
}

static int read_description(Download *d, const SlipwayJson *artifact)
{
    const char *name = slipway_json_get_string(artifact, "/artifact", NULL);
    const char *sha256 = slipway_json_get_string(artifact, "/sha256", NULL);

    d->size = slipway_json_get_int(artifact, "/size", -1);
    if (!name || !sha256 || strlen(sha256) != DIGEST_HEX_SIZE - 1 || d->size < 0 ||
        d->size > DOWNLOAD_SIZE_MAX) {
        return client_fail(d->client, -EINVAL,
                           "this describes no artifact: it needs artifact, size and sha256");
    }
    memcpy(d->sha256, sha256, DIGEST_HEX_SIZE);
    d->artifact = strdup(name);
    return d->artifact ? 0 : -ENOMEM;
}

static int download_new(SlipwayClient *client, const DownloadKind *kind, const char *path,
                        Download **ret)
{
    _cleanup_(download_freep) Download *d = calloc(1, sizeof(*d));

    if (!d) {
        return -ENOMEM;
    }
    d->kind = kind;
    d->client = client;
    d->fd = d->copy_fd = -1;
    d->piece = client_piece_size(client);
    for (size_t i = 0; i < DOWNLOAD_WINDOW; i++) {
        d->slots[i].download = d;
    }
    d->path = strdup(path);
    if (!d->path || asprintf(&d->part, "%s.part", path) < 0) {
        d->part = NULL;
        return -ENOMEM;
    }
    *ret = TAKE_PTR(d);
    return 0;
}

static const DownloadKind artifact_kind = {
    .method = "artifacts/read",
    .conclude = conclude_artifact,
};

static const DownloadKind archive_kind = {
    .method = "artifacts/read",
    .conclude = conclude_archive,
};

static int fetch(SlipwayClient *client, const SlipwayJson *artifact, const char *path,
                 const char *directory, SlipwayProgressCallback progress, SlipwayDoneCallback done,
                 void *userdata)
{
    _cleanup_(download_freep) Download *d = NULL;
    _cleanup_error_ Error err = {0};
    int r = download_new(client, directory ? &archive_kind : &artifact_kind, path, &d);

    r = r == 0 ? read_description(d, artifact) : r;
    if (r == 0 && directory) {
        d->directory = strdup(directory);
        r = d->directory ? 0 : -ENOMEM;
    }
    if (r < 0) {
        return r;
    }
    r = open_part(d, false, &err);
    if (r < 0) {
        return client_fail(client, r, "%s", error_text(&err));
    }
    d->progress = progress;
    d->done = done;
    d->userdata = userdata;
    go_on(TAKE_PTR(d));
    return 0;
}

_public_ int slipway_artifact_download(SlipwayClient *client, const SlipwayJson *artifact,
                                       const char *path, SlipwayProgressCallback progress,
                                       SlipwayDoneCallback done, void *userdata)
{
    return fetch(client, artifact, path, NULL, progress, done, userdata);
}

_public_ int slipway_artifact_unpack(SlipwayClient *client, const SlipwayJson *artifact,
                                     const char *path, const char *directory,
                                     SlipwayProgressCallback progress, SlipwayDoneCallback done,
                                     void *userdata)
{
    return fetch(client, artifact, path, directory, progress, done, userdata);
}

/* ---- the audit log ----------------------------------------------------------------------------
 */

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
    return r < 0 ? r : put_in_place(d, err);
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
        finish_error(d,
                     error           ? error->code
                     : r == -EUCLEAN ? SLIPWAY_ERROR_CONFLICT
                                     : SLIPWAY_ERROR_INTERNAL,
                     &err);
    }
    go_on(d);
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
