/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/blob-pull.h"

#include "agent/package/registry/layout.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How often the whole is asked for anew because what came was not what it should be: once, for a
 * piece that an earlier process left may be anything. */
#define RESTARTS_MAX 1u

#define READ_STEP ((size_t)256 << 10)

typedef struct Download {
    RegistryHost *host;
    const Descriptor *blob;
    int fd;
    Digest *digest; /* of the first `done_bytes` */
    int64_t done_bytes;
    int64_t reported_bytes;
    bool is_answered; /* this answer's place in the blob was looked at */
} Download;

static void download_done(Download *download)
{
    (void)digest_free(download->digest);
    (void)fd_close(download->fd);
}

/* Everything from the beginning. */
static int restart(Download *download, Error *err)
{
    download->digest = digest_free(download->digest);
    download->done_bytes = 0;
    if (ftruncate(download->fd, 0) < 0 || lseek(download->fd, 0, SEEK_SET) < 0) {
        return error_set_errno(err, -errno, "blob %s", download->blob->digest);
    }
    return digest_new(&download->digest, err);
}

/* What an earlier process left is part of the digest, too. */
static int take_up(Download *download, int64_t size, Error *err)
{
    _cleanup_free_ char *data = NULL;
    int r = digest_new(&download->digest, err);

    if (r < 0) {
        return r;
    }
    if (size > download->blob->size_bytes) {
        return restart(download, err);
    }
    data = malloc(READ_STEP);
    if (!data) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    while (download->done_bytes < size) {
        ssize_t n = fd_read_full(download->fd, data, READ_STEP);

        if (n <= 0 || digest_update(download->digest, data, (size_t)n) < 0) {
            return error_set_errno(err, n < 0 ? (int)n : -EIO, "blob %s", download->blob->digest);
        }
        download->done_bytes += n;
    }
    return 0;
}

/* ---- coming in --------------------------------------------------------------------------------
 */

/* 206 is what was asked for, if it begins there; 200 is all of it. */
static int place_answer(Download *download, const HttpResponse *response, Error *err)
{
    const char *range = http_response_header(response, "Content-Range", 0);
    char expected[48];

    download->is_answered = true;
    if (response->status == 206) {
        (void)snprintf(expected, sizeof(expected), "bytes %" PRId64 "-", download->done_bytes);
        return range && text_has_prefix(range, expected)
                   ? 0
                   : error_set(err, -EBADMSG,
                               "blob %s: asked for what comes after byte %" PRId64 ", got '%.60s'",
                               download->blob->digest, download->done_bytes, range ? range : "");
    }
    return download->done_bytes > 0 ? restart(download, err) : 0;
}

static int on_data(void *userdata, const HttpResponse *response, const void *data, size_t n,
                   Error *err)
{
    Download *download = userdata;
    int r = download->is_answered ? 0 : place_answer(download, response, err);

    if (r < 0) {
        return r;
    }
    if ((int64_t)n > download->blob->size_bytes - download->done_bytes) {
        return error_set(err, -EBADMSG,
                         "blob %s: the registry gives more than its %" PRId64 " bytes",
                         download->blob->digest, download->blob->size_bytes);
    }
    r = digest_update(download->digest, data, n);
    r = r < 0 ? r : fd_write_all(download->fd, data, n);
    if (r < 0) {
        return error_set_errno(err, r, "cannot store blob %s", download->blob->digest);
    }
    download->done_bytes += (int64_t)n;
    if (download->done_bytes - download->reported_bytes >= (int64_t)READ_STEP ||
        download->done_bytes == download->blob->size_bytes) {
        download->reported_bytes = download->done_bytes;
        registry_host_tell(download->host, REGISTRY_MOVING, download->blob->digest,
                           download->done_bytes, download->blob->size_bytes);
    }
    return 0;
}

static int ask_once(Download *download, const char *repository, int64_t *ret_retry_after_ms,
                    Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    char path[sizeof("blobs/") + OCI_DIGEST_SIZE], range[48];
    int r;

    download->is_answered = false;
    (void)snprintf(path, sizeof(path), "blobs/%s", download->blob->digest);
    (void)snprintf(range, sizeof(range), "Range: bytes=%" PRId64 "-", download->done_bytes);
    r = registry_host_call(download->host,
                           &(RegistryCall){.repository = repository,
                                           .path = path,
                                           .header = download->done_bytes > 0 ? range : NULL,
                                           .sink = on_data,
                                           .userdata = download,
                                           .is_once = true},
                           &response, err);
    *ret_retry_after_ms = response.retry_after_ms;
    if (r != 0) {
        return r;
    }
    if (response.status == 404) {
        return error_set(err, -ENOENT, "%s/%s does not have blob %s",
                         registry_host_name(download->host), repository, download->blob->digest);
    }
    if (response.status == 416) {
        r = restart(download, err);
        (void)registry_host_complain(download->host, &response, -EIO, path, err);
        return r < 0 ? r : REGISTRY_AGAIN;
    }
    if (response.status != 200 && response.status != 206) {
        return registry_host_complain(download->host, &response, -EIO, path, err);
    }
    if (download->done_bytes < download->blob->size_bytes) {
        (void)error_set(err, -EIO,
                        "%s, %s: the registry gave only %" PRId64 " of %" PRId64 " bytes",
                        registry_host_name(download->host), path, download->done_bytes,
                        download->blob->size_bytes);
        return REGISTRY_AGAIN;
    }
    return 0;
}

