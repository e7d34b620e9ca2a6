/* SPDX-License-Identifier: MIT */
/* An artifact into a file; an archive into a directory. Several pieces are asked for at once, so
 * that the way to the agent is never idle; they are written, or unpacked, and digested in order,
 * whatever order they come in.
 *
 * C → A: artifacts/read 0, artifacts/read 256K, … (DOWNLOAD_WINDOW of them)
 * A → C: a piece                                    → write or unpack, digest, ask for the next one
 * the last one: size and digest right → fsync, rename; wrong → remove, and once more from the start
 * if some of it was there from another time */
#include "plugin/client/download.h"

#include "protocol/artifact/digest.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An archive that will be here and unpacked within this time is not also written to a file for the
 * case that it is cut: all of it would be written twice to spare a rare one these seconds. What can
 * be expected is seen from the first bytes, as many as these or as came by then. */
#define DOWNLOAD_SHORT_MS 30000
#define DOWNLOAD_GUESS_BYTES ((size_t)2 << 20)
#define DOWNLOAD_GUESS_MS 1000

Download *download_free(Download *d)
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
    buffer_done(&d->held);
    error_done(&d->problem);
    free(d->artifact);
    free(d->directory);
    free(d->path);
    free(d->part);
    free(d);
    return NULL;
}

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

void download_fail(Download *d, int code, Error *err)
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
    return lseek(d->fd, d->written, SEEK_SET) < 0 ? error_set_errno(err, -errno, "'%s'", d->part)
                                                  : 0;
}

/* Nothing is on its way: pieces are asked for from the end of the part file on. */
static int resume(Download *d, Error *err)
{
    int r = open_part(d, false, err);

    d->is_resumed = d->written > 0;
    d->asked = d->written;
    return r;
}

static int start_again(Download *d, Error *err)
{
    int r = open_part(d, true, err);

    d->is_resumed = false;
    d->asked = 0;
    return r;
}

int download_put_in_place(Download *d, Error *err)
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
        return start_again(d, err);
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
    return strcmp(sha256, d->sha256) == 0 ? download_put_in_place(d, err)
                                          : conclude_wrong(d, sha256, err);
}

static int tell_kept(Download *d, Error *err)
{
    return error_set(err, d->problem.code, "%s; the archive is kept as '%s'",
                     error_text(&d->problem), d->path);
}

/* As announced, and cannot be unpacked: somebody will want to look at it. Where it was not written
 * to a file, it is fetched once more. */
static int keep_archive(Download *d, Error *err)
{
    int r;

    if (d->fd < 0) {
        free(TAKE_PTR(d->directory));
        return start_again(d, err);
    }
    r = download_put_in_place(d, err);
    return r < 0 ? r : tell_kept(d, err);
}

/* The archive is no longer needed when it is unpacked. */
static int conclude_archive(Download *d, Error *err)
{
    _cleanup_(unpack_result_done) UnpackResult result = {0};
    int r;

    if (!d->unpack) {
        r = conclude_artifact(d, err);
        return r > 0 ? tell_kept(d, err) : r;
    }
    unpack_finish(TAKE_PTR(d->unpack), &result);
    if (result.sha256[0] == '\0') {
        return error_set(err, result.code, "%s", error_text(&result.error));
    }
    if (!result.is_right) {
        return conclude_wrong(d, result.sha256, err);
    }
    if (result.code < 0) {
        d->problem = result.error;
        result.error = (Error){0};
        return keep_archive(d, err);
    }
    if (d->fd >= 0) {
        (void)unlink(d->part);
    }
    return 1;
}

