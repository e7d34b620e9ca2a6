/* SPDX-License-Identifier: MIT */
#include "agent/deploy/http.h"

#include "protocol/base/text.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

/* To be connected; a host that is down should not cost the whole time limit. */
#define CONNECT_TIMEOUT_MS 5000L

struct Http {
    CURL *curl;
    char *base;   /* scheme, host and prefix, without a slash at the end */
    char *socket; /* path of a unix socket, or NULL */
    char *shown;  /* the address as the operator wrote it */
    char problem[CURL_ERROR_SIZE];
};

typedef struct Transfer {
    HttpResponse *response;
    bool is_too_large;
    bool is_out_of_memory;
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

int http_open(const char *address, Http **ret, Error *err)
{
    _cleanup_(http_closep) Http *http = calloc(1, sizeof(*http));
    int r;

    if (!http) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = parse_address(http, address, err);
    if (r < 0) {
        return r;
    }
    http->shown = strdup(address);
    http->curl = curl_easy_init();
    if (!http->curl || !http->shown) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = TAKE_PTR(http);
    return 0;
}

Http *http_close(Http *http)
{
    if (http) {
        curl_easy_cleanup(http->curl);
        free(http->base);
        free(http->socket);
        free(http->shown);
        free(http);
    }
    return NULL;
}

/* ---- one request ------------------------------------------------------------------------------
 */

void http_response_done(HttpResponse *response)
{
    buffer_done(&response->body);
    response->status = 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata)
{
    Transfer *transfer = userdata;
    int r = buffer_append(&transfer->response->body, data, size * n);

    transfer->is_too_large = r == -ENOBUFS;
    transfer->is_out_of_memory = r == -ENOMEM;
    return r == 0 ? size * n : 0;
}

/* Options that do not differ between requests are set each time all the same: curl_easy_reset keeps
 * the connection and forgets everything else, so no request inherits what another one set. */
static CURLcode set_basics(Http *http, const HttpRequest *request, Transfer *transfer)
{
    long timeout_ms = (long)(request->timeout_ms > 0 ? request->timeout_ms : HTTP_TIMEOUT_MS);
    CURL *curl = http->curl;
    CURLcode code;

    curl_easy_reset(curl);
    http->problem[0] = '\0';
    code = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->problem);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    code = code ? code : curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_PROXY, "");
    code = code ? code : curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    code = code ? code
                : curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                                   MIN(timeout_ms, CONNECT_TIMEOUT_MS));
    code = code ? code : curl_easy_setopt(curl, CURLOPT_USERAGENT, "slipway");
    code = code ? code : curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    if (!code && http->socket) {
        code = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, http->socket);
    }
    return code;
}

static CURLcode set_body(Http *http, const HttpRequest *request, const Buffer *body,
                         struct curl_slist *headers)
{
    const char *method = request->method ? request->method : "GET";
    CURL *curl = http->curl;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);

    if (!code && request->body) {
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, buffer_text(body));
        code = code ? code
                    : curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
    }
    if (!code && strcmp(method, "HEAD") == 0) {
        code = curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    }
    return code ? code : curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

/* curl names a host and a port that a unix socket does not have. */
static const char *say_problem(Http *http, CURLcode code)
{
    long os_errno = 0;

    if (code == CURLE_COULDNT_CONNECT && http->socket &&
        curl_easy_getinfo(http->curl, CURLINFO_OS_ERRNO, &os_errno) == CURLE_OK && os_errno > 0) {
        return strerror((int)os_errno);
    }
    return http->problem[0] ? http->problem : curl_easy_strerror(code);
}

static int perform(Http *http, const HttpRequest *request, Transfer *transfer, Error *err)
{
    const char *method = request->method ? request->method : "GET";
    CURLcode code = curl_easy_perform(http->curl);
    long status = 0;

    if (transfer->is_out_of_memory || code == CURLE_OUT_OF_MEMORY) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (transfer->is_too_large) {
        return error_set(err, -EFBIG, "%s %s of %s: the answer is larger than %zu bytes", method,
                         request->path, http->shown, transfer->response->body.limit);
    }
    if (code) {
        (void)error_set(err, -EIO, "%s %s of %s: %s", method, request->path, http->shown,
                        say_problem(http, code));
        return HTTP_NO_ANSWER;
    }
    (void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    transfer->response->status = (int)status;
    return 0;
}

int http_request(Http *http, const HttpRequest *request, HttpResponse *ret, Error *err)
{
    size_t max_bytes = request->max_bytes > 0 ? request->max_bytes : HTTP_BODY_MAX;
    Transfer transfer = {.response = ret};
    _cleanup_buffer_ Buffer body = BUFFER_INIT(0), url = BUFFER_INIT(0);
    struct curl_slist *headers = NULL;
    CURLcode code;
    int r;

    assert(request->path[0] == '/');
    http_response_done(ret);
    ret->body = BUFFER_INIT(max_bytes);
    r = request->body ? json_format(request->body, &body) : 0;
    r = r < 0 ? r : buffer_append_format(&url, "%s%s", http->base, request->path);
    if (r < 0) {
        return error_set_errno(err, r, "cannot write the request to %s", http->shown);
    }
    /* Without "Expect:" curl waits a second for a 100 that small servers never send. */
    headers = curl_slist_append(headers, "Expect:");
    headers = headers && request->body
                  ? curl_slist_append(headers, "Content-Type: application/json")
                  : headers;
    code = headers ? set_basics(http, request, &transfer) : CURLE_OUT_OF_MEMORY;
    code = code ? code : curl_easy_setopt(http->curl, CURLOPT_URL, buffer_text(&url));
    code = code ? code : set_body(http, request, &body, headers);
    if (code) {
        r = error_set(err, code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL,
                      "cannot set up the request to %s: %s", http->shown, curl_easy_strerror(code));
    } else {
        r = perform(http, request, &transfer, err);
    }
    curl_slist_free_all(headers);
    return r;
}

int http_response_json(const HttpResponse *response, Json **ret, Error *err)
{
    _cleanup_error_ Error problem = {0};
    Json *value = NULL;
    int r = json_parse(buffer_text(&response->body), response->body.len, &value, &problem);

    if (r < 0) {
        return error_set(err, r == -ENOMEM ? r : -EBADMSG, "the answer (status %d) is not JSON: %s",
                         response->status, error_text(&problem));
    }
    *ret = value;
    return 0;
}

int http_append_escaped(Buffer *path, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    int r = 0;

    for (; r == 0 && *text; text++) {
        r = strchr(plain, *text) ? buffer_append(path, text, 1)
                                 : buffer_append_format(path, "%%%02X", (unsigned char)*text);
    }
    return r;
}
