/* SPDX-License-Identifier: MIT */
/* A server that takes PUT and DELETE: nginx or Apache with their dav modules, an object store
 * behind a gateway, Artifactory and its like. A PUT is atomic for readers on all of them.
 *
 * The lock is a file, too, and a lease: nothing of ours runs over there that could let go of it. It
 * is put with If-None-Match, which decides between two where the server heeds it; where it does
 * not, whoever finds another's name in the file before the last step stops there (keep_lock). */
#include "agent/package/repository/publish-backend.h"

#include "agent/http/http-url.h"
#include "agent/http/http.h"
#include "agent/package/repository/publish-lease.h"
#include "protocol/base/clock.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define LOCK_FILE ".slipway-lock"
#define LOCK_BYTES_MAX ((size_t)4096)
#define AUTHORIZATION_MAX ((size_t)16 << 10)

/* What may pass: no answer, 429, 5xx. The wait doubles. */
#define ATTEMPTS_MAX 5
#define FIRST_WAIT_MS ((int64_t)200)
#define WAIT_MAX_MS ((int64_t)10000)

typedef struct Web {
    PublishTarget target;
    Http *http;
    char *authorization; /* the whole header; NULL: none */
    char *lock;          /* what our lock's file says; NULL: not held */
    int64_t lock_taken_us;
} Web;

/* ---- requests ---------------------------------------------------------------------------------
 */

static int append_path(Buffer *path, const char *name)
{
    int r = 0;

    for (const char *part = name; r == 0 && *part; part += *part == '/') {
        size_t n = strcspn(part, "/");
        _cleanup_free_ char *piece = strndup(part, n);

        r = piece ? buffer_append(path, "/", 1) : -ENOMEM;
        r = r == 0 ? http_append_escaped(path, piece) : r;
        part += n;
    }
    return r;
}

static bool may_pass(int r, int status)
{
    return r == HTTP_NO_ANSWER || (r == 0 && (status == 429 || status >= 500) && status != 501);
}

typedef struct Sending {
    const char *method;
    const char *name; /* below the repository */
    const char *url;  /* instead, absolute; NULL: none */
    const HttpContent *content;
    const char *condition; /* a header; NULL: none */
    size_t max_bytes;      /* of the answer */
} Sending;

static int send_once(Web *web, const Sending *sending, const char *path, HttpResponse *response,
                     Error *err)
{
    const char *headers[3] = {0};
    size_t n = 0;

    if (web->authorization) {
        headers[n++] = web->authorization;
    }
    if (sending->condition) {
        headers[n++] = sending->condition;
    }
    return http_request(web->http,
                        &(HttpRequest){.method = sending->method,
                                       .path = sending->url ? NULL : path,
                                       .url = sending->url,
                                       .content = sending->content,
                                       .headers = headers,
                                       .max_bytes = sending->max_bytes,
                                       .timeout_ms = HTTP_TIMEOUT_NONE},
                        response, err);
}

static int64_t wait_before(unsigned attempt, int64_t retry_after_ms)
{
    int64_t ms = MAX(FIRST_WAIT_MS << (attempt - 1), retry_after_ms);

    return MIN(ms, WAIT_MAX_MS);
}

/* 0 with an answer, which is not of the passing kind unless those would not end. */
static int send_patiently(Web *web, const Sending *sending, HttpResponse *ret, Error *err)
{
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    int r = sending->url ? 0 : append_path(&path, sending->name);

    if (r < 0) {
        return error_set_errno(err, r, "cannot say its name");
    }
    for (unsigned attempt = 1;; attempt++) {
        _cleanup_error_ Error problem = {0};

        http_response_done(ret);
        r = send_once(web, sending, buffer_text(&path), ret, &problem);
        if (r < 0 || (attempt == ATTEMPTS_MAX && r == HTTP_NO_ANSWER)) {
            return error_set(err, r < 0 ? r : -EHOSTUNREACH, "%s: %s", sending->method,
                             error_text(&problem));
        }
        if (!may_pass(r, ret->status) || attempt == ATTEMPTS_MAX) {
            return 0;
        }
        log_debug("%s '%s': trying again", sending->method, buffer_text(&path));
        publish_wait(wait_before(attempt, ret->retry_after_ms));
    }
}

static int refuse_answer(const Sending *sending, const HttpResponse *response, Error *err)
{
    int code = response->status == 401 || response->status == 403 ? -EACCES : -EREMOTEIO;

    return error_set(
        err, code, "the server answered %s with status %d%s", sending->method, response->status,
        response->status == 401 || response->status == 403 ? ": it wants another authorization"
        : response->status == 405 || response->status == 501
            ? ": it takes no such request (are its dav methods on?)"
            : "");
}

/* ---- verbs ------------------------------------------------------------------------------------
 */

