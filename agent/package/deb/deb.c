/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb.h"

#include "agent/package/deb/deb-content.h"
#include "agent/package/deb/deb-control.h"
#include "agent/package/deb/deb-scripts.h"
#include "agent/package/deb/deb-version.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BINARY_MEMBER "debian-binary"
#define BINARY_VERSION "2.0\n"
#define ASIDE_SUFFIX ".tmp"

/* What a compression is called, in slipway.json and at the end of a member's name. xz is what every
 * dpkg reads; zstd none before 1.21.18 (Debian 12). */
static const struct {
    const char *name, *suffix;
    ArchiveFormat format;
} compressions[] = {
    {"xz", "xz", ARCHIVE_GNUTAR_XZ},
    {"gzip", "gz", ARCHIVE_GNUTAR_GZIP},
    {"zstd", "zst", ARCHIVE_GNUTAR_ZSTD},
};

/* What is on its way to the file. */
typedef struct Building {
    const DebRequest *request;
    const Json *deb;
    int directory_fd;
    size_t compression;
    DebContentRequest content_request;
    DebPackage package;
    char control_member[32], data_member[32]; /* also names in the directory meanwhile */
} Building;

void deb_package_done(DebPackage *package)
{
    free(package->name);
    free(package->version);
    free(package->architecture);
    free(package->file_name);
    free(package->control);
    *package = (DebPackage){0};
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- what it is called ------------------------------------------------------------------------
 */

static int choose_version(const DebRequest *request, const Json *deb, char **ret, Error *err)
{
    int r = deb_version_map(&(DebVersionRequest){.version = request->version,
                                                 .name = request->name,
                                                 .commit = request->commit,
                                                 .committed_at = request->committed_at,
                                                 .epoch = json_get_int(deb, "epoch", 0),
                                                 .revision = json_get_string(deb, "revision")},
                            ret, err);

    return r < 0 ? error_wrap(err, "/package/deb") : 0;
}

static int describe(Building *b, Error *err)
{
    const DebRequest *request = b->request;
    DebPackage *package = &b->package;
    const char *name = deb_control_name(b->deb, request->name, err);
    const char *architecture = name ? deb_control_architecture(b->deb, err) : NULL;
    const char *colon;
    int r;

    if (!architecture) {
        return -EINVAL;
    }
    r = choose_version(request, b->deb, &package->version, err);
    if (r < 0) {
        return r;
    }
    package->name = strdup(name);
    package->architecture = strdup(architecture);
    colon = strchr(package->version, ':'); /* an epoch is no part of a file's name */
    if (!package->name || !package->architecture ||
        asprintf(&package->file_name, "%s_%s_%s.deb", name, colon ? colon + 1 : package->version,
                 architecture) < 0) {
        package->file_name = NULL;
        return out_of_memory(err);
    }
    return 0;
}

static void choose_compression(Building *b)
{
    const char *name = json_get_string(b->deb, "compression");
    const char *suffix;

    for (size_t i = 0; name && i < ARRAY_SIZE(compressions); i++) {
        if (strcmp(name, compressions[i].name) == 0) {
            b->compression = i;
        }
    }
    suffix = compressions[b->compression].suffix;
    (void)snprintf(b->control_member, sizeof(b->control_member), "control.tar.%s", suffix);
    (void)snprintf(b->data_member, sizeof(b->data_member), "data.tar.%s", suffix);
}

/* ---- the members ------------------------------------------------------------------------------
 */

static int create(const Building *b, const char *name, int *ret, Error *err)
{
    int fd =
        openat(b->directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot write '%s'", name);
    }
    *ret = fd;
    return 0;
}

static int write_data(Building *b, DebData *ret, Error *err)
{
    _cleanup_deb_content_ DebContent content = {0};
    _cleanup_fd_ int fd = -1;
    int r = deb_content_find(&b->content_request, &content, err);

    r = r == 0 ? create(b, b->data_member, &fd, err) : r;
    return r == 0 ? deb_content_write(&b->content_request, &content,
                                      compressions[b->compression].format, fd, ret, err)
                  : r;
}

static int format_control(Building *b, const DebData *data, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = deb_control_format(&(DebControl){.deb = b->deb,
                                             .name = b->package.name,
                                             .version = b->package.version,
                                             .installed_kib = data->installed_kib},
                               &text, err);

    if (r < 0) {
        return r;
    }
    b->package.control = buffer_take_text(&text);
    return b->package.control ? 0 : out_of_memory(err);
}

/* An empty one is left out. */
static int add_member(ArchiveWriter *writer, const char *name, const char *text, mode_t mode,
                      Error *err)
{
    char to[32];

    (void)snprintf(to, sizeof(to), "./%s", name);
    return *text ? archive_writer_add_bytes(writer, to, text, strlen(text), mode, err) : 0;
}

static int add_scripts(const Building *b, ArchiveWriter *writer, Error *err)
{
    for (DebScriptKind kind = DEB_PREINST; kind < _DEB_SCRIPT_KIND_MAX; kind++) {
        _cleanup_buffer_ Buffer script = BUFFER_INIT(0);
        int r = deb_script_make(kind, b->request->workspace_fd, b->deb, &script, err);

        r = r == 0 ? add_member(writer, deb_script_name(kind), buffer_text(&script), 0755, err) : r;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int write_control(Building *b, const DebData *data, Error *err)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    _cleanup_fd_ int fd = -1;
    ArchiveSummary summary;
    int r = format_control(b, data, err);

    r = r == 0 ? create(b, b->control_member, &fd, err) : r;
    r = r == 0 ? archive_writer_new(compressions[b->compression].format, 0, fd,
                                    b->request->committed_at, &writer, err)
               : r;
    if (r < 0) {
        return r;
    }
    archive_writer_set_extras(writer, &(ArchiveExtras){.user = "root", .group = "root"});
    r = archive_writer_add_directory(writer, "./", 0755, err);
    r = r == 0 ? add_member(writer, "conffiles", buffer_text(&data->conffiles), 0644, err) : r;
    r = r == 0 ? add_member(writer, "control", b->package.control, 0644, err) : r;
    r = r == 0 ? add_member(writer, "md5sums", buffer_text(&data->md5sums), 0644, err) : r;
    r = r == 0 ? add_scripts(b, writer, err) : r;
    return r == 0 ? archive_writer_finish(writer, &summary, err) : r;
}

/* ---- the file ---------------------------------------------------------------------------------
 */

static int assemble(Building *b, const char *name, Error *err)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    _cleanup_fd_ int fd = -1;
    int r = create(b, name, &fd, err);

    r = r == 0 ? archive_writer_new(ARCHIVE_AR, 0, fd, b->request->committed_at, &writer, err) : r;
    r = r == 0 ? archive_writer_add_bytes(writer, BINARY_MEMBER, BINARY_VERSION,
                                          strlen(BINARY_VERSION), 0644, err)
               : r;
    r = r == 0 ? archive_writer_add(writer, b->directory_fd, b->control_member, b->control_member,
                                    0644, err)
               : r;
    r = r == 0
            ? archive_writer_add(writer, b->directory_fd, b->data_member, b->data_member, 0644, err)
            : r;
    r = r == 0 ? archive_writer_finish(writer, &b->package.summary, err) : r;
    if (r == 0 && fsync(fd) < 0) {
        r = error_set_errno(err, -errno, "cannot write '%s'", name);
    }
    return r;
}

static int put_in_place(const Building *b, const char *aside, Error *err)
{
    if (renameat(b->directory_fd, aside, b->directory_fd, b->package.file_name) < 0) {
        return error_set_errno(err, -errno, "cannot write '%s'", b->package.file_name);
    }
    return file_sync_dir(b->directory_fd) < 0
               ? error_set(err, -EIO, "cannot sync the directory of '%s'", b->package.file_name)
               : 0;
}

static int write_file(Building *b, Error *err)
{
    _cleanup_deb_data_ DebData data = {0};
    _cleanup_free_ char *aside = NULL;
    int r;

    if (asprintf(&aside, "%s" ASIDE_SUFFIX, b->package.file_name) < 0) {
        aside = NULL;
        return out_of_memory(err);
    }
    r = write_data(b, &data, err);
    r = r == 0 ? write_control(b, &data, err) : r;
    r = r == 0 ? assemble(b, aside, err) : r;
    r = r == 0 ? put_in_place(b, aside, err) : r;
    (void)unlinkat(b->directory_fd, b->control_member, 0);
    (void)unlinkat(b->directory_fd, b->data_member, 0);
    if (r < 0) {
        (void)unlinkat(b->directory_fd, aside, 0);
    }
    return r;
}

/* Its own files, else those of the image: which are not where Debian would put them, but there. */
static int find_files(const Building *b, DebContentRequest *content, Error *err)
{
    const Json *own = json_get(b->deb, "files");

    content->files = own ? own : json_get(b->request->package, "files");
    content->files_pointer = own ? "/package/deb/files" : "/package/files";
    return content->files ? 0
                          : error_set(err, -EINVAL,
                                      "/package/deb/files: is missing, and so is `package.files`: "
                                      "nobody says what the Debian package holds");
}

int deb_build(const DebRequest *request, int directory_fd, DebPackage *ret, Error *err)
{
    Building b = {
        .request = request, .deb = json_get(request->package, "deb"), .directory_fd = directory_fd};
    int r = describe(&b, err);

    if (r == 0) {
        choose_compression(&b);
        b.content_request = (DebContentRequest){.workspace_fd = request->workspace_fd,
                                                .deb = b.deb,
                                                .name = b.package.name,
                                                .version = b.package.version,
                                                .source_version = request->version,
                                                .commit = request->commit,
                                                .committed_at = request->committed_at};
        r = find_files(&b, &b.content_request, err);
    }
    r = r == 0 ? write_file(&b, err) : r;
    if (r < 0) {
        deb_package_done(&b.package);
        return r;
    }
    *ret = b.package;
    return 0;
}
