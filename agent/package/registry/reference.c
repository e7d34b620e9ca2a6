/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/reference.h"

#include "agent/package/layer/oci.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

void reference_done(Reference *reference)
{
    free(reference->host);
    free(reference->repository);
    free(reference->tag);
    free(reference->digest);
    *reference = (Reference){0};
}

bool reference_is_digest(const char *text)
{
    size_t prefix = strlen(OCI_DIGEST_PREFIX);

    return text && text_has_prefix(text, OCI_DIGEST_PREFIX) &&
           strlen(text) == OCI_DIGEST_SIZE - 1 &&
           strspn(text + prefix, DIGITS "abcdef") == OCI_DIGEST_SIZE - 1 - prefix;
}

bool reference_is_tag(const char *text)
{
    size_t n = strlen(text);

    return n >= 1 && n <= REFERENCE_TAG_MAX && text[0] != '.' && text[0] != '-' &&
           strspn(text, LOWER UPPER DIGITS "_.-") == n;
}

/* [a-z0-9]+ with single '.', one or two '_', or any '-' between. */
static bool is_path_component(const char *text, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t word = strspn(text + i, LOWER DIGITS), separator;

        if (word == 0 || (i += word) > n) {
            return false;
        }
        if (i == n) {
            return true;
        }
        separator = strspn(text + i, "-");
        if (separator == 0) {
            separator = text[i] == '.' ? 1 : strspn(text + i, "_");
            if (separator < 1 || separator > 2) {
                return false;
            }
        }
        i += separator;
    }
    return false;
}

bool reference_is_repository(const char *text)
{
    if (strlen(text) > REFERENCE_NAME_MAX) {
        return false;
    }
    for (;;) {
        size_t n = strcspn(text, "/");

        if (!is_path_component(text, n)) {
            return false;
        }
        if (!text[n]) {
            return true;
        }
        text += n + 1;
    }
}

static bool is_port(const char *text)
{
    int64_t port;

    return strspn(text, DIGITS) == strlen(text) && text_parse_int(text, 1, 65535, &port) == 0;
}

/* Names and addresses; an IPv6 address stands in brackets. */
static bool is_host(const char *text)
{
    size_t n;

    if (text[0] == '[') {
        n = 1 + strspn(text + 1, DIGITS "abcdefABCDEF:");
        if (n < 3 || text[n] != ']') {
            return false;
        }
        text += n + 1;
        return !text[0] || (text[0] == ':' && is_port(text + 1));
    }
    for (;;) {
        n = strspn(text, LOWER UPPER DIGITS "-");
        if (n == 0 || text[0] == '-' || text[n - 1] == '-') {
            return false;
        }
        text += n;
        if (text[0] != '.') {
            return !text[0] || (text[0] == ':' && is_port(text + 1));
        }
        text++;
    }
}

/* The first component is a host where it cannot be a path: docker's own rule. */
static bool begins_with_host(const char *name)
{
    size_t n = strcspn(name, "/");

    return name[n] == '/' &&
           (memchr(name, '.', n) || memchr(name, ':', n) || name[0] == '[' ||
            strspn(name, LOWER DIGITS "_-") < n || (n == 9 && strncmp(name, "localhost", n) == 0));
}

/* ---- taking a text apart ----------------------------------------------------------------------
 */