void download_go_on(Download *d)
{
    _cleanup_error_ Error err = {0};
    int r = 0;

    while (!d->is_over && d->written == d->size) {
        r = d->kind->conclude(d, &err);
        if (r < 0) {
            download_fail(d, r == -EUCLEAN ? SLIPWAY_ERROR_CONFLICT : SLIPWAY_ERROR_LOCAL, &err);
        } else if (r > 0) {
            finish(d, 0, NULL);
        }
    }
    if (!d->is_over) {
        r = ask_for_more(d);
        if (r < 0) {
            (void)error_set(&err, r, "%s", slipway_client_get_error(d->client));
            download_fail(d, SLIPWAY_ERROR_DISCONNECTED, &err);
        }
    }
    if (d->is_over && d->n_asked == 0) {
        (void)download_free(d);
    }
}

/* These bytes follow those that are there. */
static int store(Download *d, const char *data, size_t n, Error *err)
{
    int r;

    if (d->fd < 0) {
        unpack_give(d->unpack, data, n);
        d->written += (int64_t)n;
        return 0;
    }
    r = fd_write_all(d->fd, data, n);
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
    return 0;
}

/* 1: enough came to see how it goes on, and what came is stored. */
static int guess(Download *d, const char *data, size_t n, Error *err)
{
    int64_t elapsed_ms = MAX(clock_monotonic_ms() - d->started_ms, 1);
    int r = buffer_append(&d->held, data, n);

    if (r < 0) {
        return error_set_errno(err, r, "what came");
    }
    if (d->held.len < DOWNLOAD_GUESS_BYTES && (int64_t)d->held.len < d->size &&
        elapsed_ms < DOWNLOAD_GUESS_MS) {
        return 0;
    }
    d->is_undecided = false;
    if ((double)elapsed_ms * (double)d->size / (double)d->held.len > DOWNLOAD_SHORT_MS) {
        d->unpack = unpack_free(d->unpack);
        r = open_part(d, true, err);
    }
    r = r == 0 ? store(d, d->held.data, d->held.len, err) : r;
    buffer_done(&d->held);
    return r < 0 ? r : 1;
}

static int take_piece(Download *d, const char *data, size_t n, Error *err)
{
    int r = d->is_undecided ? guess(d, data, n, err) : store(d, data, n, err);

    if (r < 0) {
        return r;
    }
    if (d->progress) {
        d->progress((uint64_t)d->written + d->held.len, (uint64_t)d->size, d->userdata);
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
        r = take_piece(d, slot->early.data, slot->early.len, err);
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
        download_fail(d, SLIPWAY_ERROR_INTERNAL, &err);
    } else if (slot == &d->slots[d->first]) {
        r = take_piece(d, data, n, &err);
        r = r == 0 ? advance(d, &err) : r;
    } else {
        buffer_clear(&slot->early);
        r = buffer_append(&slot->early, data, n);
        slot->is_early = r == 0;
    }
    if (r < 0) {
        download_fail(d, SLIPWAY_ERROR_LOCAL, &err);
    }
    if (d->is_over) {
        count_asked(d);
    }
    download_go_on(d);
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
        download_fail(d, error ? error->code : SLIPWAY_ERROR_INTERNAL, &err);
    }
    count_asked(d);
    download_go_on(d);
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

int download_new(SlipwayClient *client, const DownloadKind *kind, const char *path, Download **ret)
{
    _cleanup_(download_freep) Download *d = calloc(1, sizeof(*d));

    if (!d) {
        return -ENOMEM;
    }
    d->kind = kind;
    d->client = client;
    d->fd = d->copy_fd = -1;
    d->held = BUFFER_INIT(DOWNLOAD_GUESS_BYTES + CLIENT_LINE_MAX);
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
    d->is_undecided = directory && !file_exists(AT_FDCWD, d->part);
    r = d->is_undecided ? unpack_start(-1, d->size, d->sha256, directory, &d->unpack, &err)
                        : resume(d, &err);
    if (r < 0) {
        return client_fail(client, r, "%s", error_text(&err));
    }
    d->progress = progress;
    d->done = done;
    d->userdata = userdata;
    d->started_ms = clock_monotonic_ms();
    download_go_on(TAKE_PTR(d));
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
