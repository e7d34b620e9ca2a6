/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/image-artifacts.h"

#include "agent/package/oci-archive.h"
#include "agent/runners/artifacts.h"
#include "protocol/artifact/file-list.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PACKAGE "package"
#define PACKAGE_FILE PACKAGE ".tar.zst"
#define ARCHIVE "image.tar"

/* Other numbers where the same files would give other bytes. */
#define PACKAGE_KEY "slipway package 1"
#define ARCHIVE_KEY "slipway image.tar 1"

#define BLOBS RELEASE_IMAGE "/" OCI_BLOBS "/"

/* One artifact that may have been made before. */
typedef struct Making {
    Action *action;
    int staging_fd;
    FileList *list;
    const char *name, *file, *format;
    const char *key_version, *reference; /* the second may be NULL */
    ArtifactsWriter write;
} Making;

static int64_t time_of(const Making *making)
{
    return making->action->source.committed_at;
}

/* ---- the key ----------------------------------------------------------------------------------
 */

static int add_text(Digest *digest, const char *text)
{
    return digest_update(digest, text, strlen(text) + 1);
}

/* A blob's name says what is in it. */
static int add_file(Digest *digest, int staging_fd, const char *name)
{
    _cleanup_fd_ int fd = -1;
    char hex[DIGEST_HEX_SIZE];
    int r = add_text(digest, name);

    if (r < 0 || text_has_prefix(name, BLOBS)) {
        return r;
    }
    fd = openat(staging_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    r = fd < 0 ? -errno : digest_fd(fd, hex, NULL, NULL);
    return r == 0 ? add_text(digest, hex) : r;
}

static int make_key(const Making *making, char ret_hex[static DIGEST_HEX_SIZE])
{
    _cleanup_(digest_freep) Digest *digest = NULL;
    char text[32];
    int r = digest_new(&digest, NULL);

    (void)snprintf(text, sizeof(text), "%" PRId64, time_of(making));
    r = r == 0 ? add_text(digest, making->key_version) : r;
    r = r == 0 ? add_text(digest, text) : r;
    r = r == 0 ? add_text(digest, making->reference ? making->reference : "") : r;
    for (size_t i = 0; r == 0 && i < making->list->count; i++) {
        r = add_file(digest, making->staging_fd, making->list->names[i]);
    }
    return r == 0 ? digest_finish(digest, ret_hex) : r;
}

/* ---- making -----------------------------------------------------------------------------------
 */

static int write_package(int fd, void *userdata, ArchiveSummary *ret, Error *err)
{
    const Making *making = userdata;
    ArtifactsProgress progress = {&making->action->report, making->name, clock_monotonic_ms()};

    return archive_pack(making->staging_fd, making->list->names, making->list->count,
                        time_of(making), fd, artifacts_on_progress, &progress, ret, err);
}

static int write_image_tar(int fd, void *userdata, ArchiveSummary *ret, Error *err)
{
    const Making *making = userdata;
    _cleanup_fd_ int layout_fd =
        openat(making->staging_fd, RELEASE_IMAGE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return layout_fd < 0
               ? error_set_errno(err, -errno, "cannot open '" RELEASE_IMAGE "'")
               : oci_archive_write(layout_fd, making->reference, time_of(making), fd, ret, err);
}

/* 1: it was made before, and is in artifacts/ now. A cache that fails is as none. */
static int recall(const BlobCache *cache, const char *key, const Making *making,
                  ArchiveSummary *ret)
{
    _cleanup_json_ Json *record = NULL;
    _cleanup_fd_ int fd = -1;
    _cleanup_error_ Error problem = {0};
    ArchiveSummary summary = {0};
    int r = artifacts_open_directory(making->action->spec.call_directory, &fd, &problem);

    r = r == 0 ? blob_cache_find(cache, key, fd, making->file, &record, &problem) : r;
    if (r > 0 && file_sync_dir(fd) < 0) {
        r = error_set(&problem, -EIO, "cannot sync artifacts/");
    }
    if (r < 0) {
        log_warning("%s, going on without", error_text(&problem));
    }
    if (r <= 0) {
        return 0;
    }
    memcpy(summary.sha256, json_get_string(record, "sha256"), sizeof(summary.sha256));
    summary.size_bytes = json_get_int(record, "size", 0);
    summary.entries = json_get_int(record, "entries", 0);
    *ret = summary;
    return 1;
}

static void remember(const BlobCache *cache, const char *key, const Making *making,
                     const ArchiveSummary *summary)
{
    _cleanup_json_ Json *record = json_new_object();
    _cleanup_fd_ int fd = -1;
    _cleanup_error_ Error problem = {0};
    int r = record ? json_set_string(record, "sha256", summary->sha256) : -ENOMEM;

    r = r == 0 ? json_set_int(record, "size", summary->size_bytes) : r;
    r = r == 0 ? json_set_int(record, "entries", summary->entries) : r;
    r = r == 0 ? artifacts_open_directory(making->action->spec.call_directory, &fd, &problem) : r;
    r = r == 0 ? blob_cache_add(cache, key, record, fd, making->file, &problem) : r;
    if (r < 0) {
        log_warning("%s, going on without", error_text(&problem));
    }
}

static int make_artifact(const Making *making, int64_t *ret_size_bytes, Error *err)
{
    _cleanup_blob_cache_ BlobCache cache = BLOB_CACHE_INIT;
    ArchiveSummary summary;
    char key[DIGEST_HEX_SIZE];
    bool has_cache = blob_cache_open(making->action->spec.cache_directory, &cache, NULL) == 0 &&
                     make_key(making, key) == 0;
    int r = 0;

    if (!has_cache || recall(&cache, key, making, &summary) == 0) {
        r = artifacts_write_file(making->action->spec.call_directory, making->file, making->write,
                                 (void *)making, &summary, err);
        if (r == 0 && has_cache) {
            remember(&cache, key, making, &summary);
        }
    }
    if (r < 0) {
        return error_wrap(err, "artifact '%s'", making->name);
    }
    r = report_artifact(&making->action->report, making->name, making->file, making->format,
                        &summary);
    if (r < 0) {
        return error_set_errno(err, r, "artifact '%s' cannot be reported", making->name);
    }
    log_info("artifact '%s': %lld files, %lld bytes", making->name, (long long)summary.entries,
             (long long)summary.size_bytes);
    *ret_size_bytes = summary.size_bytes;
    return 0;
}

static int make_image_tar(Making *making, const Package *package, Error *err)
{
    _cleanup_buffer_ Buffer reference = BUFFER_INIT(0);
    int64_t size_bytes;
    int r = oci_archive_reference(package->release.name, package->release.version, &reference, err);

    if (r < 0) {
        return error_wrap(err, "artifact '" ARCHIVE "'");
    }
    making->name = ARCHIVE;
    making->file = ARCHIVE;
    making->format = "file";
    making->key_version = ARCHIVE_KEY;
    making->reference = buffer_text(&reference);
    making->write = write_image_tar;
    return make_artifact(making, &size_bytes, err);
}

int image_artifacts_make(Action *action, const Package *package, int staging_fd,
                         int64_t *ret_size_bytes, Error *err)
{
    _cleanup_(file_list_done) FileList list = {0};
    Making making = {.action = action,
                     .staging_fd = staging_fd,
                     .list = &list,
                     .name = PACKAGE,
                     .file = PACKAGE_FILE,
                     .format = "tar.zst",
                     .key_version = PACKAGE_KEY,
                     .write = write_package};
    int r = file_list_match(staging_fd, (const char *const[]){"**"}, 1, &list, err);

    r = r == 0 ? make_artifact(&making, ret_size_bytes, err) : r;
    if (r == 0 && json_as_bool(json_pointer(action->recipe.root, "/package/archive"), false)) {
        r = make_image_tar(&making, package, err);
    }
    return r;
}

/* ---- telling ----------------------------------------------------------------------------------
 */

static int report_base(Report *report, const Image *image)
{
    _cleanup_json_ Json *base = json_new_object();
    int r = base ? json_set_string(base, "name", image->base_name) : -ENOMEM;

    r = r == 0 ? json_set_string(base, "digest", image->base_digest) : r;
    return r == 0 ? report_output_take(report, "base", TAKE_PTR(base)) : r;
}

int image_artifacts_report(Action *action, const Package *package)
{
    const OciLayout *layout = &package->image.layout;
    Report *report = &action->report;
    int r;

    if (!package->has_image) {
        return 0;
    }
    r = report_output_take(report, "imageSize", json_new_int(layout->size_bytes));

    r = r == 0 ? report_output_take(report, "layers", json_ref(layout->layers)) : r;
    return r == 0 && package->image.base_name ? report_base(report, &package->image) : r;
}
