/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/packages-index.h"

#include "agent/package/deb/deb-version.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* The fields that a stanza is looked at for, and where they go. */
static const struct {
    const char *name;
    size_t offset;
} fields[] = {
    {"Package", offsetof(PackagesStanza, package)},
    {"Version", offsetof(PackagesStanza, version)},
    {"Architecture", offsetof(PackagesStanza, architecture)},
    {"Filename", offsetof(PackagesStanza, filename)},
    {"SHA256", offsetof(PackagesStanza, sha256)},
};

static char **field_of(PackagesStanza *stanza, size_t i)
{
    return (char **)((char *)stanza + fields[i].offset);
}

static void stanza_done(PackagesStanza *stanza)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        free(*field_of(stanza, i));
    }
}

void packages_index_done(PackagesIndex *index)
{
    for (size_t i = 0; i < index->count; i++) {
        stanza_done(&index->stanzas[i]);
    }
    free(index->stanzas);
    *index = (PackagesIndex){0};
}

/* ---- parsing ----------------------------------------------------------------------------------
 */

typedef struct Reading {
    const char *text;
    size_t len, at;
    size_t line; /* from 1 */
} Reading;

/* The next line without its end. False at the end of the text. */
static bool next_line(Reading *reading, const char **ret_line, size_t *ret_len)
{
    const char *start = reading->text + reading->at;
    const char *end;

    if (reading->at == reading->len) {
        return false;
    }
    end = memchr(start, '\n', reading->len - reading->at);
    *ret_line = start;
    *ret_len = end ? (size_t)(end - start) : reading->len - reading->at;
    reading->at += *ret_len + (end ? 1 : 0);
    reading->line++;
    return true;
}

static int bad(const Reading *reading, const char *what, Error *err)
{
    return error_set(err, -EBADMSG, "line %zu: %s", reading->line, what);
}

/* "Name: value"; of the fields that matter the value is kept. */
static int take_field(const Reading *reading, const char *line, size_t len, PackagesStanza *stanza,
                      Error *err)
{
    const char *colon = memchr(line, ':', len);
    const char *value = colon ? colon + 1 : NULL;
    size_t name_len = colon ? (size_t)(colon - line) : 0, value_len;

    if (name_len == 0 || memchr(line, ' ', name_len) || memchr(line, '\0', len)) {
        return bad(reading, "is no field", err);
    }
    value += strspn(value, " \t");
    value_len = (size_t)(line + len - value);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        char **field = field_of(stanza, i);

        if (strlen(fields[i].name) != name_len || strncasecmp(fields[i].name, line, name_len)) {
            continue;
        }
        if (*field || value_len == 0) {
            return bad(reading, *field ? "says a field a second time" : "is a field without value",
                       err);
        }
        *field = strndup(value, value_len);
        return *field ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

/* One stanza up to its empty line or the end of the text: 1. 0: there is no more. */
static int next_stanza(Reading *reading, PackagesStanza *stanza, Error *err)
{
    const char *line;
    size_t len;
    bool is_empty = true;

    stanza->start = reading->at;
    while (next_line(reading, &line, &len)) {
        bool is_continued = len > 0 && (line[0] == ' ' || line[0] == '\t');
        int r = 0;

        if (len == 0 && !is_empty) {
            break;
        }
        if (len == 0 || (is_continued && is_empty)) {
            return bad(reading,
                       len == 0 ? "is empty where a stanza should begin"
                                : "continues a field where a stanza should begin",
                       err);
        }
        is_empty = false;
        r = is_continued ? 0 : take_field(reading, line, len, stanza, err);
        if (r < 0) {
            return r;
        }
    }
    stanza->len = reading->at - stanza->start;
    for (size_t i = 0; !is_empty && i < ARRAY_SIZE(fields); i++) {
        if (!*field_of(stanza, i)) {
            return error_set(err, -EBADMSG, "line %zu: the stanza that ends here has no %s",
                             reading->line, fields[i].name);
        }
    }
    return is_empty ? 0 : 1;
}

static int add_stanza(PackagesIndex *index, const PackagesStanza *stanza, Error *err)
{
    if (index->count == PACKAGES_MAX) {
        return error_set(err, -E2BIG, "has more than %d packages", PACKAGES_MAX);
    }
    if (index->count == index->allocated) {
        size_t allocated = MAX((size_t)64, index->allocated * 2);
        PackagesStanza *stanzas = reallocarray(index->stanzas, allocated, sizeof(*index->stanzas));

        if (!stanzas) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        index->stanzas = stanzas;
        index->allocated = allocated;
    }
    index->stanzas[index->count++] = *stanza;
    return 0;
}

int packages_index_parse(const char *text, size_t n, PackagesIndex *ret, Error *err)
{
    _cleanup_packages_index_ PackagesIndex index = {0};
    Reading reading = {.text = text, .len = n};

    if (n > 0 && text[n - 1] != '\n') {
        return error_set(err, -EBADMSG, "ends in the middle of a line");
    }
    for (;;) {
        PackagesStanza stanza = {0};
        int r = next_stanza(&reading, &stanza, err);

        if (r == 1) {
            int problem = add_stanza(&index, &stanza, err);

            r = problem < 0 ? problem : 1;
        }
        if (r != 1) {
            stanza_done(&stanza);
        }
        if (r < 0) {
            return r;
        }
        if (r == 0) {
            break;
        }
    }
    *ret = index;
    index = (PackagesIndex){0};
    return 0;
}

/* ---- what it holds ----------------------------------------------------------------------------
 */

const PackagesStanza *packages_index_find(const PackagesIndex *index, const char *package,
                                          const char *version, const char *architecture)
{
    for (size_t i = 0; i < index->count; i++) {
        const PackagesStanza *stanza = &index->stanzas[i];

        if (strcmp(stanza->package, package) == 0 && strcmp(stanza->version, version) == 0 &&
            strcmp(stanza->architecture, architecture) == 0) {
            return stanza;
        }
    }
    return NULL;
}

/* How many stanzas of the package have a version above that of stanza `i`. */
static size_t count_newer(const PackagesIndex *index, size_t i)
{
    size_t newer = 0;

    for (size_t k = 0; k < index->count; k++) {
        newer += strcmp(index->stanzas[k].package, index->stanzas[i].package) == 0 &&
                 deb_version_compare(index->stanzas[k].version, index->stanzas[i].version) > 0;
    }
    return newer;
}

void packages_index_choose(const PackagesIndex *index, const char *package, size_t keep,
                           bool *ret_is_dropped)
{
    for (size_t i = 0; keep > 0 && i < index->count; i++) {
        ret_is_dropped[i] =
            strcmp(index->stanzas[i].package, package) == 0 && count_newer(index, i) >= keep;
    }
}

int packages_index_append(Buffer *text, const char *control, const char *filename,
                          int64_t size_bytes, const char *sha256)
{
    return buffer_append_format(text, "%sFilename: %s\nSize: %" PRId64 "\nSHA256: %s\n\n", control,
                                filename, size_bytes, sha256);
}
