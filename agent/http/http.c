/* SPDX-License-Identifier: MIT */
#include "agent/http/http.h"

#include "agent/http/http-url.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <curl/curl.h>

/* What curl asks a body for, and offers of an answer, at a time. */
#define CHUNK_BYTES (256L << 10)

/* A silent connection is asked whether it lives after so many seconds, then so often. */
#define KEEPALIVE_IDLE_S 5
#define KEEPALIVE_INTERVAL_S 2
#define KEEPALIVE_PROBES 3

struct Http {
    CURL *curl;
    char *base;   /* scheme, host and prefix, without a slash at the end */
    char *socket; /* path of a unix socket, or NULL */
    char *shown;  /* the address as the operator wrote it */
    char *ca_file;
    char *certificate_file;
    char *key_file;
    bool has_environment_proxy;
    char problem[CURL_ERROR_SIZE];
};

typedef struct Transfer {
    const HttpRequest *request;
    const HttpContent *content; /* NULL: nothing is sent */
    HttpResponse *response;
    Error *err;
    int64_t sent_bytes;  /* of the content */
    int64_t moved_bytes; /* both ways, when some moved last */
    int64_t moved_at_ms;
    bool is_answering; /* the first byte of the answer is here */
    bool is_enough;
    int failed;           /* what a callback ended the request with; 0 */
    const char *given_up; /* why on_progress ended it, or NULL */
} Transfer;

/* ---- addresses --------------------------------------------------------------------------------
 */

