/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/apt-release.h"

#include "agent/package/deb/deb-date.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define DAY_SECONDS ((int64_t)24 * 3600)
#define BINARY "/binary-"

void apt_release_done(AptRelease *release)
{
    for (size_t i = 0; i < release->count; i++) {
        free(release->files[i].name);
    }
    free(release->files);
    *release = (AptRelease){0};
}

/* ---- files ------------------------------------------------------------------------------------
 */

const AptReleaseFile *apt_release_find(const AptRelease *release, const char *name)
{
    for (size_t i = 0; i < release->count; i++) {
        if (strcmp(release->files[i].name, name) == 0) {
            return &release->files[i];
        }
    }
    return NULL;
}

static int set_file(AptRelease *release, const char *name, size_t name_len, int64_t size_bytes,
                    const char sha256[static DIGEST_HEX_SIZE], Error *err)
{
    _cleanup_free_ char *copy = strndup(name, name_len);
    AptReleaseFile *file = copy ? (AptReleaseFile *)apt_release_find(release, copy) : NULL;

    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!file) {
        size_t at = release->count;
        AptReleaseFile *files =
            reallocarray(release->files, release->count + 1, sizeof(*release->files));

        if (!files || release->count == APT_RELEASE_FILES_MAX) {
            release->files = files ? files : release->files;
            return files ? error_set(err, -E2BIG, "has more than %d files", APT_RELEASE_FILES_MAX)
                         : error_set(err, -ENOMEM, "out of memory");
        }
        while (at > 0 && strcmp(files[at - 1].name, copy) > 0) {
            files[at] = files[at - 1];
            at--;
        }
        release->files = files;
        release->count++;
        file = &files[at];
        *file = (AptReleaseFile){.name = TAKE_PTR(copy)};
    }
    file->size_bytes = size_bytes;
    memcpy(file->sha256, sha256, DIGEST_HEX_SIZE);
    return 0;
}

int apt_release_set(AptRelease *release, const char *name, const void *data, size_t n, Error *err)
{
    char sha256[DIGEST_HEX_SIZE];

    if (digest_bytes(data, n, sha256) < 0) {
        return error_set(err, -EIO, "cannot digest '%s'", name);
    }
    return set_file(release, name, strlen(name), (int64_t)n, sha256, err);
}

/* ---- parsing ----------------------------------------------------------------------------------
 */

static bool is_sha256(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!text[i] || !strchr("0123456789abcdef", text[i])) {
            return false;
        }
    }
    return n == DIGEST_HEX_SIZE - 1;
}

static size_t skip_blanks(const char *line, size_t len, size_t at)
{
    while (at < len && (line[at] == ' ' || line[at] == '\t')) {
        at++;
    }
    return at;
}

static size_t skip_word(const char *line, size_t len, size_t at)
{
    while (at < len && line[at] != ' ' && line[at] != '\t') {
        at++;
    }
    return at;
}

/* " DIGEST SIZE NAME" */
static int take_row(AptRelease *release, const char *line, size_t len, Error *err)
{
    size_t digest = skip_blanks(line, len, 0), digest_end = skip_word(line, len, digest);
    size_t size = skip_blanks(line, len, digest_end), size_end = skip_word(line, len, size);
    size_t name = skip_blanks(line, len, size_end), name_end = skip_word(line, len, name);
    _cleanup_free_ char *number = strndup(line + size, size_end - size);
    char sha256[DIGEST_HEX_SIZE] = "";
    int64_t size_bytes;

    if (!number) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!is_sha256(line + digest, digest_end - digest) || name == name_end || name_end != len ||
        memchr(line, '\0', len) || text_parse_int(number, 0, INT64_MAX, &size_bytes) < 0) {
        return error_set(err, -EBADMSG, "its table has a row that is not digest, size and name");
    }
    memcpy(sha256, line + digest, DIGEST_HEX_SIZE - 1);
    return set_file(release, line + name, name_end - name, size_bytes, sha256, err);
}

static int take_valid_until(AptRelease *release, const char *line, size_t len, size_t at,
                            Error *err)
{
    _cleanup_free_ char *text = strndup(line + at, len - at);

    if (!text) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return deb_date_parse(text, &release->valid_until) < 0
               ? error_set(err, -EBADMSG, "its Valid-Until is no moment: '%s'", text)
               : 0;
}

