/* SPDX-License-Identifier: MIT */
/* An upload, as a script (C the client, R the registry):
 *
 *   C → R: HEAD blobs/DIGEST                       R: 200, done; 404
 *   C → R: POST blobs/uploads/?mount=DIGEST&from=OTHER   R: 201, done; 202 with a Location
 *   C → R: PUT Location&digest=DIGEST, all of it         R: 201
 * or C → R: PATCH Location, a piece; …                   R: 202 with the next Location
 *    C → R: PUT Location&digest=DIGEST                   R: 201
 *
 * A Location is used as it came, and always the newest: registries keep state in it. Where an
 * upload breaks, GET Location tells how much has arrived, and PATCH brings the rest; a registry
 * that has forgotten it is asked for a new one. What it says to have received is never believed
 * beyond what was sent: docker's registry appends a piece at the wrong place without a word, and
 * finds out at the end. */
#include "agent/package/registry/blob-push.h"

#include "agent/http/http-url.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct Upload {
    RegistryHost *host;
    const BlobPush *push;
    char *location;      /* NULL: there is none under way */
    int64_t sent_bytes;  /* that the registry has */
    int64_t chunk_bytes; /* of one PATCH; 0: PUT takes all */
    int64_t reported_bytes;
    int64_t retry_after_ms; /* of the last answer */
} Upload;

/* A step of an upload came to an end that another attempt may mend. */
#define UPLOAD_AGAIN REGISTRY_AGAIN

static void upload_done(Upload *upload)
{
    free(upload->location);
}

int blob_push_parse_range(const char *text, int64_t *ret_received)
{
    int64_t last;

    if (text_has_prefix(text, "bytes=")) {
        text += strlen("bytes=");
    }
    if (!text_has_prefix(text, "0-") || text_parse_int(text + 2, 0, INT64_MAX - 1, &last) < 0) {
        return -EINVAL;
    }
    *ret_received = last > 0 ? last + 1 : 0;
    return 0;
}

static void on_sent(void *userdata, int64_t sent_bytes, int64_t received_bytes)
{
    Upload *upload = userdata;
    const BlobPush *push = upload->push;
    int64_t all = MIN(upload->sent_bytes + sent_bytes, push->blob.size_bytes);

    if (all != upload->reported_bytes) {
        upload->reported_bytes = all;
        registry_host_tell(upload->host, REGISTRY_MOVING, push->blob.digest, all,
                           push->blob.size_bytes);
    }
}

/* ---- one request each -------------------------------------------------------------------------
 */

static int send_request(Upload *upload, RegistryCall *call, HttpResponse *response, Error *err)
{
    int r;

    call->repository = upload->push->repository;
    call->may_write = true;
    call->is_once = true;
    r = registry_host_call(upload->host, call, response, err);
    upload->retry_after_ms = response->retry_after_ms;
    return r;
}

/* The registry's word on where to go on, which may be relative to where it was given. */
static int take_location(Upload *upload, const HttpResponse *response, Error *err)
{
    const char *location = http_response_header(response, "Location", 0);
    char *next = NULL;
    int r;

    if (!location) {
        return error_set(err, -EBADMSG, "%s, blob %s: the registry gives no Location to send it to",
                         registry_host_name(upload->host), upload->push->blob.digest);
    }
    r = http_url_resolve(response->url, location, &next, err);
    if (r < 0) {
        return error_wrap(err, "%s, blob %s: Location", registry_host_name(upload->host),
                          upload->push->blob.digest);
    }
    if (http_url_is_https(response->url) && !http_url_is_https(next)) {
        r = error_set(
            err, -EBADMSG,
            "%s wants blobs sent to %.*s, which is not encrypted; the proxy before it has "
            "to tell it of https (X-Forwarded-Proto), or its address be configured",
            registry_host_name(upload->host), (int)strcspn(next, "?#"), next);
        free(next);
        return r;
    }
    free(upload->location);
    upload->location = next;
    return 0;
}

static void forget(Upload *upload)
{
    free(upload->location);
    upload->location = NULL;
    upload->sent_bytes = 0;
}

/* An answer that should have been another. Where the upload is lost or spoilt (bytes at the wrong
 * place show as 400 DIGEST_INVALID only at the end) the next attempt begins a new one. */
static int unexpected(Upload *upload, const HttpResponse *response, Error *err)
{
    int r = registry_host_complain(upload->host, response, -EIO, upload->push->blob.digest, err);

    switch (response->status) {
    case 400:
    case 404:
        forget(upload);
        return r == -EIO ? UPLOAD_AGAIN : r;
    case 416:
        return r == -EIO ? UPLOAD_AGAIN : r;
    case 413:
        return error_wrap(err, "a request is limited in size, so send blobs in smaller pieces");
    default:
        return r;
    }
}

