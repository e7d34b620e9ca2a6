/* SPDX-License-Identifier: MIT */
/* HTTP requests with JSON in and out, by libcurl; http.c is its only user. For engines and for the
 * health check of `verify`.
 *
 * Blocking and bounded: every request has a time limit, every answer a size limit, a redirect is an
 * answer like any other and is not followed (credentials never travel to a host that nobody
 * named), proxies of the environment are not used. Nothing is retried: that is the caller's. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>
#include <stdint.h>

/* One server. Its connection is kept between requests. */
typedef struct Http Http;

#define HTTP_TIMEOUT_MS ((int64_t)10000)
#define HTTP_BODY_MAX ((size_t)4 << 20)

/* `address`: "unix:/path/of/socket", "http://HOST[:PORT][/PREFIX]" or "https://…" (the certificate
 * is always checked). -EINVAL: it is none of these. */
int http_open(const char *address, Http **ret, Error *err) _must_check_;
Http *http_close(Http *http);
DEFINE_CLEANUP(Http, http_close)

typedef struct HttpRequest {
    const char *method; /* "GET", "PUT", …; NULL: GET */
    const char *path;   /* begins with '/'; put after the address's prefix, with its query */
    const Json *body;   /* sent as application/json; NULL: none */
    int64_t timeout_ms; /* of the whole request; 0: HTTP_TIMEOUT_MS */
    size_t max_bytes;   /* of the answer's body; 0: HTTP_BODY_MAX */
} HttpRequest;

typedef struct HttpResponse {
    int status; /* 100 to 599 */
    Buffer body;
} HttpResponse;

void http_response_done(HttpResponse *response);
#define _cleanup_http_response_ _cleanup_(http_response_done)

/* Nobody answered: no connection, a time limit, a connection cut in the middle. `err` says why. The
 * request may or may not have been taken. */
#define HTTP_NO_ANSWER 1

/* 0: there is an answer, whatever its status. HTTP_NO_ANSWER as above. -EFBIG: the answer is larger
 * than its limit. -ENOMEM, -EINVAL: a mistake of the caller's. `ret` is to be zeroed before and
 * released with http_response_done after, in every case. */
int http_request(Http *http, const HttpRequest *request, HttpResponse *ret,
                 Error *err) _must_check_;

/* The body as JSON, the caller's. -EBADMSG if it is none. */
int http_response_json(const HttpResponse *response, Json **ret, Error *err) _must_check_;

static inline bool http_status_is_success(int status)
{
    return status >= 200 && status < 300;
}

/* Appends a piece of a path or the value of a query, with all but A-Z a-z 0-9 - . _ ~ as %XX. */
int http_append_escaped(Buffer *path, const char *text) _must_check_;