static int take_digest(char *text, Reference *ret, const char *whole, Error *err)
{
    char *at = strchr(text, '@');

    if (!at) {
        return 0;
    }
    *at++ = '\0';
    if (!text_has_prefix(at, OCI_DIGEST_PREFIX)) {
        return error_set(err, -EINVAL,
                         "image reference '%s': after '@' comes 'sha256:' and a digest; other "
                         "algorithms are not supported",
                         whole);
    }
    if (!reference_is_digest(at)) {
        return error_set(err, -EINVAL,
                         "image reference '%s': a digest has 64 lower-case hexadecimal digits",
                         whole);
    }
    ret->digest = strdup(at);
    return ret->digest ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* A colon after the last slash; one before it is a port's. */
static int take_tag(char *text, Reference *ret, const char *whole, Error *err)
{
    char *slash = strrchr(text, '/');
    char *colon = strchr(slash ? slash : text, ':');

    if (!colon) {
        ret->tag = ret->digest ? NULL : strdup("latest");
        return ret->digest || ret->tag ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    *colon++ = '\0';
    if (!reference_is_tag(colon)) {
        return error_set(err, -EINVAL,
                         "image reference '%s': '%s' is no tag: 1 to %d of A-Z a-z 0-9 _ . - are, "
                         "not beginning with . or -",
                         whole, colon, REFERENCE_TAG_MAX);
    }
    ret->tag = strdup(colon);
    return ret->tag ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int take_host(char **text, Reference *ret, const char *whole, Error *err)
{
    char *slash;

    if (!begins_with_host(*text)) {
        ret->host = strdup(REFERENCE_DOCKER_HOST);
        return ret->host ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    slash = strchr(*text, '/');
    *slash = '\0';
    if (!is_host(*text)) {
        return error_set(err, -EINVAL,
                         "image reference '%s': '%s' is no host, with or without port", whole,
                         *text);
    }
    ret->host = strdup(strcmp(*text, "index.docker.io") == 0 ? REFERENCE_DOCKER_HOST : *text);
    *text = slash + 1;
    return ret->host ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int take_repository(const char *text, Reference *ret, const char *whole, Error *err)
{
    bool is_official = strcmp(ret->host, REFERENCE_DOCKER_HOST) == 0 && !strchr(text, '/');

    if (asprintf(&ret->repository, "%s%s", is_official ? "library/" : "", text) < 0) {
        ret->repository = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (strlen(ret->repository) + strlen(ret->host) + 1 > REFERENCE_NAME_MAX) {
        return error_set(err, -EINVAL,
                         "image reference '%s': host and repository are longer than %d", whole,
                         REFERENCE_NAME_MAX);
    }
    if (strpbrk(text, UPPER)) {
        return error_set(err, -EINVAL, "image reference '%s': repository '%s' must be lower-case",
                         whole, text);
    }
    if (!reference_is_repository(ret->repository)) {
        return error_set(err, -EINVAL,
                         "image reference '%s': '%s' is no repository: words of a-z 0-9, joined "
                         "by . _ __ or -, between slashes",
                         whole, text);
    }
    return 0;
}

int reference_parse(const char *whole, Reference *ret, Error *err)
{
    _cleanup_reference_ Reference reference = {0};
    _cleanup_free_ char *copy = strdup(whole);
    char *text = copy;
    int r;

    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!text[0]) {
        return error_set(err, -EINVAL, "an image reference is empty");
    }
    if (strstr(text, "://")) {
        return error_set(err, -EINVAL,
                         "image reference '%s': it is written without '%.*s', as HOST/PATH:TAG",
                         whole, (int)(strstr(text, "://") - text) + 3, text);
    }
    r = take_digest(text, &reference, whole, err);
    r = r < 0 ? r : take_tag(text, &reference, whole, err);
    r = r < 0 ? r : take_host(&text, &reference, whole, err);
    r = r < 0 ? r : take_repository(text, &reference, whole, err);
    if (r < 0) {
        return r;
    }
    *ret = reference;
    reference = (Reference){0};
    return 0;
}

int reference_append(const Reference *reference, Buffer *text)
{
    const char *tag = reference->tag, *digest = reference->digest;

    return buffer_append_format(text, "%s/%s%s%s%s%s", reference->host, reference->repository,
                                tag ? ":" : "", tag ? tag : "", digest ? "@" : "",
                                digest ? digest : "");
}

const char *reference_target(const Reference *reference)
{
    return reference->digest ? reference->digest : reference->tag;
}
