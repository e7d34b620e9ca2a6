/* SPDX-License-Identifier: MIT */
/* Addresses of the web, http and https alone (RFC 3986, by libcurl). None holds a password: what
 * has one is refused, so an address may always be shown once its query is off. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>

/* `reference` (absolute, or relative to `base`) as an absolute address; an absolute one is taken as
 * it is, byte for byte. -EINVAL: no address of http or https, or one with a user in it. */
int http_url_resolve(const char *base, const char *reference, char **ret, Error *err) _must_check_;

/* Scheme, host and port are the same; false where one of them is no address. */
bool http_url_is_same_origin(const char *a, const char *b);

bool http_url_is_https(const char *url);

/* The host is this machine by what it is called: "localhost", 127.0.0.0/8, ::1. */
bool http_url_is_loopback(const char *url);

/* "host" or "host:port", the latter where a port is said. -EINVAL. */
int http_url_host(const char *url, char **ret, Error *err) _must_check_;

/* Appends the address without query and fragment, in which secrets travel. */
int http_url_append_shown(Buffer *text, const char *url) _must_check_;

/* Appends a piece of a path or the value of a query, with all but A-Z a-z 0-9 - . _ ~ as %XX. */
int http_append_escaped(Buffer *path, const char *text) _must_check_;
