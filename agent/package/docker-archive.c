/* SPDX-License-Identifier: MIT */
#include "agent/package/docker-archive.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_FILE "manifest.json"
#define JSON_BYTES_MAX ((size_t)4 << 20)

static const unsigned char gzip_magic[] = {0x1f, 0x8b};

typedef struct Import {
    int archive_fd, layout_fd, blobs_fd;
    const BlobCache *cache;
    Json *config, *layers; /* the configuration; descriptors of the layers */
    Json *config_descriptor;
} Import;

static void import_done(Import *import)
{
    (void)json_unref(import->config);
    (void)json_unref(import->layers);
    (void)json_unref(import->config_descriptor);
    (void)fd_close(import->blobs_fd);
    (void)fd_close(import->layout_fd);
}

/* ---- files ------------------------------------------------------------------------------------
 */

static int read_json(int dir_fd, const char *name, Buffer *text, Json **ret, Error *err)
{
    int r = file_read(dir_fd, name, text, err);

    if (r < 0) {
        return r;
    }
    r = json_parse(buffer_text(text), text->len, ret, err);
    return r < 0 ? error_wrap(err, "'%s'", name) : 0;
}

static int write_file(int dir_fd, const char *name, const void *data, size_t n, Error *err)
{
    _cleanup_fd_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int r = fd < 0 ? -errno : fd_write_all(fd, data, n);

    return r < 0 ? error_set_errno(err, r, "cannot write '%s'", name) : 0;
}

static Json *new_descriptor(const char *media_type, const char *hex, int64_t size)
{
    char digest[OCI_DIGEST_SIZE];
    _cleanup_json_ Json *object = json_new_object();

    (void)snprintf(digest, sizeof(digest), OCI_DIGEST_PREFIX "%.64s", hex);
    if (!object || json_set_string(object, "mediaType", media_type) < 0 ||
        json_set_string(object, "digest", digest) < 0 || json_set_int(object, "size", size) < 0) {
        return NULL;
    }
    return TAKE_PTR(object);
}

/* The bytes as they are, as a blob. */
static int write_blob(const Import *import, const char *media_type, const Buffer *text,
                      Json **ret_descriptor, Error *err)
{
    char hex[DIGEST_HEX_SIZE];
    int r = digest_bytes(text->data, text->len, hex);

    r = r < 0 ? error_set_errno(err, r, "cannot make a digest")
              : write_file(import->blobs_fd, hex, text->data, text->len, err);
    if (r < 0) {
        return r;
    }
    *ret_descriptor = new_descriptor(media_type, hex, (int64_t)text->len);
    return *ret_descriptor ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* A name of the archive's own. */
static bool is_inside(const char *path)
{
    for (const char *part = path; *part; part += strcspn(part, "/"), part += *part == '/') {
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) {
            return false;
        }
    }
    return *path != '/' && *path != '\0';
}

/* ---- layers -----------------------------------------------------------------------------------
 */

/* A layer that is compressed already is taken as it is. */
static int take_compressed(const Import *import, int fd, Layer *ret, Error *err)
{
    int64_t size;
    int r = digest_fd(fd, ret->sha256, &size, err);

    if (r < 0) {
        return r;
    }
    r = blob_link_fd(fd, import->blobs_fd, ret->sha256);
    if (r < 0) {
        return error_set_errno(err, r, "cannot take it");
    }
    ret->size_bytes = size;
    return 0;
}