static int parse_address(Http *http, const char *address, Error *err)
{
    size_t n = strlen(address);

    if (text_has_prefix(address, "unix:")) {
        if (address[5] != '/') {
            return error_set(err, -EINVAL,
                             "address '%s': after 'unix:' comes the socket's absolute path",
                             address);
        }
        http->base = strdup("http://localhost");
        http->socket = strdup(address + 5);
        return http->base && http->socket ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    if (!text_has_prefix(address, "http://") && !text_has_prefix(address, "https://")) {
        return error_set(err, -EINVAL,
                         "address '%s': 'unix:/PATH', 'http://HOST' or 'https://HOST' is expected",
                         address);
    }
    if (strchr(address, '@')) {
        /* Addresses are shown in logs and errors. */
        return error_set(err, -EINVAL,
                         "an address with '@' in it: user and password have no place there");
    }
    if (strpbrk(address, "?# \t\r\n") || strstr(address, ":///")) {
        return error_set(err, -EINVAL,
                         "address '%s': a host and perhaps a path are expected, nothing more",
                         address);
    }
    while (n > 0 && address[n - 1] == '/') {
        n--;
    }
    http->base = strndup(address, n);
    return http->base ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int copy_text(char **ret, const char *text)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? -ENOMEM : 0;
}

int http_open_with(const char *address, const HttpOptions *options, Http **ret, Error *err)
{
    static const HttpOptions defaults;
    _cleanup_(http_closep) Http *http = calloc(1, sizeof(*http));
    int r;

    if (!http) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    options = options ? options : &defaults;
    r = parse_address(http, address, err);
    if (r < 0) {
        return r;
    }
    http->has_environment_proxy = options->has_environment_proxy;
    http->curl = curl_easy_init();
    if (!http->curl || copy_text(&http->shown, address) < 0 ||
        copy_text(&http->ca_file, options->ca_file) < 0 ||
        copy_text(&http->certificate_file, options->certificate_file) < 0 ||
        copy_text(&http->key_file, options->key_file) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = TAKE_PTR(http);
    return 0;
}

int http_open(const char *address, Http **ret, Error *err)
{
    return http_open_with(address, NULL, ret, err);
}

Http *http_close(Http *http)
{
    if (http) {
        curl_easy_cleanup(http->curl);
        free(http->base);
        free(http->socket);
        free(http->shown);
        free(http->ca_file);
        free(http->certificate_file);
        free(http->key_file);
        free(http);
    }
    return NULL;
}

/* ---- curl calls back --------------------------------------------------------------------------
 */

static size_t on_header(char *line, size_t size, size_t n, void *userdata)
{
    Transfer *transfer = userdata;

    transfer->is_answering = true;
    transfer->failed = http_response_add_line(transfer->response, line, size * n);
    return transfer->failed == 0 ? size * n : 0;
}

/* Of a complaint the beginning is enough. */
static int keep(Transfer *transfer, const char *data, size_t n)
{
    Buffer *body = &transfer->response->body;

    if (transfer->request->sink && n > body->limit - body->len) {
        transfer->is_enough = true;
        n = body->limit - body->len;
    }
    return buffer_append(body, data, n);
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata)
{
    Transfer *transfer = userdata;
    const HttpRequest *request = transfer->request;
    int r;

    if (request->sink && http_status_is_success(transfer->response->status)) {
        r = request->sink(request->userdata, transfer->response, data, size * n, transfer->err);
        transfer->is_enough = r > 0;
    } else {
        r = keep(transfer, data, size * n);
    }
    transfer->failed = MIN(r, 0);
    return r == 0 && !transfer->is_enough ? size * n : CURL_WRITEFUNC_ERROR;
}

static ssize_t read_content(const HttpContent *content, int64_t done, char *data, size_t n)
{
    if (content->size_bytes >= 0) {
        n = (size_t)MIN((int64_t)n, content->size_bytes - done);
    }
    if (content->data) {
        memcpy(data, (const char *)content->data + content->offset + done, n);
        return (ssize_t)n;
    }
    return content->read ? content->read(content->userdata, content->offset + done, data, n)
                         : fd_pread_full(content->fd, data, n, content->offset + done);
}

static size_t on_send(char *data, size_t size, size_t n, void *userdata)
{
    Transfer *transfer = userdata;
    ssize_t got = read_content(transfer->content, transfer->sent_bytes, data, size * n);

    if (got == 0 && transfer->sent_bytes < transfer->content->size_bytes) {
        got = -ENODATA;
    }
    if (got < 0) {
        transfer->failed = (int)got;
        return CURL_READFUNC_ABORT;
    }
    transfer->sent_bytes += got;
    return (size_t)got;
}

/* curl would send again by itself what a kept connection that died may have taken already. */
static bool may_repeat(const HttpRequest *request)
{
    const char *method = request->method ? request->method : "GET";

    return !request->is_sent_once && strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0;
}

static int on_rewind(void *userdata, curl_off_t offset, int origin)
{
    Transfer *transfer = userdata;

    if (origin != SEEK_SET || !may_repeat(transfer->request)) {
        return CURL_SEEKFUNC_FAIL;
    }
    transfer->sent_bytes = offset;
    return CURL_SEEKFUNC_OK;
}

/* curl's own low-speed limit counts in whole seconds and does not know that a server that stores
 * what it got may be silent for longer than one that should be receiving. */
static int on_progress(void *userdata, curl_off_t download_total, curl_off_t downloaded,
                       curl_off_t upload_total, curl_off_t uploaded)
{
    Transfer *transfer = userdata;
    const HttpRequest *request = transfer->request;
    int64_t now = clock_monotonic_ms(), limit;
    bool is_sent = !transfer->content || uploaded >= transfer->content->size_bytes;

    if (request->progress) {
        request->progress(request->userdata, uploaded, downloaded);
    }
    if (downloaded + uploaded != transfer->moved_bytes) {
        transfer->moved_bytes = downloaded + uploaded;
        transfer->moved_at_ms = now;
        return 0;
    }
    if (is_sent && !transfer->is_answering) {
        limit = request->reply_timeout_ms ? request->reply_timeout_ms : HTTP_REPLY_TIMEOUT_MS;
        transfer->given_up = "no answer came in time, though the connection stands";
    } else {
        limit = request->stall_timeout_ms ? request->stall_timeout_ms : HTTP_STALL_TIMEOUT_MS;
        transfer->given_up = "the connection has stalled: nothing was moved for too long";
    }
    if (now - transfer->moved_at_ms < limit) {
        transfer->given_up = NULL;
        return 0;
    }
    return 1;
}

/* A peer that is gone without a word (power, cable, a firewall that forgot) is found out by the
 * kernel: unanswered data by TCP_USER_TIMEOUT, silence by keepalive. */
static int on_socket(void *userdata, curl_socket_t fd, curlsocktype purpose)
{
    const Transfer *transfer = userdata;
    int64_t stall = transfer->request->stall_timeout_ms;
    unsigned unanswered_ms = (unsigned)(stall > 0 ? stall : HTTP_STALL_TIMEOUT_MS);
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;

    /* All of them are refused by a unix socket, whose other end cannot be far away. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
    return CURL_SOCKOPT_OK;
}

/* ---- one request ------------------------------------------------------------------------------
 */

static CURLcode set_times(CURL *curl, const HttpRequest *request, Transfer *transfer)
{
    int64_t timeout_ms = request->timeout_ms ? request->timeout_ms : HTTP_TIMEOUT_MS;
    int64_t connect_ms = HTTP_CONNECT_TIMEOUT_MS;
    CURLcode code;

    if (timeout_ms > 0) {
        connect_ms = MIN(timeout_ms, connect_ms);
    }
    code = curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)MAX(timeout_ms, (int64_t)0));
    code = code ? code : curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, on_socket);
    return code ? code : curl_easy_setopt(curl, CURLOPT_SOCKOPTDATA, transfer);
}

