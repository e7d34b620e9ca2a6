/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 requests for runners, by libcurl; this room is its only user there. For engines, for the
 * health check of `verify`, for the registry client.
 *
 * Blocking and bounded: every request has time limits, every answer a size limit. A redirect is an
 * answer like any other unless the request allows some; then nothing that could be a secret goes to
 * another origin, and the way from https back to http is refused. A connection whose other end is
 * gone is noticed in seconds, however long the whole may take. Nothing is retried here: that is the
 * caller's. A program that uses TLS ignores SIGPIPE, which a broken connection may raise. */
#pragma once

#include "agent/http/http-response.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One server. Its connection is kept between requests. */
typedef struct Http Http;

#define HTTP_TIMEOUT_MS ((int64_t)10000)
#define HTTP_TIMEOUT_NONE ((int64_t)-1)
#define HTTP_CONNECT_TIMEOUT_MS ((int64_t)5000)
#define HTTP_STALL_TIMEOUT_MS ((int64_t)10000)
#define HTTP_REPLY_TIMEOUT_MS ((int64_t)60000)
#define HTTP_BODY_MAX ((size_t)4 << 20)
/* How much of an answer that is no success is kept where the body had another way to go. */
#define HTTP_COMPLAINT_MAX ((size_t)64 << 10)

typedef struct HttpOptions {
    const char *ca_file;          /* PEM; trusted besides the system's; NULL: none */
    const char *certificate_file; /* PEM, the client's own, for this server alone; NULL: none */
    const char *key_file;         /* of the certificate; NULL: it is in the same file */
    bool has_environment_proxy; /* https_proxy, http_proxy, no_proxy; otherwise no proxy is used */
} HttpOptions;

/* `address`: "unix:/path/of/socket", "http://HOST[:PORT][/PREFIX]" or "https://…" (the certificate
 * is always checked). `options` may be NULL. -EINVAL: it is none of these. */
int http_open(const char *address, Http **ret, Error *err) _must_check_;
int http_open_with(const char *address, const HttpOptions *options, Http **ret,
                   Error *err) _must_check_;
Http *http_close(Http *http);
DEFINE_CLEANUP(Http, http_close)

/* Up to `n` bytes of a body from `offset` on: how many there are, 0 at its end, -errno. Asked again
 * from an earlier offset when a kept connection turns out to be dead. */
typedef ssize_t (*HttpReader)(void *userdata, int64_t offset, void *data, size_t n);

/* What is sent. A body in memory, of a file (its own offset does not matter and does not move), or
 * of a function; whichever is set first in this order. */
typedef struct HttpContent {
    const void *data;
    int fd; /* counts when `read` is NULL and `data` is NULL */
    HttpReader read;
    void *userdata;
    int64_t offset;     /* in the file, or what `read` is first asked for */
    int64_t size_bytes; /* -1: not known, `read` says when it ends (sent in chunks) */
    const char *type;   /* Content-Type; NULL: application/octet-stream */
} HttpContent;

/* Takes the body of a successful answer piece by piece; status and headers of `response` are there.
 * 0: go on. Positive: enough, the request has succeeded and its connection is given up. Negative
 * with `err` set: the request fails with that. */
typedef int (*HttpSink)(void *userdata, const HttpResponse *response, const void *data, size_t n,
                        Error *err);

/* So many bytes of the request's content were sent, so many of the answer's body were received. */
typedef void (*HttpProgress)(void *userdata, int64_t sent_bytes, int64_t received_bytes);

typedef struct HttpRequest {
    const char *method; /* "GET", "PUT", …; NULL: GET */
    const char *path;   /* begins with '/'; put after the address's prefix, with its query */
    const char *url;    /* instead of `path`: absolute, perhaps of another host; NULL */
    const Json *body;   /* sent as application/json; NULL: none */
    const HttpContent *content; /* sent instead of `body`; NULL: none */
    const char *const *headers; /* "Name: value", up to a NULL; NULL: none */
    HttpSink sink;              /* takes the body of a success; NULL: it is kept */
    HttpProgress progress;      /* at least once a second; NULL: nobody asks */
    void *userdata;             /* of sink and progress */
    bool is_sent_once;      /* the content, also when a kept connection dies; POST and PATCH are */
    unsigned max_redirects; /* that are followed; GET and HEAD, and 307 and 308 of others */
    int64_t timeout_ms;     /* of the whole; 0: HTTP_TIMEOUT_MS; HTTP_TIMEOUT_NONE */
    int64_t stall_timeout_ms; /* with no byte moved where some should; 0: HTTP_STALL_TIMEOUT_MS */
    int64_t reply_timeout_ms; /* from the last byte sent to the answer's first; 0: the default */
    size_t max_bytes;         /* of the answer's body; 0: HTTP_BODY_MAX; not for `sink` */
} HttpRequest;

/* Nobody answered: no connection, a time limit, a connection cut in the middle. `err` says why. The
 * request may or may not have been taken. */
#define HTTP_NO_ANSWER 1

/* 0: there is an answer, whatever its status. HTTP_NO_ANSWER as above. -EFBIG: the answer is larger
 * than its limit. -ELOOP, -EPROTO: a redirect that is not followed. -EKEYREJECTED: the certificate
 * of one of the two does not do, so asking again is of no use. -ENOMEM, -EINVAL: a mistake of the
 * caller's. Or what sink or reader answered. `ret` is to be zeroed before and released with
 * http_response_done after, in every case. */
int http_request(Http *http, const HttpRequest *request, HttpResponse *ret,
                 Error *err) _must_check_;
