/* SPDX-License-Identifier: MIT */
/* What came back: status, headers, and the body unless it went to a sink. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>
#include <stdint.h>

/* All headers of an answer together. */
#define HTTP_HEADERS_MAX ((size_t)128 << 10)

typedef struct HttpResponse {
    int status; /* 100 to 599 */
    Buffer body;
    Buffer headers;         /* "Name: value", each with its NUL; for the functions below */
    char *url;              /* where the answer came from, after all redirects */
    int64_t retry_after_ms; /* what Retry-After asks for; 0: nothing */
} HttpResponse;

void http_response_done(HttpResponse *response);
#define _cleanup_http_response_ _cleanup_(http_response_done)

/* The value of the `index`-th header of that name, whatever its case; NULL. Borrowed. */
const char *http_response_header(const HttpResponse *response, const char *name, size_t index);

/* Adds the line of a header as it came; at a status line takes the status and empties the list, for
 * an interim answer came before. What is neither is left out. -ENOBUFS, -ENOMEM. */
int http_response_add_line(HttpResponse *response, const char *line, size_t n) _must_check_;

/* The body as JSON, the caller's. -EBADMSG if it is none. */
int http_response_json(const HttpResponse *response, Json **ret, Error *err) _must_check_;

static inline bool http_status_is_success(int status)
{
    return status >= 200 && status < 300;
}