/* All bytes are there, whatever they are. */
static int bring(Download *download, const char *repository, Error *err)
{
    for (unsigned count = 1; download->done_bytes < download->blob->size_bytes; count++) {
        int64_t before = download->done_bytes, retry_after_ms = 0;
        int r = ask_once(download, repository, &retry_after_ms, err);

        if (r < 0) {
            return r;
        }
        /* While something comes, there is a point in going on. */
        count = download->done_bytes > before ? 1 : count;
        if (r > 0 && !registry_host_pause(download->host, count, retry_after_ms, err)) {
            (void)error_wrap(err, "blob %s, tried %u times", download->blob->digest, count);
            return -EIO;
        }
    }
    return 0;
}

static int bring_right(Download *download, const char *repository, bool *ret_is_right, Error *err)
{
    char hex[DIGEST_HEX_SIZE];
    int r = bring(download, repository, err);

    r = r < 0 ? r : digest_finish(download->digest, hex);
    if (r < 0) {
        return r;
    }
    *ret_is_right = strcmp(hex, download->blob->digest + strlen(OCI_DIGEST_PREFIX)) == 0;
    return *ret_is_right
               ? 0
               : error_set(err, -EBADMSG, "%s gave sha256:%s for blob %s",
                           registry_host_name(download->host), hex, download->blob->digest);
}

int blob_pull(RegistryHost *host, const char *repository, const Descriptor *blob, int layout_fd,
              Error *err)
{
    _cleanup_(download_done) Download download = {.host = host, .blob = blob, .fd = -1};
    bool is_right = false;
    int64_t size = 0;
    int r = layout_open_blob(layout_fd, blob, NULL, NULL);

    if (r > 0) {
        registry_host_tell(host, REGISTRY_KNOWN, blob->digest, blob->size_bytes, blob->size_bytes);
        return 0;
    }
    r = layout_begin_blob(layout_fd, blob->digest, &download.fd, &size, err);
    r = r < 0 ? r : take_up(&download, size, err);
    for (unsigned restarts = size > 0 ? 0 : RESTARTS_MAX; r == 0; restarts++) {
        r = bring_right(&download, repository, &is_right, err);
        if (r != -EBADMSG || restarts >= RESTARTS_MAX) {
            break;
        }
        error_done(err);
        r = restart(&download, err);
    }
    if (r == -EBADMSG) {
        layout_drop_blob(layout_fd, blob->digest);
    }
    r = r < 0 ? r : layout_finish_blob(layout_fd, blob->digest, download.fd, err);
    if (r == 0) {
        registry_host_tell(host, REGISTRY_MOVED, blob->digest, blob->size_bytes, blob->size_bytes);
    }
    return r;
}

int blob_pull_text(RegistryHost *host, const char *repository, const Descriptor *blob, Buffer *ret,
                   Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    char path[sizeof("blobs/") + OCI_DIGEST_SIZE], hex[DIGEST_HEX_SIZE];
    int r;

    (void)snprintf(path, sizeof(path), "blobs/%s", blob->digest);
    r = registry_host_call(
        host,
        &(RegistryCall){.repository = repository,
                        .path = path,
                        .max_bytes = MAX((size_t)blob->size_bytes + 1, HTTP_COMPLAINT_MAX)},
        &response, err);
    if (r < 0) {
        return r;
    }
    if (response.status != 200) {
        return registry_host_complain(host, &response, response.status == 404 ? -ENOENT : -EIO,
                                      path, err);
    }
    r = digest_bytes(buffer_text(&response.body), response.body.len, hex);
    if (r < 0 || strcmp(hex, blob->digest + strlen(OCI_DIGEST_PREFIX)) != 0) {
        return error_set(err, -EBADMSG, "%s gave other bytes for blob %s", registry_host_name(host),
                         blob->digest);
    }
    r = buffer_append(ret, buffer_text(&response.body), response.body.len);
    return r < 0 ? error_set(err, r, "blob %s has %zu bytes, which is too much", blob->digest,
                             response.body.len)
                 : 0;
}