/* The client's certificate is for the server that was opened, not for one it points to. */
static CURLcode set_tls(Http *http, bool is_at_home)
{
    CURL *curl = http->curl;
    CURLcode code = CURLE_OK;

    if (http->ca_file) {
        code = curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_file);
    }
    if (!code && is_at_home && http->certificate_file) {
        code = curl_easy_setopt(curl, CURLOPT_SSLCERT, http->certificate_file);
        code = code ? code
                    : curl_easy_setopt(curl, CURLOPT_SSLKEY,
                                       http->key_file ? http->key_file : http->certificate_file);
    }
    return code;
}

/* Options that do not differ between requests are set each time all the same: curl_easy_reset keeps
 * the connection and forgets everything else, so no request inherits what another one set. */
static CURLcode set_basics(Http *http, const char *url, bool is_at_home, Transfer *transfer)
{
    CURL *curl = http->curl;
    CURLcode code;

    curl_easy_reset(curl);
    http->problem[0] = '\0';
    code = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->problem);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_URL, url);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    code = code ? code : curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_USERAGENT, "slipway");
    code = code ? code : curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, CHUNK_BYTES);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, CHUNK_BYTES);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    code = code ? code : set_times(curl, transfer->request, transfer);
    code = code ? code : set_tls(http, is_at_home);
    if (!code && !http->has_environment_proxy) {
        code = curl_easy_setopt(curl, CURLOPT_PROXY, "");
    }
    if (!code && http->socket && is_at_home) {
        code = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, http->socket);
    }
    return code;
}

static CURLcode set_body(CURL *curl, const char *method, Transfer *transfer,
                         struct curl_slist *headers)
{
    CURLcode code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);

    if (!code && transfer->content) {
        code = curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        code = code ? code : curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
        code = code ? code : curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
        code = code ? code : curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_rewind);
        code = code ? code : curl_easy_setopt(curl, CURLOPT_SEEKDATA, transfer);
        code = code ? code
                    : curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                                       (curl_off_t)transfer->content->size_bytes);
    }
    if (!code && strcmp(method, "HEAD") == 0) {
        code = curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    }
    return code ? code : curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

/* At another origin than the first only what cannot be a secret. */
static bool may_travel(const char *header)
{
    static const char *const harmless[] = {"Accept:", "Content-Range:", "Range:", "If-Range:"};

    for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
        if (strncasecmp(header, harmless[i], strlen(harmless[i])) == 0) {
            return true;
        }
    }
    return false;
}

static int add_header(struct curl_slist **headers, const char *text)
{
    struct curl_slist *longer;

    if (strpbrk(text, "\r\n")) {
        return -EINVAL;
    }
    longer = curl_slist_append(*headers, text);
    *headers = longer ? longer : *headers;
    return longer ? 0 : -ENOMEM;
}

static int make_headers(const Transfer *transfer, bool is_away, struct curl_slist **ret)
{
    const char *const *header = transfer->request->headers;
    _cleanup_free_ char *type = NULL;
    /* Without an empty "Expect:" curl waits a second for a 100 that small servers never send. */
    int r = add_header(ret, "Expect:");

    if (r == 0 && transfer->content) {
        const char *name = transfer->content->type;

        if (asprintf(&type, "Content-Type: %s", name ? name : "application/octet-stream") < 0) {
            type = NULL;
            return -ENOMEM;
        }
        r = add_header(ret, type);
    }
    for (; r == 0 && header && *header; header++) {
        r = is_away && !may_travel(*header) ? 0 : add_header(ret, *header);
    }
    return r;
}

