/* SPDX-License-Identifier: MIT */
#include "agent/http/http-url.h"

#include "protocol/base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

static void url_freep(CURLU **url)
{
    curl_url_cleanup(*url);
}
#define _cleanup_url_ _cleanup_(url_freep)

static void part_freep(char **part)
{
    curl_free(*part);
}
#define _cleanup_part_ _cleanup_(part_freep)

static bool is_ours(CURLU *url)
{
    _cleanup_part_ char *scheme = NULL, *host = NULL, *user = NULL, *password = NULL;

    return !curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) &&
           (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
           !curl_url_get(url, CURLUPART_HOST, &host, 0) && host[0] &&
           curl_url_get(url, CURLUPART_USER, &user, 0) &&
           curl_url_get(url, CURLUPART_PASSWORD, &password, 0);
}

/* NULL: no address of ours. */
static CURLU *parse(const char *text)
{
    CURLU *url = curl_url();

    if (url && (curl_url_set(url, CURLUPART_URL, text, 0) || !is_ours(url))) {
        curl_url_cleanup(url);
        return NULL;
    }
    return url;
}

int http_url_resolve(const char *base, const char *reference, char **ret, Error *err)
{
    _cleanup_url_ CURLU *absolute = parse(reference), *url = NULL;
    _cleanup_part_ char *text = NULL;
    char *copy;

    if (absolute) {
        copy = strdup(reference);
    } else {
        url = parse(base);
        if (!url || curl_url_set(url, CURLUPART_URL, reference, 0) || !is_ours(url) ||
            curl_url_get(url, CURLUPART_URL, &text, 0)) {
            return error_set(err, -EINVAL, "this is no address of http or https without a user");
        }
        copy = strdup(text);
    }
    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = copy;
    return 0;
}

static bool is_same_part(CURLU *a, CURLU *b, CURLUPart which)
{
    _cleanup_part_ char *one = NULL, *other = NULL;

    return !curl_url_get(a, which, &one, CURLU_DEFAULT_PORT) &&
           !curl_url_get(b, which, &other, CURLU_DEFAULT_PORT) && strcasecmp(one, other) == 0;
}

bool http_url_is_same_origin(const char *a, const char *b)
{
    _cleanup_url_ CURLU *one = parse(a), *other = parse(b);

    return one && other && is_same_part(one, other, CURLUPART_SCHEME) &&
           is_same_part(one, other, CURLUPART_HOST) && is_same_part(one, other, CURLUPART_PORT);
}

bool http_url_is_https(const char *url)
{
    return strncasecmp(url, "https://", 8) == 0;
}

bool http_url_is_loopback(const char *text)
{
    _cleanup_url_ CURLU *url = parse(text);
    _cleanup_part_ char *host = NULL;
    struct in_addr address;

    if (!url || curl_url_get(url, CURLUPART_HOST, &host, 0)) {
        return false;
    }
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

int http_url_host(const char *text, char **ret, Error *err)
{
    _cleanup_url_ CURLU *url = parse(text);
    _cleanup_part_ char *host = NULL, *port = NULL;
    _cleanup_buffer_ Buffer both = BUFFER_INIT(0);
    char *taken;

    if (!url || curl_url_get(url, CURLUPART_HOST, &host, 0)) {
        return error_set(err, -EINVAL, "this is no address of http or https without a user");
    }
    (void)curl_url_get(url, CURLUPART_PORT, &port, 0);
    if (buffer_append_format(&both, "%s%s%s", host, port ? ":" : "", port ? port : "") < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    taken = buffer_take_text(&both);
    if (!taken) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = taken;
    return 0;
}

int http_url_append_shown(Buffer *text, const char *url)
{
    return buffer_append(text, url, strcspn(url, "?#"));
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