int apt_release_parse(const char *text, size_t n, AptRelease *ret, Error *err)
{
    static const char table[] = "SHA256:", until[] = "Valid-Until:";
    _cleanup_apt_release_ AptRelease release = {0};
    bool is_in_table = false, has_table = false;

    for (size_t at = 0; at < n;) {
        const char *line = text + at, *end = memchr(line, '\n', n - at);
        size_t len = end ? (size_t)(end - line) : n - at;
        int r;

        at += len + 1;
        if (len > 0 && line[0] == ' ') {
            r = is_in_table ? take_row(&release, line, len, err) : 0;
            if (r < 0) {
                return r;
            }
            continue;
        }
        is_in_table = len >= strlen(table) && strncmp(line, table, strlen(table)) == 0;
        has_table = has_table || is_in_table;
        if (len > strlen(until) && strncmp(line, until, strlen(until)) == 0) {
            r = take_valid_until(&release, line, len, skip_blanks(line, len, strlen(until)), err);
            if (r < 0) {
                return r;
            }
        }
    }
    if (!has_table) {
        return error_set(err, -EBADMSG, "it has no table of SHA256");
    }
    *ret = release;
    release = (AptRelease){0};
    return 0;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

/* The component or the architecture that a file is of; length 0: of none. */
static const char *part_of(const AptReleaseFile *file, bool is_architecture, size_t *ret_len)
{
    const char *binary = strstr(file->name, BINARY);
    const char *start = !binary ? "" : is_architecture ? binary + strlen(BINARY) : file->name;

    *ret_len = !binary ? 0 : is_architecture ? strcspn(start, "/") : (size_t)(binary - start);
    return start;
}

/* Each once, in the order of the files. */
static int append_parts(const AptRelease *release, const char *field, bool is_architecture,
                        Buffer *ret)
{
    int r = buffer_append_format(ret, "%s:", field);

    for (size_t i = 0; r == 0 && i < release->count; i++) {
        bool is_said = false;
        size_t len, other_len;
        const char *part = part_of(&release->files[i], is_architecture, &len);

        for (size_t k = 0; k < i && !is_said; k++) {
            const char *other = part_of(&release->files[k], is_architecture, &other_len);

            is_said = other_len == len && strncmp(part, other, len) == 0;
        }
        if (len > 0 && !is_said) {
            r = buffer_append_format(ret, " %.*s", (int)len, part);
        }
    }
    return r == 0 ? buffer_append(ret, "\n", 1) : r;
}

static int append_field(Buffer *ret, const char *name, const char *value)
{
    return value ? buffer_append_format(ret, "%s: %s\n", name, value) : 0;
}

static int append_moment(Buffer *ret, const char *name, int64_t seconds)
{
    int r = buffer_append_format(ret, "%s: ", name);

    r = r == 0 ? deb_date_append(ret, seconds, "UTC") : r;
    return r == 0 ? buffer_append(ret, "\n", 1) : r;
}

int apt_release_format(const AptRelease *release, const AptReleaseFields *fields, Buffer *ret)
{
    int r = append_field(ret, "Origin", fields->origin);

    r = r == 0 ? append_field(ret, "Label", fields->label) : r;
    r = r == 0 ? append_field(ret, "Suite", fields->suite) : r;
    r = r == 0 ? append_field(ret, "Codename", fields->suite) : r;
    r = r == 0 ? append_moment(ret, "Date", fields->now) : r;
    if (r == 0 && fields->valid_days > 0) {
        r = append_moment(ret, "Valid-Until", fields->now + fields->valid_days * DAY_SECONDS);
    }
    r = r == 0 ? append_field(ret, "Acquire-By-Hash", "yes") : r;
    r = r == 0 ? append_parts(release, "Architectures", true, ret) : r;
    r = r == 0 ? append_parts(release, "Components", false, ret) : r;
    r = r == 0 ? append_field(ret, "SHA256", "") : r;
    for (size_t i = 0; r == 0 && i < release->count; i++) {
        r = buffer_append_format(ret, " %s %" PRId64 " %s\n", release->files[i].sha256,
                                 release->files[i].size_bytes, release->files[i].name);
    }
    return r;
}