static int get(Web *web, const char *name, size_t max_bytes, HttpResponse *ret, Error *err)
{
    const Sending sending = {.method = "GET", .name = name, .max_bytes = max_bytes};
    int r = send_patiently(web, &sending, ret, err);

    if (r < 0) {
        return r;
    }
    if (ret->status == 404 || ret->status == 410) {
        return 0;
    }
    return ret->status == 200 ? 1 : refuse_answer(&sending, ret, err);
}

static int read_file(PublishTarget *target, const char *name, Buffer *ret, Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    int r = get((Web *)target, name, ret->limit - ret->len, &response, err);

    if (r == 1 && buffer_append(ret, response.body.data, response.body.len) < 0) {
        return error_set(err, -ENOBUFS, "is larger than %zu bytes", ret->limit);
    }
    return r == -EFBIG ? -ENOBUFS : r;
}

/* The directories of the address itself. Most will be there, or be nobody's to make, which each
 * server says in its own way: the PUT after this tells whether it matters. */
static int make_base(Web *web, Error *err)
{
    const char *address = web->target.address, *host = strstr(address, "://") + 3;

    for (size_t n = strcspn(host, "/"); host[n]; n += 1 + strcspn(host + n + 1, "/")) {
        size_t end = n + 1 + strcspn(host + n + 1, "/");
        _cleanup_http_response_ HttpResponse response = {0};
        _cleanup_free_ char *url = strndup(address, (size_t)(host - address) + end);
        int r = url ? send_patiently(web, &(Sending){.method = "MKCOL", .url = url}, &response, err)
                    : error_set(err, -ENOMEM, "out of memory");

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* WebDAV makes no directories on its way (RFC 4918, 9.7.1); what is there already answers 405. */
static int make_collections(Web *web, const char *name, Error *err)
{
    int r = make_base(web, err);

    for (const char *slash = strchr(name, '/'); r == 0 && slash; slash = strchr(slash + 1, '/')) {
        _cleanup_http_response_ HttpResponse response = {0};
        _cleanup_free_ char *parent = strndup(name, (size_t)(slash - name));
        const Sending sending = {.method = "MKCOL", .name = parent};

        r = parent ? send_patiently(web, &sending, &response, err)
                   : error_set(err, -ENOMEM, "out of memory");
        if (r == 0 && !http_status_is_success(response.status) && response.status != 405) {
            r = refuse_answer(&sending, &response, err);
        }
    }
    return r;
}

/* 0: it is there. 1: the condition does not hold. */
static int put_content(Web *web, const char *name, const HttpContent *content,
                       const char *condition, Error *err)
{
    const Sending sending = {
        .method = "PUT", .name = name, .content = content, .condition = condition};
    bool is_second = false;

    for (;;) {
        _cleanup_http_response_ HttpResponse response = {0};
        int r = send_patiently(web, &sending, &response, err);

        if (r < 0) {
            return r;
        }
        if (http_status_is_success(response.status)) {
            return 0;
        }
        if (condition && (response.status == 412 || response.status == 304)) {
            return 1;
        }
        if (is_second || (response.status != 409 && response.status != 404)) {
            return refuse_answer(&sending, &response, err);
        }
        is_second = true; /* a directory is missing */
        r = make_collections(web, name, err);
        if (r < 0) {
            return r;
        }
    }
}

static int put(PublishTarget *target, const char *name, const void *data, size_t n, Error *err)
{
    const HttpContent content = {.data = n > 0 ? data : "", .size_bytes = (int64_t)n};

    return put_content((Web *)target, name, &content, NULL, err);
}

static int put_file(PublishTarget *target, const char *name, int fd, int64_t size_bytes, Error *err)
{
    const HttpContent content = {.fd = fd, .size_bytes = size_bytes};

    return put_content((Web *)target, name, &content, NULL, err);
}

/* A server that takes no DELETE keeps what nothing points to any more: no reason to fail. */
static int remove_file(PublishTarget *target, const char *name, Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    const Sending sending = {.method = "DELETE", .name = name};
    int r = send_patiently((Web *)target, &sending, &response, err);

    if (r < 0 || http_status_is_success(response.status) || response.status == 404 ||
        response.status == 410 || response.status == 405 || response.status == 501) {
        return r;
    }
    return refuse_answer(&sending, &response, err);
}

/* ---- lock -------------------------------------------------------------------------------------
 */

/* Whether the lock's file says what we wrote: 1. */
static int is_lock_ours(Web *web, HttpResponse *there, Error *err)
{
    int r = get(web, LOCK_FILE, LOCK_BYTES_MAX, there, err);

    return r < 0 ? r : r == 1 && web->lock && strcmp(buffer_text(&there->body), web->lock) == 0;
}

/* *ret is the condition under which the file is still as it was seen; NULL where the server says
 * nothing to hold on to. */
static int condition_for(bool is_there, const HttpResponse *seen, char **ret)
{
    const char *tag = http_response_header(seen, "ETag", 0);

    *ret = NULL;
    if (is_there && !tag) {
        return 0;
    }
    if (asprintf(ret, is_there ? "If-Match: %s" : "If-None-Match: *", tag) < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    return 0;
}

/* 1: somebody has it, or had it until now and has left no doubt of that. */
static int is_lock_in_the_way(Web *web, HttpResponse *seen, bool *ret_is_there, Error *err)
{
    int r = get(web, LOCK_FILE, LOCK_BYTES_MAX, seen, err);

    if (r < 0) {
        return r;
    }
    *ret_is_there = r == 1;
    return r == 1 && !publish_lease_is_over(buffer_text(&seen->body));
}

static int write_lock(Web *web, const char *holder, const char *condition, Error *err)
{
    _cleanup_buffer_ Buffer own = BUFFER_INIT(LOCK_BYTES_MAX);
    int r = publish_lease_format(holder, &own);

    if (r < 0) {
        return error_set_errno(err, r, "cannot say who publishes");
    }
    r = put_content(web, LOCK_FILE,
                    &(HttpContent){.data = own.data, .size_bytes = (int64_t)own.len}, condition,
                    err);
    if (r < 0) {
        return r;
    }
    /* Also when the condition does not hold: after an answer that was lost, the file in its way may
     * be our own. */
    free(web->lock);
    web->lock = buffer_take_text(&own);
    web->lock_taken_us = clock_wall_us();
    return web->lock ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int take_lock(PublishTarget *target, const char *holder, Error *err)
{
    Web *web = (Web *)target;
    _cleanup_http_response_ HttpResponse seen = {0}, there = {0};
    _cleanup_free_ char *condition = NULL;
    bool is_there;
    int r = is_lock_in_the_way(web, &seen, &is_there, err);

    if (r != 0) {
        return r < 0 ? r : publish_lock_tell(buffer_text(&seen.body), target->address, err);
    }
    if (condition_for(is_there, &seen, &condition) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = write_lock(web, holder, condition, err);
    r = r == 0 ? is_lock_ours(web, &there, err) : r;
    if (r == 1) {
        return 0;
    }
    free(web->lock);
    web->lock = NULL;
    return r < 0 ? r : publish_lock_tell(buffer_text(&there.body), target->address, err);
}

static int keep_lock(PublishTarget *target, Error *err)
{
    Web *web = (Web *)target;
    _cleanup_http_response_ HttpResponse there = {0};
    _cleanup_free_ char *holder = NULL;
    int r = is_lock_ours(web, &there, err);

    if (r <= 0) {
        return r < 0 ? r
                     : error_set(err, -ESTALE, "somebody else took the lock of '%s' meanwhile",
                                 target->address);
    }
    if (clock_wall_us() - web->lock_taken_us < PUBLISH_LEASE_US / 3) {
        return 0;
    }
    holder = strndup(web->lock, strcspn(web->lock, "\n"));
    return holder ? write_lock(web, holder, NULL, err) : error_set(err, -ENOMEM, "out of memory");
}

static void close_web(PublishTarget *target)
{
    Web *web = (Web *)target;

    if (web->lock) {
        _cleanup_http_response_ HttpResponse there = {0};

        if (is_lock_ours(web, &there, NULL) == 1) {
            (void)!remove_file(target, LOCK_FILE, NULL);
        }
    }
    (void)http_close(web->http);
    free(web->authorization);
    free(web->lock);
    free(web);
}

static const PublishBackend backend = {
    .read = read_file,
    .put = put,
    .put_file = put_file,
    .remove = remove_file,
    .take_lock = take_lock,
    .keep_lock = keep_lock,
    .close = close_web,
};

/* ---- opening ----------------------------------------------------------------------------------
 */

static int read_authorization(const char *path, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(AUTHORIZATION_MAX);
    int r = file_read(AT_FDCWD, path, &text, err);

    if (r < 0) {
        return error_wrap(err, "authorization");
    }
    while (text.len > 0 && strchr("\r\n ", text.data[text.len - 1])) {
        buffer_truncate(&text, text.len - 1);
    }
    if (text.len == 0 || strlen(text.data) != text.len || strpbrk(text.data, "\r\n") ||
        !strchr(text.data, ' ')) {
        return error_set(err, -EINVAL, "'%s' is to have one line, such as `Bearer …` or `Basic …`",
                         path);
    }
    if (asprintf(ret, "Authorization: %s", text.data) < 0) {
        *ret = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

int publish_http_open(const char *address, const PublishAccess *access, PublishTarget **ret,
                      Error *err)
{
    Web *web = calloc(1, sizeof(*web));
    int r = 0;

    if (!web) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    web->target.backend = &backend;
    if (access->authorization_file && !http_url_is_https(address) &&
        !http_url_is_loopback(address)) {
        r = error_set(err, -EINVAL, "'%s': an authorization goes over https only", address);
    }
    if (r == 0 && access->authorization_file) {
        r = read_authorization(access->authorization_file, &web->authorization, err);
    }
    r = r == 0
            ? http_open_with(address, &(HttpOptions){.ca_file = access->ca_file}, &web->http, err)
            : r;
    if (r < 0) {
        close_web(&web->target);
        return r;
    }
    *ret = &web->target;
    return 0;
}
