/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb-content.h"

#include "agent/package/deb/deb-date.h"
#include "agent/package/deb/deb-scripts.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define POINTER "/package/deb"
#define UNIT_DIRECTORY "/usr/lib/systemd/system"
#define CHANGELOG_BYTES_MAX ((size_t)16 << 20)
#define KIB 1024
#define GZIP_BEST 9
#define SPECIAL_BITS ((mode_t)07000)

/* Where none is named, the first that is there; Debian wants to know the licence. */
static const char *const licences[] = {"debian/copyright", "LICENSE", "LICENSE.txt", "LICENSE.md",
                                       "LICENCE",          "COPYING", "COPYRIGHT"};

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

void deb_content_done(DebContent *content)
{
    (void)json_unref(content->rules);
    file_map_done(&content->map);
    for (size_t i = 0; i < content->n_generated; i++) {
        free(content->generated[i].to);
        buffer_done(&content->generated[i].bytes);
    }
    *content = (DebContent){0};
}

void deb_data_done(DebData *data)
{
    buffer_done(&data->md5sums);
    buffer_done(&data->conffiles);
}

/* ---- rules of our own -------------------------------------------------------------------------
 */

static int append_rule(Json *rules, const char *from, const char *to)
{
    _cleanup_json_ Json *rule = json_new_object();
    int r = rule ? json_set_string(rule, "to", to) : -ENOMEM;

    r = r == 0 ? json_set_string(rule, "from", from) : r;
    r = r == 0 ? json_set_string(rule, "mode", from ? "0644" : "0755") : r;
    r = r == 0 && !from ? json_set_bool(rule, "dir", true) : r;
    return r == 0 ? json_append_take(rules, TAKE_PTR(rule)) : r;
}

/* A pattern would do for the walk, but has no one name. */
static int check_file(int workspace_fd, const char *pointer, const char *from, Error *err)
{
    struct stat st;

    if (fstatat(workspace_fd, from, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return error_set_errno(err, -errno, "%s: '%s'", pointer, from);
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(err, -EINVAL, "%s: '%s' is no regular file", pointer, from);
    }
    return 0;
}

static int add_units(const DebContentRequest *request, Json *rules, Error *err)
{
    const Json *units = json_get(request->deb, "units");

    for (size_t i = 0; i < json_length(units); i++) {
        const Json *unit = json_at(units, i);
        const char *from = json_get_string(unit, "from");
        _cleanup_free_ char *to = NULL;
        char pointer[64];
        int r;

        (void)snprintf(pointer, sizeof(pointer), POINTER "/units/%zu/from", i);
        r = check_file(request->workspace_fd, pointer, from, err);
        if (r < 0) {
            return r;
        }
        if (asprintf(&to, UNIT_DIRECTORY "/%s", deb_unit_name(unit)) < 0) {
            to = NULL;
            return out_of_memory(err);
        }
        if (append_rule(rules, from, to) < 0) {
            return out_of_memory(err);
        }
    }
    return 0;
}

static int add_copyright(const DebContentRequest *request, Json *rules, Error *err)
{
    const char *from = json_get_string(request->deb, "copyright");
    _cleanup_free_ char *to = NULL;
    int r = from ? check_file(request->workspace_fd, POINTER "/copyright", from, err) : 0;

    for (size_t i = 0; !from && i < ARRAY_SIZE(licences); i++) {
        if (check_file(request->workspace_fd, "", licences[i], NULL) == 0) {
            from = licences[i];
        }
    }
    if (r < 0) {
        return r;
    }
    if (!from) {
        log_warning("the Debian package has no copyright file: none is named, and there is no "
                    "LICENSE");
        return 0;
    }
    if (asprintf(&to, "/usr/share/doc/%s/copyright", request->name) < 0) {
        to = NULL;
        return out_of_memory(err);
    }
    return append_rule(rules, from, to) < 0 ? out_of_memory(err) : 0;
}

static int collect_rules(const DebContentRequest *request, Json **ret, Error *err)
{
    const Json *declared = request->files;
    _cleanup_json_ Json *rules = json_new_array();
    _cleanup_free_ char *doc = NULL;
    int r = rules ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < json_length(declared); i++) {
        r = json_append_take(rules, json_ref(json_at(declared, i)));
    }
    if (r == 0 && asprintf(&doc, "/usr/share/doc/%s", request->name) < 0) {
        doc = NULL;
        r = -ENOMEM;
    }
    r = r == 0 ? append_rule(rules, NULL, doc) : r;
    if (r < 0) {
        return out_of_memory(err);
    }
    r = add_units(request, rules, err);
    r = r == 0 ? add_copyright(request, rules, err) : r;
    if (r == 0) {
        *ret = TAKE_PTR(rules);
    }
    return r;
}

/* ---- changelogs -------------------------------------------------------------------------------
 */

static bool is_native(const DebContentRequest *request)
{
    return !json_has(request->deb, "revision");
}

