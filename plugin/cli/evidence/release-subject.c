/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/release-subject.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_PREFIX "sha256:"
#define POINTER_MAX 256

static int fail(char **ret_error, int r, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(char **ret_error, int r, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (ret_error && vasprintf(ret_error, format, arguments) < 0) {
        *ret_error = NULL;
    }
    va_end(arguments);
    return r;
}

const char *release_said(const SlipwayJson *entry, const char *pointer, const char *fallback)
{
    char whole[POINTER_MAX];

    (void)snprintf(whole, sizeof(whole), "/statement%s", pointer);
    return slipway_json_get_string(entry, whole, fallback);
}

bool release_is_kind(const SlipwayJson *entry, const char *kind)
{
    return strcmp(slipway_json_get_string(entry, "/kind", ""), kind) == 0;
}

static void describe(const SlipwayJson *entry, const char *hex, ReleaseSubject *ret)
{
    static const char definition[] = "/predicate/buildDefinition";
    char pointer[POINTER_MAX];

    *ret = (ReleaseSubject){.name = release_said(entry, "/subject/0/name", NULL)};
    (void)snprintf(ret->digest, sizeof(ret->digest), DIGEST_PREFIX "%s", hex);
    (void)snprintf(pointer, sizeof(pointer), "%s/internalParameters/version", definition);
    ret->version = release_said(entry, pointer, NULL);
    (void)snprintf(pointer, sizeof(pointer), "%s/internalParameters/run", definition);
    ret->run = release_said(entry, pointer, NULL);
    (void)snprintf(pointer, sizeof(pointer), "%s/resolvedDependencies/0/digest/gitCommit",
                   definition);
    ret->commit = release_said(entry, pointer, NULL);
    (void)snprintf(pointer, sizeof(pointer), "%s/externalParameters/repository", definition);
    ret->repository = release_said(entry, pointer, NULL);
    (void)snprintf(pointer, sizeof(pointer), "%s/externalParameters/ref", definition);
    ret->ref = release_said(entry, pointer, NULL);
}

static bool is_digest(const char *text)
{
    size_t n = strlen(DIGEST_PREFIX);

    return strncmp(text, DIGEST_PREFIX, n) == 0 && strlen(text + n) == 64 &&
           strspn(text + n, "0123456789abcdef") == 64;
}

/* Several provenances of one digest are one package: it was packaged again, to the same bytes. */
int release_subject_find(const SlipwayJson *entries, const char *digest, ReleaseSubject *ret,
                         char **ret_error)
{
    const SlipwayJson *entry;
    ReleaseSubject found = {0}, other;

    if (digest && !is_digest(digest)) {
        return fail(ret_error, -EINVAL,
                    "'%s' is no digest of a package; it is sha256: and 64 hexadecimal digits",
                    digest);
    }
    for (size_t i = 0; (entry = slipway_json_get_element(entries, i)); i++) {
        const char *hex = release_said(entry, "/subject/0/digest/sha256", "");

        if (!release_is_kind(entry, "provenance") ||
            (digest && strcmp(hex, digest + strlen(DIGEST_PREFIX)) != 0)) {
            continue;
        }
        describe(entry, hex, &other);
        if (*found.digest && strcmp(found.digest, other.digest) != 0) {
            return fail(ret_error, -EEXIST,
                        "it is about several packages (%s and %s); say which with --digest",
                        found.digest, other.digest);
        }
        found = other; /* the newest line is the last */
    }
    if (!*found.digest) {
        return digest ? fail(ret_error, -ENOENT, "it has no provenance of %s", digest)
                      : fail(ret_error, -ENOENT,
                             "it has no provenance, which `package` signs, so nothing says which "
                             "package it is about; `slipway release collect` brings it");
    }
    *ret = found;
    return 0;
}
