/* SPDX-License-Identifier: MIT */
#include "agent/package/oci-write.h"

#include "protocol/artifact/digest.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LAYER_ASIDE OCI_BLOBS "/layer.tmp"

/* Of the format's own scale. 6 is what everybody uses; more costs time for a few per cent. */
#define LAYER_GZIP_LEVEL 6

typedef struct Layout {
    const OciImageSpec *spec;
    int fd;
} Layout;

/* ---- blobs ------------------------------------------------------------------------------------
 */

static Json *new_descriptor(const char *media_type, const char *hex, int64_t size)
{
    char digest[OCI_DIGEST_SIZE];
    _cleanup_json_ Json *object = json_new_object();

    (void)snprintf(digest, sizeof(digest), OCI_DIGEST_PREFIX "%s", hex);
    if (!object || json_set_string(object, "mediaType", media_type) < 0 ||
        json_set_string(object, "digest", digest) < 0 || json_set_int(object, "size", size) < 0) {
        return NULL;
    }
    return TAKE_PTR(object);
}

/* Writes the value as a blob and describes it. */
static int write_json_blob(const Layout *layout, const char *media_type, const Json *value,
                           Json **ret_descriptor, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    char hex[DIGEST_HEX_SIZE], path[sizeof(OCI_BLOBS "/") + DIGEST_HEX_SIZE];
    int r = json_format(value, &text);

    r = r == 0 ? digest_bytes(text.data, text.len, hex) : r;
    if (r < 0) {
        return error_set_errno(err, r, "cannot write '%s'", media_type);
    }
    (void)snprintf(path, sizeof(path), OCI_BLOBS "/%s", hex);
    r = file_replace(layout->fd, path, text.data, text.len, 0644, err);
    if (r < 0) {
        return r;
    }
    *ret_descriptor = new_descriptor(media_type, hex, (int64_t)text.len);
    return *ret_descriptor ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int write_entries(const OciImageSpec *spec, ArchiveWriter *writer, Error *err)
{
    for (size_t i = 0; i < spec->n_entries; i++) {
        const OciEntry *entry = &spec->entries[i];
        int r = entry->from ? archive_writer_add(writer, spec->root_fd, entry->from, entry->to,
                                                 entry->mode, err)
                            : archive_writer_add_directory(writer, entry->to, entry->mode, err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* The only layer; the descriptor and, for the configuration, the digest of its plain tar. */
static int write_layer(const Layout *layout, Json **ret_descriptor,
                       char ret_diff_id[static OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    _cleanup_fd_ int fd = -1;
    char path[sizeof(OCI_BLOBS "/") + DIGEST_HEX_SIZE];
    ArchiveSummary summary;
    int r;

    fd = openat(layout->fd, LAYER_ASIDE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot make '" LAYER_ASIDE "'");
    }
    r = archive_writer_new(ARCHIVE_TAR_GZIP, LAYER_GZIP_LEVEL, fd, layout->spec->created, &writer,
                           err);
    r = r == 0 ? write_entries(layout->spec, writer, err) : r;
    r = r == 0 ? archive_writer_finish(writer, &summary, err) : r;
    if (r < 0) {
        return r;
    }
    (void)snprintf(path, sizeof(path), OCI_BLOBS "/%s", summary.sha256);
    if (renameat(layout->fd, LAYER_ASIDE, layout->fd, path) < 0) {
        return error_set_errno(err, -errno, "cannot rename '" LAYER_ASIDE "'");
    }
    (void)snprintf(ret_diff_id, OCI_DIGEST_SIZE, OCI_DIGEST_PREFIX "%s", summary.contents_sha256);
    *ret_descriptor = new_descriptor(OCI_TYPE_LAYER_GZIP, summary.sha256, summary.size_bytes);
    return *ret_descriptor ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* ---- documents --------------------------------------------------------------------------------
 */

/* The machine's name for itself, as Go and therefore OCI have it. */
static const char *architecture(void)
{
    static const struct {
        const char *machine, *name;
    } names[] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"},   {"armv7l", "arm"},  {"armv6l", "arm"},
        {"i686", "386"},     {"ppc64le", "ppc64le"}, {"s390x", "s390x"}, {"riscv64", "riscv64"},
    };
    struct utsname host;

    for (size_t i = 0; uname(&host) == 0 && i < ARRAY_SIZE(names); i++) {
        if (strcmp(host.machine, names[i].machine) == 0) {
            return names[i].name;
        }
    }
    return "unknown";
}

/* RFC 3339 in whole seconds, which is what the image format's other writers say. */
static const char *moment(int64_t seconds, char text[static CLOCK_TEXT_SIZE])
{
    (void)clock_format(seconds * 1000000, text);
    (void)strcpy(text + strlen("2026-01-01T00:00:00"), "Z");
    return text;
}

static int add_rootfs(Json *config, const char *diff_id)
{
    _cleanup_json_ Json *rootfs = json_new_object(), *ids = json_new_array();
    int r = rootfs && ids ? json_append_string(ids, diff_id) : -ENOMEM;

    r = r == 0 ? json_set_string(rootfs, "type", "layers") : r;
    r = r == 0 ? json_set_take(rootfs, "diff_ids", TAKE_PTR(ids)) : r;
    return r == 0 ? json_set_take(config, "rootfs", TAKE_PTR(rootfs)) : r;
}

static int add_history(Json *config, const char *created)
{
    _cleanup_json_ Json *history = json_new_array(), *step = json_new_object();
    int r = history && step ? json_set_string(step, "created", created) : -ENOMEM;

    r = r == 0 ? json_set_string(step, "created_by", "slipway package") : r;
    r = r == 0 ? json_append_take(history, TAKE_PTR(step)) : r;
    return r == 0 ? json_set_take(config, "history", TAKE_PTR(history)) : r;
}

static int new_config(const OciImageSpec *spec, const char *diff_id, Json **ret)
{
    _cleanup_json_ Json *config = json_new_object(), *settings = NULL;
    char text[CLOCK_TEXT_SIZE];
    const char *created = moment(spec->created, text);
    int r = config ? json_set_string(config, "created", created) : -ENOMEM;

    r = r == 0 ? json_set_string(config, "architecture", architecture()) : r;
    r = r == 0 ? json_set_string(config, "os", "linux") : r;
    if (r == 0 && spec->config) {
        r = json_copy(spec->config, &settings);
        r = r == 0 ? json_set_take(config, "config", TAKE_PTR(settings)) : r;
    }
    r = r == 0 ? add_rootfs(config, diff_id) : r;
    r = r == 0 ? add_history(config, created) : r;
    if (r == 0) {
        *ret = TAKE_PTR(config);
    }
    return r;
}

static int new_manifest(Json *config_take, Json *layer_take, Json **ret)
{
    _cleanup_json_ Json *manifest = json_new_object(), *layers = json_new_array();
    _cleanup_json_ Json *config = config_take, *layer = layer_take;
    int r = manifest && layers ? json_set_int(manifest, "schemaVersion", 2) : -ENOMEM;

    r = r == 0 ? json_set_string(manifest, "mediaType", OCI_TYPE_MANIFEST) : r;
    r = r == 0 ? json_set_take(manifest, "config", TAKE_PTR(config)) : r;
    r = r == 0 ? json_append_take(layers, TAKE_PTR(layer)) : r;
    r = r == 0 ? json_set_take(manifest, "layers", TAKE_PTR(layers)) : r;
    if (r == 0) {
        *ret = TAKE_PTR(manifest);
    }
    return r;
}

static int add_platform(Json *descriptor)
{
    _cleanup_json_ Json *platform = json_new_object();
    int r = platform ? json_set_string(platform, "architecture", architecture()) : -ENOMEM;

    r = r == 0 ? json_set_string(platform, "os", "linux") : r;
    return r == 0 ? json_set_take(descriptor, "platform", TAKE_PTR(platform)) : r;
}

static int write_index(const Layout *layout, Json *manifest_take, Error *err)
{
    _cleanup_json_ Json *manifest = manifest_take, *index = json_new_object();
    _cleanup_json_ Json *manifests = json_new_array(), *annotations = NULL;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = index && manifests ? json_set_int(index, "schemaVersion", 2) : -ENOMEM;

    r = r == 0 ? json_set_string(index, "mediaType", OCI_TYPE_INDEX) : r;
    r = r == 0 ? add_platform(manifest) : r;
    if (r == 0 && layout->spec->annotations) {
        r = json_copy(layout->spec->annotations, &annotations);
        r = r == 0 ? json_set_take(manifest, "annotations", TAKE_PTR(annotations)) : r;
    }
    r = r == 0 ? json_append_take(manifests, TAKE_PTR(manifest)) : r;
    r = r == 0 ? json_set_take(index, "manifests", TAKE_PTR(manifests)) : r;
    r = r == 0 ? json_format(index, &text) : r;
    if (r < 0) {
        return error_set_errno(err, r, "cannot write '" OCI_INDEX_FILE "'");
    }
    return file_replace(layout->fd, OCI_INDEX_FILE, text.data, text.len, 0644, err);
}

/* ---- the layout -------------------------------------------------------------------------------
 */

static int write_image(const Layout *layout, Json **ret_manifest, Error *err)
{
    _cleanup_json_ Json *layer = NULL, *config = NULL, *config_blob = NULL, *manifest = NULL;
    char diff_id[OCI_DIGEST_SIZE];
    int r = write_layer(layout, &layer, diff_id, err);

    if (r < 0) {
        return r;
    }
    r = new_config(layout->spec, diff_id, &config);
    if (r < 0) {
        return error_set_errno(err, r, "the image's configuration");
    }
    r = write_json_blob(layout, OCI_TYPE_CONFIG, config, &config_blob, err);
    if (r < 0) {
        return r;
    }
    r = new_manifest(TAKE_PTR(config_blob), TAKE_PTR(layer), &manifest);
    if (r < 0) {
        return error_set_errno(err, r, "the image's manifest");
    }
    return write_json_blob(layout, OCI_TYPE_MANIFEST, manifest, ret_manifest, err);
}

static int make_layout(int parent_fd, const char *name, int *ret_fd, Error *err)
{
    static const char version[] = "{\"imageLayoutVersion\":\"" OCI_LAYOUT_VERSION "\"}";
    _cleanup_fd_ int fd = -1;
    int r;

    if (mkdirat(parent_fd, name, 0755) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s'", name);
    }
    fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || mkdirat(fd, "blobs", 0755) < 0 || mkdirat(fd, OCI_BLOBS, 0755) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s/" OCI_BLOBS "'", name);
    }
    r = file_replace(fd, OCI_LAYOUT_FILE, version, sizeof(version) - 1, 0644, err);
    if (r == 0) {
        *ret_fd = TAKE_FD(fd);
    }
    return r;
}

int oci_image_write(const OciImageSpec *spec, int parent_fd, const char *name,
                    char ret_digest[static OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_json_ Json *manifest = NULL;
    _cleanup_fd_ int fd = -1;
    char digest[OCI_DIGEST_SIZE];
    int r = make_layout(parent_fd, name, &fd, err);

    if (r == 0) {
        r = write_image(&(Layout){.spec = spec, .fd = fd}, &manifest, err);
    }
    if (r < 0) {
        return r;
    }
    (void)snprintf(digest, sizeof(digest), "%s", json_get_string(manifest, "digest"));
    r = write_index(&(Layout){.spec = spec, .fd = fd}, TAKE_PTR(manifest), err);
    if (r == 0) {
        memcpy(ret_digest, digest, OCI_DIGEST_SIZE);
    }
    return r;
}