/* Debian's own, with the one entry that this package is. */
static int format_changelog(const DebContentRequest *request, Buffer *text)
{
    int r = buffer_append_format(
        text, "%s (%s) unstable; urgency=medium\n\n  * Version %s%s%s%s.\n", request->name,
        request->version, request->source_version, request->commit ? " (commit " : "",
        request->commit ? request->commit : "", request->commit ? ")" : "");

    r = r == 0
            ? buffer_append_format(text, "\n -- %s  ", json_get_string(request->deb, "maintainer"))
            : r;
    r = r == 0 ? deb_date_append(text, request->committed_at, "+0000") : r;
    return r == 0 ? buffer_append(text, "\n", 1) : r;
}

static int add_generated(DebContent *content, const DebContentRequest *request, const char *file,
                         const Buffer *text, Error *err)
{
    DebGenerated *generated = &content->generated[content->n_generated];

    if (asprintf(&generated->to, "usr/share/doc/%s/%s", request->name, file) < 0) {
        generated->to = NULL;
        return out_of_memory(err);
    }
    if (file_map_get(&content->map, generated->to)) { /* the repository has its own */
        free(TAKE_PTR(generated->to));
        return 0;
    }
    content->n_generated++;
    return archive_gzip_bytes(buffer_text(text), text->len, GZIP_BEST, &generated->bytes, err);
}

static int add_changelogs(DebContent *content, const DebContentRequest *request, Error *err)
{
    const char *path = json_get_string(request->deb, "changelog");
    _cleanup_buffer_ Buffer debian = BUFFER_INIT(0), upstream = BUFFER_INIT(CHANGELOG_BYTES_MAX);
    int r;

    if (path && is_native(request)) {
        return error_set(err, -EINVAL,
                         POINTER "/changelog: needs a `revision`: without one, the changelog is "
                                 "Debian's, which is made from the version");
    }
    r = path ? file_read(request->workspace_fd, path, &upstream, err) : 0;
    if (r < 0) {
        return error_wrap(err, POINTER "/changelog");
    }
    r = path ? add_generated(content, request, "changelog.gz", &upstream, err) : 0;
    if (r == 0 && format_changelog(request, &debian) < 0) {
        return out_of_memory(err);
    }
    return r == 0 ? add_generated(content, request,
                                  is_native(request) ? "changelog.gz" : "changelog.Debian.gz",
                                  &debian, err)
                  : r;
}

/* ---- finding ----------------------------------------------------------------------------------
 */

/* md5sums and conffiles have a name on each line. */
static int check_names(const FileMap *map, Error *err)
{
    for (size_t i = 0; i < map->count; i++) {
        const char *to = map->entries[i].to;

        for (const char *c = to; *c; c++) {
            if ((unsigned char)*c < ' ' || *c == 0x7f) {
                return error_set(err, -EINVAL,
                                 POINTER "/files: '/%.*s…' has a control character in its name, "
                                         "which dpkg's lists cannot hold",
                                 (int)(c - to), to);
            }
        }
        if (!text_is_utf8(to, strlen(to))) {
            return error_set(err, -EINVAL, POINTER "/files: a name that is not UTF-8: '/%s'", to);
        }
    }
    return 0;
}

static int check_capabilities(const DebContentRequest *request, const FileMap *map, Error *err)
{
    for (size_t i = 0; i < map->count; i++) {
        if (file_map_has_capabilities(request->workspace_fd, &map->entries[i])) {
            return error_set(err, -EINVAL,
                             POINTER "/files: '%s' has capabilities, which a Debian package cannot "
                                     "hold: take them off here (setcap -r), and let the postinst "
                                     "give them to '/%s' by setcap",
                             map->entries[i].from, map->entries[i].to);
        }
    }
    return 0;
}

