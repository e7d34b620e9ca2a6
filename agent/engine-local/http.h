/* SPDX-License-Identifier: MIT */
/* HTTP on a unix socket, within the loop: whole requests in, whole answers out. The one file that
 * includes libmicrohttpd. Only root and this process's own user are let in. */
#pragma once

#include "agent/engine-local/loop.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

/* A specification is a few hundred bytes. */
#define HTTP_BODY_BYTES_MAX ((size_t)256 << 10)
#define HTTP_CONNECTIONS_MAX 128
#define HTTP_IDLE_SECONDS 60

typedef struct Http Http;

typedef struct HttpRequest {
    const char *method;
    const char *path; /* decoded, without the query */
    const char *body; /* "" where there is none */
    size_t body_len;
    void *connection;
} HttpRequest;

/* Fills `body` with JSON and returns the status. */
typedef unsigned (*HttpHandler)(void *userdata, const HttpRequest *request, Buffer *body);

/* Serves on the path, mode 0600. A socket there that nobody listens on is replaced. */
int http_new(Loop *loop, const char *path, HttpHandler handler, void *userdata, Http **ret,
             Error *err) _must_check_;
Http *http_free(Http *http); /* removes the socket */
DEFINE_CLEANUP(Http, http_free)

/* A value of the query, decoded; NULL if it is not there. Borrowed from the request. */
const char *http_query(const HttpRequest *request, const char *name);

/* {"error": text} as a body. Returns `status`. */
unsigned http_error(Buffer *body, unsigned status, const char *format, ...) _printf_(3, 4);