static int import_layer(const Import *import, const char *path, const char *diff_id, Error *err)
{
    /* Links are followed: unpacking let none out of the archive. */
    _cleanup_fd_ int fd = openat(import->archive_fd, path, O_RDONLY | O_CLOEXEC);
    unsigned char magic[sizeof(gzip_magic)];
    bool is_gzip;
    Layer layer = {0};
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return error_set_errno(err, -errno, "cannot open it");
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(err, -EBADMSG, "it is no file");
    }
    is_gzip = fd_pread_full(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
              memcmp(magic, gzip_magic, sizeof(magic)) == 0;
    r = is_gzip ? take_compressed(import, fd, &layer, err)
                : layer_write_tar(fd, diff_id, COMPRESS_GZIP, import->cache, import->blobs_fd,
                                  &layer, err);
    if (r < 0) {
        return r;
    }
    r = json_append_take(import->layers,
                         new_descriptor(OCI_TYPE_LAYER_GZIP, layer.sha256, layer.size_bytes));
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* "sha256:HEX" → HEX, or NULL. */
static const char *hex_of(const char *digest)
{
    if (!digest || !text_has_prefix(digest, OCI_DIGEST_PREFIX)) {
        return NULL;
    }
    digest += strlen(OCI_DIGEST_PREFIX);
    return strlen(digest) == DIGEST_HEX_SIZE - 1 &&
                   strspn(digest, "0123456789abcdef") == DIGEST_HEX_SIZE - 1
               ? digest
               : NULL;
}

static int import_layers(Import *import, const Json *paths, Error *err)
{
    const Json *diff_ids = json_pointer(import->config, "/rootfs/diff_ids");

    import->layers = json_new_array();
    if (!import->layers) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (json_length(paths) != json_length(diff_ids)) {
        return error_set(err, -EBADMSG, "%zu layers are there, and the configuration tells of %zu",
                         json_length(paths), json_length(diff_ids));
    }
    for (size_t i = 0; i < json_length(paths); i++) {
        const char *path = json_as_string(json_at(paths, i));
        const char *diff_id = hex_of(json_as_string(json_at(diff_ids, i)));
        int r;

        if (!path || !is_inside(path) || !diff_id) {
            return error_set(err, -EBADMSG, "layer %zu has neither a file nor a SHA-256", i + 1);
        }
        r = import_layer(import, path, diff_id, err);
        if (r < 0) {
            return error_wrap(err, "layer %zu, '%s'", i + 1, path);
        }
    }
    return 0;
}

/* ---- the layout -------------------------------------------------------------------------------
 */

static int make_layout(Import *import, int parent_fd, const char *name, Error *err)
{
    static const char version[] = "{\"imageLayoutVersion\":\"" OCI_LAYOUT_VERSION "\"}";

    if (mkdirat(parent_fd, name, 0755) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s'", name);
    }
    import->layout_fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (import->layout_fd < 0 || mkdirat(import->layout_fd, "blobs", 0755) < 0 ||
        mkdirat(import->layout_fd, OCI_BLOBS, 0755) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s/" OCI_BLOBS "'", name);
    }
    import->blobs_fd = openat(import->layout_fd, OCI_BLOBS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (import->blobs_fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s/" OCI_BLOBS "'", name);
    }
    return write_file(import->layout_fd, OCI_LAYOUT_FILE, version, sizeof(version) - 1, err);
}

static int write_manifest(Import *import, Json **ret_descriptor, Error *err)
{
    _cleanup_json_ Json *manifest = json_new_object();
    _cleanup_buffer_ Buffer text = BUFFER_INIT(JSON_BYTES_MAX);
    int r = manifest ? json_set_int(manifest, "schemaVersion", 2) : -ENOMEM;

    r = r == 0 ? json_set_string(manifest, "mediaType", OCI_TYPE_MANIFEST) : r;
    r = r == 0 ? json_set_take(manifest, "config", TAKE_PTR(import->config_descriptor)) : r;
    r = r == 0 ? json_set_take(manifest, "layers", TAKE_PTR(import->layers)) : r;
    r = r == 0 ? json_format(manifest, &text) : r;
    return r < 0 ? error_set_errno(err, r, "the manifest")
                 : write_blob(import, OCI_TYPE_MANIFEST, &text, ret_descriptor, err);
}

static int write_index(const Import *import, Json *descriptor_take, Error *err)
{
    _cleanup_json_ Json *index = json_new_object(), *manifests = json_new_array();
    _cleanup_json_ Json *descriptor = descriptor_take;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(JSON_BYTES_MAX);
    int r = index && manifests ? json_set_int(index, "schemaVersion", 2) : -ENOMEM;

    r = r == 0 ? json_append_take(manifests, TAKE_PTR(descriptor)) : r;
    r = r == 0 ? json_set_take(index, "manifests", TAKE_PTR(manifests)) : r;
    r = r == 0 ? json_format(index, &text) : r;
    return r < 0 ? error_set_errno(err, r, "the index")
                 : write_file(import->layout_fd, OCI_INDEX_FILE, text.data, text.len, err);
}

static int import_image(Import *import, const Json *image, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(JSON_BYTES_MAX);
    _cleanup_json_ Json *descriptor = NULL;
    const char *config = json_get_string(image, "Config");
    int r;

    if (!config || !is_inside(config)) {
        return error_set(err, -EBADMSG, "it names no configuration");
    }
    r = read_json(import->archive_fd, config, &text, &import->config, err);
    r = r == 0 ? write_blob(import, OCI_TYPE_CONFIG, &text, &import->config_descriptor, err) : r;
    r = r == 0 ? import_layers(import, json_get(image, "Layers"), err) : r;
    r = r == 0 ? write_manifest(import, &descriptor, err) : r;
    return r == 0 ? write_index(import, TAKE_PTR(descriptor), err) : r;
}

int docker_archive_import(int archive_fd, const BlobCache *cache, int parent_fd, const char *name,
                          Error *err)
{
    _cleanup_(import_done)
        Import import = {.archive_fd = archive_fd, .layout_fd = -1, .blobs_fd = -1, .cache = cache};
    _cleanup_buffer_ Buffer text = BUFFER_INIT(JSON_BYTES_MAX);
    _cleanup_json_ Json *manifest = NULL;
    int r = read_json(archive_fd, MANIFEST_FILE, &text, &manifest, err);

    if (r == 0 && json_length(manifest) != 1) {
        r = error_set(err, -EBADMSG, "'" MANIFEST_FILE "' has %zu images, not one",
                      json_length(manifest));
    }
    r = r == 0 ? make_layout(&import, parent_fd, name, err) : r;
    r = r == 0 ? import_image(&import, json_at(manifest, 0), err) : r;
    return r < 0 ? error_wrap(err, "image archive") : 0;
}