int deb_content_find(const DebContentRequest *request, DebContent *ret, Error *err)
{
    _cleanup_deb_content_ DebContent content = {0};
    int r = collect_rules(request, &content.rules, err);

    r = r == 0 ? file_map_find(request->workspace_fd, content.rules, POINTER "/files", &content.map,
                               err)
               : r;
    r = r == 0 ? check_names(&content.map, err) : r;
    r = r == 0 ? check_capabilities(request, &content.map, err) : r;
    r = r == 0 ? add_changelogs(&content, request, err) : r;
    if (r < 0) {
        return r;
    }
    *ret = content;
    content = (DebContent){0};
    return 0;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

typedef struct Writing {
    const DebContentRequest *request;
    const DebContent *content;
    ArchiveWriter *writer;
    DebData *data;
} Writing;

static const char *text_or(const Json *rule, const char *member, const char *fallback)
{
    const char *text = json_get_string(rule, member);

    return text ? text : fallback;
}

static int64_t kib_of(int64_t size_bytes)
{
    return (size_bytes + KIB - 1) / KIB;
}

/* Everything below /etc is the administrator's to change, unless the repository says otherwise. */
static bool is_conffile(const FileMapEntry *entry, const Json *rule)
{
    return entry->kind == FILE_MAP_FILE &&
           json_get_bool(rule, "config", text_has_prefix(entry->to, "etc/"));
}

static int finish_md5(Digest *digest, const char *to, Buffer *md5sums, Error *err)
{
    char hex[DIGEST_HEX_SIZE];
    int r = digest_finish(digest, hex);

    r = r == 0 ? buffer_append_format(md5sums, "%s  %s\n", hex, to) : r;
    return r < 0 ? error_set_errno(err, r, "cannot write md5sums") : 0;
}

static int add_file(const Writing *w, const FileMapEntry *entry, const char *to, Error *err)
{
    mode_t mode = entry->kind == FILE_MAP_LINK ? (mode_t)-1 : entry->mode;
    struct stat st;

    if (fstatat(w->request->workspace_fd, entry->from, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return error_set_errno(err, -errno, "'%s'", entry->from);
    }
    w->data->installed_kib += entry->kind == FILE_MAP_LINK ? 1 : kib_of(st.st_size);
    return archive_writer_add(w->writer, w->request->workspace_fd, entry->from, to, mode, err);
}

static int add_entry(const Writing *w, const FileMapEntry *entry, Error *err)
{
    const Json *rule =
        entry->element == FILE_MAP_PARENT ? NULL : json_at(w->content->rules, entry->element);
    _cleanup_(digest_freep) Digest *digest = NULL;
    _cleanup_free_ char *to = NULL;
    int r = digest_new_kind(DIGEST_MD5, &digest, err);

    if (r == 0 && asprintf(&to, "./%s", entry->to) < 0) {
        to = NULL;
        r = out_of_memory(err);
    }
    if (r < 0) {
        return r;
    }
    archive_writer_set_extras(w->writer, &(ArchiveExtras){.user = text_or(rule, "owner", "root"),
                                                          .group = text_or(rule, "group", "root"),
                                                          .special_bits = SPECIAL_BITS,
                                                          .content_digest = digest});
    if (entry->kind == FILE_MAP_DIRECTORY) {
        w->data->installed_kib++;
        r = archive_writer_add_directory(w->writer, to, entry->mode, err);
    } else {
        r = add_file(w, entry, to, err);
    }
    archive_writer_set_extras(w->writer, &(ArchiveExtras){0});
    if (r == 0 && entry->kind == FILE_MAP_FILE) {
        r = finish_md5(digest, entry->to, &w->data->md5sums, err);
    }
    if (r == 0 && is_conffile(entry, rule) &&
        buffer_append_format(&w->data->conffiles, "/%s\n", entry->to) < 0) {
        r = out_of_memory(err);
    }
    return r;
}

static int add_generated_file(const Writing *w, const DebGenerated *generated, Error *err)
{
    _cleanup_(digest_freep) Digest *digest = NULL;
    _cleanup_free_ char *to = NULL;
    int r = digest_new_kind(DIGEST_MD5, &digest, err);

    if (r == 0 && asprintf(&to, "./%s", generated->to) < 0) {
        to = NULL;
        r = out_of_memory(err);
    }
    if (r < 0) {
        return r;
    }
    archive_writer_set_extras(
        w->writer, &(ArchiveExtras){.user = "root", .group = "root", .content_digest = digest});
    w->data->installed_kib += kib_of((int64_t)generated->bytes.len);
    r = archive_writer_add_bytes(w->writer, to, generated->bytes.data, generated->bytes.len, 0644,
                                 err);
    archive_writer_set_extras(w->writer, &(ArchiveExtras){0});
    return r == 0 ? finish_md5(digest, generated->to, &w->data->md5sums, err) : r;
}

static int add_all(const Writing *w, Error *err)
{
    int r;

    archive_writer_set_extras(w->writer, &(ArchiveExtras){.user = "root", .group = "root"});
    r = archive_writer_add_directory(w->writer, "./", 0755, err);
    for (size_t i = 0; r == 0 && i < w->content->map.count; i++) {
        r = add_entry(w, &w->content->map.entries[i], err);
    }
    for (size_t i = 0; r == 0 && i < w->content->n_generated; i++) {
        r = add_generated_file(w, &w->content->generated[i], err);
    }
    return r;
}

int deb_content_write(const DebContentRequest *request, const DebContent *content,
                      ArchiveFormat format, int out_fd, DebData *ret, Error *err)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    _cleanup_deb_data_ DebData data = {0};
    Writing writing = {.request = request, .content = content, .data = &data};
    ArchiveSummary summary;
    int r = archive_writer_new(format, 0, out_fd, request->committed_at, &writer, err);

    writing.writer = writer;
    r = r == 0 ? add_all(&writing, err) : r;
    r = r == 0 ? archive_writer_finish(writer, &summary, err) : r;
    if (r < 0) {
        return r;
    }
    *ret = data;
    data = (DebData){0};
    return 0;
}