/* curl names a host and a port that a unix socket does not have, and never what to do. */
static int say_problem(Http *http, const Transfer *transfer, CURLcode code, Buffer *text)
{
    static const struct {
        CURLcode code;
        const char *advice;
    } advices[] = {
        {CURLE_COULDNT_RESOLVE_HOST, "; is the name right, and does this host's DNS know it?"},
        {CURLE_COULDNT_CONNECT, "; does it run, and is the port right?"},
        {CURLE_PEER_FAILED_VERIFICATION,
         "; if a private authority signed its certificate, name the file with that authority's"},
        {CURLE_SSL_CONNECT_ERROR, "; does it speak TLS on this port?"},
        {CURLE_SSL_CACERT_BADFILE, "; is the file of certificates to trust there, in PEM?"},
        {CURLE_SSL_CERTPROBLEM, "; are certificate and key there, in PEM, and of each other?"},
    };
    const char *reason = http->problem[0] ? http->problem : curl_easy_strerror(code);
    const char *advice = "";
    long os_errno = 0;

    if (code == CURLE_COULDNT_CONNECT && http->socket &&
        curl_easy_getinfo(http->curl, CURLINFO_OS_ERRNO, &os_errno) == CURLE_OK && os_errno > 0) {
        return buffer_append_text(text, strerror((int)os_errno));
    }
    if (code == CURLE_ABORTED_BY_CALLBACK && transfer->given_up) {
        reason = transfer->given_up;
    }
    for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
        advice = advices[i].code == code ? advices[i].advice : advice;
    }
    return buffer_append_format(text, "%s%s", reason, advice);
}

static bool is_of_certificates(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_ISSUER_ERROR;
}