/* 1: the registry has taken it from the other repository, 0: an upload is open. */
static int begin(Upload *upload, const char *from, Error *err)
{
    const HttpContent nothing = {.data = ""};
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    const char *least;
    int64_t least_bytes;
    int r = buffer_append_text(&path, "blobs/uploads/");

    if (r == 0 && from) {
        r = buffer_append_format(&path, "?mount=%s&from=", upload->push->blob.digest);
        r = r < 0 ? r : http_append_escaped(&path, from);
    }
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = send_request(
        upload,
        &(RegistryCall){
            .method = "POST", .path = buffer_text(&path), .content = &nothing, .from = from},
        &response, err);
    if (r != 0) {
        return r < 0 ? r : -EAGAIN;
    }
    if (response.status == 201 && from) {
        return 1;
    }
    if (response.status != 202) {
        r = unexpected(upload, &response, err);
        return r == UPLOAD_AGAIN ? -EAGAIN : r;
    }
    least = http_response_header(&response, "OCI-Chunk-Min-Length", 0);
    if (upload->chunk_bytes && least && text_parse_int(least, 0, INT64_MAX, &least_bytes) == 0) {
        upload->chunk_bytes = MAX(upload->chunk_bytes, least_bytes);
    }
    upload->sent_bytes = 0;
    return take_location(upload, &response, err);
}

/* The bytes [sent_bytes, sent_bytes + n) of the blob. */
static HttpContent content_of(const Upload *upload, int64_t n)
{
    HttpContent content = *upload->push->content;

    content.offset += upload->sent_bytes;
    content.size_bytes = n;
    content.type = NULL; /* octet-stream, without which docker's registry answers 500 */
    return content;
}

static int send_chunk(Upload *upload, Error *err)
{
    int64_t left = upload->push->blob.size_bytes - upload->sent_bytes;
    int64_t n = upload->chunk_bytes > 0 ? MIN(upload->chunk_bytes, left) : left;
    const HttpContent content = content_of(upload, n);
    _cleanup_http_response_ HttpResponse response = {0};
    int64_t received = upload->sent_bytes + n;
    const char *range;
    char header[80];
    int r;

    (void)snprintf(header, sizeof(header), "Content-Range: %" PRId64 "-%" PRId64,
                   upload->sent_bytes, received - 1);
    r = send_request(upload,
                     &(RegistryCall){.method = "PATCH",
                                     .url = upload->location,
                                     .header = header,
                                     .content = &content,
                                     .progress = on_sent,
                                     .userdata = upload},
                     &response, err);
    if (r != 0) {
        return r;
    }
    if (response.status != 202 && response.status != 204) {
        return unexpected(upload, &response, err);
    }
    range = http_response_header(&response, "Range", 0);
    if (range && (blob_push_parse_range(range, &received) < 0 ||
                  (received != upload->sent_bytes + n && upload->sent_bytes + n > 1))) {
        forget(upload);
        (void)error_set(err, -EIO, "%s, blob %s: sent up to byte %" PRId64 ", it has '%.60s'",
                        registry_host_name(upload->host), upload->push->blob.digest,
                        upload->sent_bytes + n, range);
        return UPLOAD_AGAIN;
    }
    upload->sent_bytes += n;
    return take_location(upload, &response, err);
}

/* Sends what is left (all of it, or nothing after the last piece) and closes the upload. */
static int send_last(Upload *upload, Error *err)
{
    const BlobPush *push = upload->push;
    const HttpContent nothing = {.data = ""};
    const HttpContent rest = content_of(upload, push->blob.size_bytes - upload->sent_bytes);
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_free_ char *url = NULL;
    const char *told;
    int r;

    if (asprintf(&url, "%s%sdigest=%s", upload->location, strchr(upload->location, '?') ? "&" : "?",
                 push->blob.digest) < 0) {
        url = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = send_request(upload,
                     &(RegistryCall){.method = "PUT",
                                     .url = url,
                                     .content = rest.size_bytes > 0 ? &rest : &nothing,
                                     .progress = on_sent,
                                     .userdata = upload},
                     &response, err);
    if (r != 0) {
        return r;
    }
    if (response.status != 201 && response.status != 204) {
        return unexpected(upload, &response, err);
    }
    told = http_response_header(&response, "Docker-Content-Digest", 0);
    if (told && strcmp(told, push->blob.digest) != 0) {
        return error_set(err, -EBADMSG, "%s: sent %s, the registry understood %.100s",
                         registry_host_name(upload->host), push->blob.digest, told);
    }
    return 0;
}

/* After a break: how much has arrived. Where that cannot be told, a new upload begins. */
static int ask_how_far(Upload *upload, Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    const char *range;
    int64_t received = 0;
    int r = send_request(upload, &(RegistryCall){.url = upload->location}, &response, err);

    if (r != 0) {
        return r;
    }
    range = http_response_header(&response, "Range", 0);
    if (!http_status_is_success(response.status) || !range ||
        blob_push_parse_range(range, &received) < 0 || received > upload->push->blob.size_bytes) {
        forget(upload);
        return 0;
    }
    upload->sent_bytes = received;
    return http_response_header(&response, "Location", 0) ? take_location(upload, &response, err)
                                                          : 0;
}

/* ---- the whole --------------------------------------------------------------------------------
 */

/* From wherever the upload stands to its end. 0, UPLOAD_AGAIN, or an error. */
static int attempt(Upload *upload, bool was_broken, Error *err)
{
    const BlobPush *push = upload->push;
    bool is_whole = upload->chunk_bytes == 0;
    int r = 0;

    if (upload->location && was_broken) {
        r = ask_how_far(upload, err);
    }
    if (r == 0 && !upload->location) {
        r = begin(upload, NULL, err);
        r = r == -EAGAIN ? UPLOAD_AGAIN : r;
    }
    /* PUT takes all or nothing: the rest of a broken one comes by PATCH. */
    while (r == 0 && (!is_whole || upload->sent_bytes > 0) &&
           upload->sent_bytes < push->blob.size_bytes) {
        r = send_chunk(upload, err);
    }
    return r != 0 ? r : send_last(upload, err);
}

static int upload_blob(Upload *upload, Error *err)
{
    for (unsigned count = 1;; count++) {
        int r = attempt(upload, count > 1, err);

        if (r != UPLOAD_AGAIN) {
            return r;
        }
        if (!registry_host_pause(upload->host, count, upload->retry_after_ms, err)) {
            (void)error_wrap(err, "blob %s, tried %u times", upload->push->blob.digest, count);
            return -EIO;
        }
    }
}

/* 1: the registry has it. */
static int is_there(RegistryHost *host, const BlobPush *push, Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_free_ char *path = NULL;
    const char *length;
    int64_t size_bytes;
    int r;

    if (asprintf(&path, "blobs/%s", push->blob.digest) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = registry_host_call(
        host,
        &(RegistryCall){
            .method = "HEAD", .repository = push->repository, .path = path, .may_write = true},
        &response, err);
    if (r < 0 || response.status == 404) {
        return r;
    }
    if (response.status != 200) {
        return registry_host_complain(host, &response, -EIO, path, err);
    }
    length = http_response_header(&response, "Content-Length", 0);
    if (length && text_parse_int(length, 0, INT64_MAX, &size_bytes) == 0 &&
        size_bytes != push->blob.size_bytes) {
        return error_set(err, -EBADMSG,
                         "%s has %s with %" PRId64 " bytes, but it has %" PRId64
                         "; the registry's storage is damaged",
                         registry_host_name(host), push->blob.digest, size_bytes,
                         push->blob.size_bytes);
    }
    return 1;
}

/* An upload that is not gone on with would stay with the registry for days. */
static void cancel(Upload *upload)
{
    _cleanup_http_response_ HttpResponse response = {0};

    if (upload->location) {
        (void)!send_request(upload, &(RegistryCall){.method = "DELETE", .url = upload->location},
                            &response, NULL);
        forget(upload);
    }
}

/* 1: one of the repositories had it. 0: an upload is open, perhaps. */
static int mount(Upload *upload)
{
    const char *const *from = upload->push->mount_from;

    for (; from && *from; from++) {
        int r = 0;

        if (strcmp(*from, upload->push->repository) == 0) {
            continue;
        }
        cancel(upload);
        /* Whatever goes wrong here, the ordinary way does without, or says it better. */
        r = begin(upload, *from, NULL);
        if (r > 0) {
            return 1;
        }
    }
    return 0;
}

int blob_push(RegistryHost *host, const BlobPush *push, Error *err)
{
    _cleanup_(upload_done) Upload upload = {
        .host = host, .push = push, .chunk_bytes = registry_host_options(host)->chunk_bytes};
    int64_t size = push->blob.size_bytes;
    int r = is_there(host, push, err);

    if (r != 0) {
        if (r > 0) {
            registry_host_tell(host, REGISTRY_KNOWN, push->blob.digest, size, size);
        }
        return MIN(r, 0);
    }
    if (mount(&upload)) {
        registry_host_tell(host, REGISTRY_MOUNTED, push->blob.digest, size, size);
        return 0;
    }
    if (!push->content) {
        cancel(&upload);
        return error_set(err, -ENOENT, "neither the image layout nor %s/%s has blob %s",
                         registry_host_name(host), push->repository, push->blob.digest);
    }
    r = upload_blob(&upload, err);
    if (r == 0) {
        registry_host_tell(host, REGISTRY_MOVED, push->blob.digest, size, size);
    }
    return r;
}