static int perform(Http *http, Transfer *transfer, const char *what, Error *err)
{
    _cleanup_buffer_ Buffer problem = BUFFER_INIT(0);
    HttpResponse *response = transfer->response;
    CURLcode code;
    curl_off_t retry_after_s = 0;

    transfer->moved_at_ms = clock_monotonic_ms();
    code = curl_easy_perform(http->curl);
    if (transfer->failed == -ENOMEM || code == CURLE_OUT_OF_MEMORY) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (transfer->failed == -ENOBUFS) {
        return error_set(err, -EFBIG, "%s: the answer is larger than %zu bytes", what,
                         response->status ? response->body.limit : HTTP_HEADERS_MAX);
    }
    if (transfer->failed && code == CURLE_ABORTED_BY_CALLBACK) {
        return error_set_errno(err, transfer->failed, "%s: cannot read what is to be sent", what);
    }
    if (transfer->failed) {
        return error_wrap(err, "%s", what);
    }
    if (code && !transfer->is_enough) {
        response->status = 0;
        if (say_problem(http, transfer, code, &problem) < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        (void)error_set(err, is_of_certificates(code) ? -EKEYREJECTED : -EIO, "%s: %s", what,
                        buffer_text(&problem));
        return is_of_certificates(code) ? -EKEYREJECTED : HTTP_NO_ANSWER;
    }
    (void)curl_easy_getinfo(http->curl, CURLINFO_RETRY_AFTER, &retry_after_s);
    response->retry_after_ms = (int64_t)retry_after_s * 1000;
    return 0;
}

/* "GET /v1/apps of ADDRESS", or "GET https://other/path": without query where it is not ours. */
static int describe(const Http *http, const HttpRequest *request, const char *url, Buffer *ret)
{
    const char *method = request->method ? request->method : "GET";

    if (request->path && strcmp(url + strlen(http->base), request->path) == 0 &&
        text_has_prefix(url, http->base)) {
        return buffer_append_format(ret, "%s %s of %s", method, request->path, http->shown);
    }
    return buffer_append_format(ret, "%s %.*s", method, (int)strcspn(url, "?#"), url);
}

static int request_once(Http *http, const HttpRequest *request, const HttpContent *content,
                        const char *url, bool is_away, HttpResponse *ret, Error *err)
{
    const char *method = request->method ? request->method : "GET";
    size_t max_bytes = request->max_bytes > 0 ? request->max_bytes : HTTP_BODY_MAX;
    Transfer transfer = {.request = request, .content = content, .response = ret, .err = err};
    _cleanup_buffer_ Buffer what = BUFFER_INIT(0);
    struct curl_slist *headers = NULL;
    bool is_at_home = http->socket ? !is_away : http_url_is_same_origin(url, http->base);
    CURLcode code;
    int r;

    http_response_done(ret);
    ret->body = BUFFER_INIT(request->sink ? HTTP_COMPLAINT_MAX : max_bytes);
    ret->headers = BUFFER_INIT(HTTP_HEADERS_MAX);
    ret->url = strdup(url);
    r = ret->url ? describe(http, request, url, &what) : -ENOMEM;
    r = r < 0 ? r : make_headers(&transfer, is_away, &headers);
    if (r < 0) {
        r = error_set_errno(err, r, "cannot write the request to %s", http->shown);
    } else {
        code = set_basics(http, url, is_at_home, &transfer);
        code = code ? code : set_body(http->curl, method, &transfer, headers);
        r = code ? error_set(err, code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL,
                             "cannot set up the request to %s: %s", http->shown,
                             curl_easy_strerror(code))
                 : perform(http, &transfer, buffer_text(&what), err);
    }
    curl_slist_free_all(headers);
    return r;
}

static bool is_redirect(const HttpRequest *request, const HttpResponse *response)
{
    const char *method = request->method ? request->method : "GET";
    bool is_reading = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

    switch (response->status) {
    case 301:
    case 302:
    case 303:
        return is_reading && http_response_header(response, "Location", 0);
    case 307:
    case 308:
        return http_response_header(response, "Location", 0);
    default:
        return false;
    }
}

/* Where the answer points to. */
static int next_url(const HttpResponse *response, char **ret, Error *err)
{
    const char *location = http_response_header(response, "Location", 0);
    _cleanup_free_ char *next = NULL;
    int r = http_url_resolve(response->url, location, &next, err);

    if (r < 0) {
        return r == -ENOMEM
                   ? r
                   : error_set(err, -EPROTO, "%.*s redirects to '%.*s', which is no address",
                               (int)strcspn(response->url, "?#"), response->url,
                               (int)MIN(strcspn(location, "?#"), (size_t)200), location);
    }
    if (http_url_is_https(response->url) && !http_url_is_https(next)) {
        return error_set(
            err, -EPROTO, "%.*s redirects from https to http, %.*s, which is not followed",
            (int)strcspn(response->url, "?#"), response->url, (int)strcspn(next, "?#"), next);
    }
    *ret = TAKE_PTR(next);
    return 0;
}

/* `first` is the address that the request names: its headers are for that origin. */
static int follow(Http *http, const HttpRequest *request, const HttpContent *content,
                  const char *first, HttpResponse *ret, Error *err)
{
    _cleanup_free_ char *url = strdup(first);
    bool is_away = false;

    if (!url) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (unsigned hops = 0;; hops++) {
        char *next = NULL;
        int r = request_once(http, request, content, url, is_away, ret, err);

        if (r != 0 || request->max_redirects == 0 || !is_redirect(request, ret)) {
            return r;
        }
        if (hops == request->max_redirects) {
            return error_set(err, -ELOOP, "%.*s is more than %u redirects away",
                             (int)strcspn(first, "?#"), first, request->max_redirects);
        }
        r = next_url(ret, &next, err);
        if (r < 0) {
            return r;
        }
        free(url);
        url = next;
        is_away = is_away || !http_url_is_same_origin(first, url);
    }
}

int http_request(Http *http, const HttpRequest *request, HttpResponse *ret, Error *err)
{
    _cleanup_buffer_ Buffer body = BUFFER_INIT(0), url = BUFFER_INIT(0);
    HttpContent json = {.type = "application/json"};
    const HttpContent *content = request->content;
    int r = 0;

    assert(request->url ? !request->path : request->path[0] == '/');
    http_response_done(ret);
    if (!content && request->body) {
        r = json_format(request->body, &body);
        json.data = buffer_text(&body);
        json.size_bytes = (int64_t)body.len;
        content = &json;
    }
    if (r == 0) {
        r = request->url ? buffer_append_text(&url, request->url)
                         : buffer_append_format(&url, "%s%s", http->base, request->path);
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot write the request to %s", http->shown);
    }
    return follow(http, request, content, buffer_text(&url), ret, err);
}
