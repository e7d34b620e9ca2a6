/* SPDX-License-Identifier: MIT */
#include "agent/package/oci-write.h"

#include "protocol/artifact/digest.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREATED_BY "slipway package"

typedef struct Writing {
    const OciLayoutSpec *spec;
    int fd, blobs_fd;
    OciLayout layout;
} Writing;

static void writing_done(Writing *writing)
{
    oci_layout_done(&writing->layout);
    (void)fd_close(writing->blobs_fd);
    (void)fd_close(writing->fd);
}

void oci_layout_done(OciLayout *layout)
{
    (void)json_unref(layout->layers);
    *layout = (OciLayout){0};
}

/* ---- blobs ------------------------------------------------------------------------------------
 */

static Json *new_descriptor(const char *media_type, const char *digest, int64_t size)
{
    _cleanup_json_ Json *object = json_new_object();

    if (!object || json_set_string(object, "mediaType", media_type) < 0 ||
        json_set_string(object, "digest", digest) < 0 || json_set_int(object, "size", size) < 0) {
        return NULL;
    }
    return TAKE_PTR(object);
}

/* Not synced: what is written here is a piece of a package, which is. */
static int write_file(int dir_fd, const char *name, const Buffer *text, Error *err)
{
    _cleanup_fd_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int r = fd < 0 ? -errno : fd_write_all(fd, text->data, text->len);

    return r < 0 ? error_set_errno(err, r, "cannot write '%s'", name) : 0;
}

/* Writes the value as a blob and describes it. */
static int write_json_blob(const Writing *writing, const char *media_type, const Json *value,
                           Json **ret_descriptor, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    char hex[DIGEST_HEX_SIZE], digest[OCI_DIGEST_SIZE];
    int r = json_format(value, &text);

    r = r == 0 ? digest_bytes(text.data, text.len, hex) : r;
    if (r < 0) {
        return error_set_errno(err, r, "cannot write '%s'", media_type);
    }
    r = write_file(writing->blobs_fd, hex, &text, err);
    if (r < 0) {
        return r;
    }
    (void)snprintf(digest, sizeof(digest), OCI_DIGEST_PREFIX "%s", hex);
    *ret_descriptor = new_descriptor(media_type, digest, (int64_t)text.len);
    return *ret_descriptor ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* ---- layers -----------------------------------------------------------------------------------
 */

/* Of one image: their descriptors, and the digests of their tars. */
typedef struct Layers {
    Json *descriptors, *diff_ids;
} Layers;

static void layers_done(Layers *layers)
{
    (void)json_unref(layers->descriptors);
    (void)json_unref(layers->diff_ids);
}

static const char *layer_type(CompressKind compression)
{
    static const char *const types[_COMPRESS_KIND_MAX] = {
        [COMPRESS_GZIP] = OCI_TYPE_LAYER_GZIP,
        [COMPRESS_ZSTD] = OCI_TYPE_LAYER_ZSTD,
        [COMPRESS_NONE] = OCI_TYPE_LAYER_TAR,
    };

    return types[compression];
}

static int add_layer(Layers *layers, const char *media_type, const char *digest, int64_t size,
                     const char *diff_id)
{
    int r = json_append_take(layers->descriptors, new_descriptor(media_type, digest, size));

    return r == 0 ? json_append_string(layers->diff_ids, diff_id) : r;
}

/* The base's blobs are taken as they are. */
static int add_base(const Writing *writing, const OciImage *base, Layers *layers, Error *err)
{
    const Json *diff_ids = json_pointer(base->config_json, "/rootfs/diff_ids");

    if (json_length(diff_ids) != base->n_layers) {
        return error_set(err, -EBADMSG, "the base's configuration tells of %zu layers, not of %zu",
                         json_length(diff_ids), base->n_layers);
    }
    for (size_t i = 0; i < base->n_layers; i++) {
        const OciBlob *layer = &base->layers[i];
        const char *hex = layer->digest + strlen(OCI_DIGEST_PREFIX);
        const char *diff_id = json_as_string(json_at(diff_ids, i));
        char path[sizeof(OCI_BLOBS "/") + OCI_DIGEST_SIZE];
        int r;

        (void)snprintf(path, sizeof(path), OCI_BLOBS "/%s", hex);
        r = blob_link(base->layout_fd, path, writing->blobs_fd, hex);
        if (r < 0) {
            return error_set_errno(err, r, "cannot take layer %zu of the base", i + 1);
        }
        if (!diff_id || add_layer(layers, oci_layer_type(layer->media_type), layer->digest,
                                  layer->size_bytes, diff_id) < 0) {
            return error_set(err, diff_id ? -ENOMEM : -EBADMSG, "layer %zu of the base", i + 1);
        }
    }
    return 0;
}

static int add_own(Writing *writing, const OciImageSpec *image, Layers *layers, Error *err)
{
    for (size_t i = 0; i < image->n_layers; i++) {
        char digest[OCI_DIGEST_SIZE], diff_id[OCI_DIGEST_SIZE];
        Layer layer;
        int r =
            layer_write(&image->layers[i], writing->spec->memory, writing->blobs_fd, &layer, err);

        if (r < 0) {
            return r;
        }
        (void)snprintf(digest, sizeof(digest), OCI_DIGEST_PREFIX "%s", layer.sha256);
        (void)snprintf(diff_id, sizeof(diff_id), OCI_DIGEST_PREFIX "%s", layer.diff_id);
        if (add_layer(layers, layer_type(image->layers[i].compression), digest, layer.size_bytes,
                      diff_id) < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        writing->layout.n_known_layers += layer.is_known;
    }
    return 0;
}

static int write_layers(Writing *writing, const OciImageSpec *image, Layers *layers, Error *err)
{
    layers->descriptors = json_new_array();
    layers->diff_ids = json_new_array();
    if (!layers->descriptors || !layers->diff_ids) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (image->base) {
        int r = add_base(writing, image->base, layers, err);

        if (r < 0) {
            return r;
        }
    }
    return add_own(writing, image, layers, err);
}

/* ---- documents --------------------------------------------------------------------------------
 */

/* RFC 3339 in whole seconds, which is what the image format's other writers say. */
static const char *moment(int64_t seconds, char text[static CLOCK_TEXT_SIZE])
{
    (void)clock_format(seconds * 1000000, text);
    (void)strcpy(text + strlen("2026-01-01T00:00:00"), "Z");
    return text;
}

static int add_rootfs(Json *config, Json *diff_ids_take)
{
    _cleanup_json_ Json *rootfs = json_new_object(), *ids = diff_ids_take;
    int r = rootfs ? json_set_string(rootfs, "type", "layers") : -ENOMEM;

    r = r == 0 ? json_set_take(rootfs, "diff_ids", TAKE_PTR(ids)) : r;
    return r == 0 ? json_set_take(config, "rootfs", TAKE_PTR(rootfs)) : r;
}

static int add_step(Json *history, const char *created, const char *created_by, bool is_empty)
{
    _cleanup_json_ Json *step = json_new_object();
    int r = step ? json_set_string(step, "created", created) : -ENOMEM;

    r = r == 0 ? json_set_string(step, "created_by", created_by) : r;
    r = r == 0 && is_empty ? json_set_bool(step, "empty_layer", true) : r;
    return r == 0 ? json_append_take(history, TAKE_PTR(step)) : r;
}

/* The base's steps are worth keeping where they tell of each of its layers: readers count them. */
static bool is_history_whole(const OciImage *base)
{
    const Json *history = json_get(base->config_json, "history");
    size_t n = 0;

    for (size_t i = 0; i < json_length(history); i++) {
        n += !json_get_bool(json_at(history, i), "empty_layer", false);
    }
    return n == base->n_layers;
}

static int add_history(Json *config, const OciImageSpec *image, const char *created)
{
    _cleanup_json_ Json *history = NULL;
    size_t n_base = image->base ? image->base->n_layers : 0;
    bool is_kept = n_base > 0 && is_history_whole(image->base);
    int r = 0;

    if (is_kept) {
        r = json_copy(json_get(image->base->config_json, "history"), &history);
    } else {
        history = json_new_array();
        r = history ? 0 : -ENOMEM;
        for (size_t i = 0; r == 0 && i < n_base; i++) {
            r = add_step(history, created, "base", false);
        }
    }
    for (size_t i = 0; r == 0 && i < MAX(image->n_layers, (size_t)1); i++) {
        r = add_step(history, created, CREATED_BY, image->n_layers == 0);
    }
    return r == 0 ? json_set_take(config, "history", TAKE_PTR(history)) : r;
}

static int set_platform(Json *object, const OciPlatform *platform)
{
    int r = json_set_string(object, "architecture", platform->architecture);

    r = r == 0 ? json_set_string(object, "os", platform->os) : r;
    return r == 0 ? json_set_string(object, "variant", platform->variant) : r;
}

static int new_config(const OciImageSpec *image, int64_t created_at, Json *diff_ids_take,
                      Json **ret)
{
    _cleanup_json_ Json *config = json_new_object(), *settings = NULL, *ids = diff_ids_take;
    char text[CLOCK_TEXT_SIZE];
    const char *created = moment(created_at, text);
    int r = config ? json_set_string(config, "created", created) : -ENOMEM;

    r = r == 0 ? set_platform(config, &image->platform) : r;
    if (r == 0 && image->config) {
        r = json_copy(image->config, &settings);
        r = r == 0 ? json_set_take(config, "config", TAKE_PTR(settings)) : r;
    }
    r = r == 0 ? add_rootfs(config, TAKE_PTR(ids)) : r;
    r = r == 0 ? add_history(config, image, created) : r;
    if (r == 0) {
        *ret = TAKE_PTR(config);
    }
    return r;
}

static int add_annotations(Json *object, const Json *annotations)
{
    _cleanup_json_ Json *copy = NULL;
    int r;

    if (json_member_count(annotations) == 0) {
        return 0;
    }
    r = json_copy(annotations, &copy);
    return r == 0 ? json_set_take(object, "annotations", TAKE_PTR(copy)) : r;
}

static int new_manifest(const OciImageSpec *image, Json *config_take, Json *layers_take, Json **ret)
{
    _cleanup_json_ Json *manifest = json_new_object();
    _cleanup_json_ Json *config = config_take, *layers = layers_take;
    int r = manifest ? json_set_int(manifest, "schemaVersion", 2) : -ENOMEM;

    r = r == 0 ? json_set_string(manifest, "mediaType", OCI_TYPE_MANIFEST) : r;
    r = r == 0 ? json_set_take(manifest, "config", TAKE_PTR(config)) : r;
    r = r == 0 ? json_set_take(manifest, "layers", TAKE_PTR(layers)) : r;
    r = r == 0 ? add_annotations(manifest, image->annotations) : r;
    if (r == 0) {
        *ret = TAKE_PTR(manifest);
    }
    return r;
}

/* index.json, or an index that is a blob. */
static int new_index(Json *manifests_take, Json **ret)
{
    _cleanup_json_ Json *index = json_new_object(), *manifests = manifests_take;
    int r = index ? json_set_int(index, "schemaVersion", 2) : -ENOMEM;

    r = r == 0 ? json_set_string(index, "mediaType", OCI_TYPE_INDEX) : r;
    r = r == 0 ? json_set_take(index, "manifests", TAKE_PTR(manifests)) : r;
    if (r == 0) {
        *ret = TAKE_PTR(index);
    }
    return r;
}

/* ---- images -----------------------------------------------------------------------------------
 */

/* What the caller is told of the first image's layers. */
static int tell_layers(OciLayout *layout, const Json *descriptors)
{
    _cleanup_json_ Json *list = json_new_array();
    int r = list ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < json_length(descriptors); i++) {
        const Json *descriptor = json_at(descriptors, i);
        _cleanup_json_ Json *told = json_new_object();

        r = told ? json_set_string(told, "digest", json_get_string(descriptor, "digest")) : -ENOMEM;
        r = r == 0 ? json_set_int(told, "size", json_get_int(descriptor, "size", 0)) : r;
        r = r == 0 ? json_append_take(list, TAKE_PTR(told)) : r;
    }
    if (r == 0) {
        layout->n_layers = json_length(list);
        layout->layers = TAKE_PTR(list);
    }
    return r;
}

static int write_image(Writing *writing, const OciImageSpec *image, Json **ret_descriptor,
                       Error *err)
{
    _cleanup_(layers_done) Layers layers = {0};
    _cleanup_json_ Json *config = NULL, *config_blob = NULL, *manifest = NULL, *platform = NULL;
    int r = write_layers(writing, image, &layers, err);

    if (r < 0) {
        return r;
    }
    r = writing->layout.layers ? 0 : tell_layers(&writing->layout, layers.descriptors);
    r = r == 0 ? new_config(image, writing->spec->created, TAKE_PTR(layers.diff_ids), &config) : r;
    if (r < 0) {
        return error_set_errno(err, r, "the image's configuration");
    }
    r = write_json_blob(writing, OCI_TYPE_CONFIG, config, &config_blob, err);
    if (r < 0) {
        return r;
    }
    r = new_manifest(image, TAKE_PTR(config_blob), TAKE_PTR(layers.descriptors), &manifest);
    if (r < 0) {
        return error_set_errno(err, r, "the image's manifest");
    }
    r = write_json_blob(writing, OCI_TYPE_MANIFEST, manifest, ret_descriptor, err);
    if (r < 0) {
        return r;
    }
    platform = json_new_object();
    r = platform ? set_platform(platform, &image->platform) : -ENOMEM;
    r = r == 0 ? json_set_take(*ret_descriptor, "platform", TAKE_PTR(platform)) : r;
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* One descriptor: of the one image, or of an index of all. */
static int write_images(Writing *writing, Json **ret_descriptor, Error *err)
{
    _cleanup_json_ Json *manifests = json_new_array(), *index = NULL;

    for (size_t i = 0; i < writing->spec->n_images; i++) {
        _cleanup_json_ Json *descriptor = NULL;
        int r = write_image(writing, &writing->spec->images[i], &descriptor, err);

        if (r < 0) {
            return r;
        }
        if (writing->spec->n_images == 1) {
            *ret_descriptor = TAKE_PTR(descriptor);
            return 0;
        }
        if (!manifests || json_append_take(manifests, TAKE_PTR(descriptor)) < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
    }
    if (new_index(TAKE_PTR(manifests), &index) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return write_json_blob(writing, OCI_TYPE_INDEX, index, ret_descriptor, err);
}

/* ---- the layout -------------------------------------------------------------------------------
 */

static int write_index_file(const Writing *writing, Json *descriptor_take, Error *err)
{
    _cleanup_json_ Json *descriptor = descriptor_take, *manifests = json_new_array(), *index = NULL;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = manifests ? add_annotations(descriptor, writing->spec->annotations) : -ENOMEM;

    r = r == 0 ? json_append_take(manifests, TAKE_PTR(descriptor)) : r;
    r = r == 0 ? new_index(TAKE_PTR(manifests), &index) : r;
    r = r == 0 ? json_format(index, &text) : r;
    if (r < 0) {
        return error_set_errno(err, r, "cannot write '" OCI_INDEX_FILE "'");
    }
    return write_file(writing->fd, OCI_INDEX_FILE, &text, err);
}

static int make_layout(Writing *writing, int parent_fd, const char *name, Error *err)
{
    static char version[] = "{\"imageLayoutVersion\":\"" OCI_LAYOUT_VERSION "\"}";

    if (mkdirat(parent_fd, name, 0755) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s'", name);
    }
    writing->fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (writing->fd < 0 || mkdirat(writing->fd, "blobs", 0755) < 0 ||
        mkdirat(writing->fd, OCI_BLOBS, 0755) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s/" OCI_BLOBS "'", name);
    }
    writing->blobs_fd = openat(writing->fd, OCI_BLOBS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (writing->blobs_fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s/" OCI_BLOBS "'", name);
    }
    return write_file(writing->fd, OCI_LAYOUT_FILE,
                      &(Buffer){.data = version, .len = sizeof(version) - 1}, err);
}

/* Each blob once, in however many images it is. */
static int sum_blobs(Writing *writing, Error *err)
{
    int fd = fcntl(writing->blobs_fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        (void)fd_close(fd);
        return error_set_errno(err, -errno, "cannot read '" OCI_BLOBS "'");
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;

        if (entry->d_name[0] != '.' &&
            fstatat(writing->blobs_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            writing->layout.size_bytes += st.st_size;
        }
    }
    (void)closedir(dir);
    return 0;
}

int oci_layout_write(const OciLayoutSpec *spec, int parent_fd, const char *name, OciLayout *ret,
                     Error *err)
{
    _cleanup_(writing_done) Writing writing = {.spec = spec, .fd = -1, .blobs_fd = -1};
    _cleanup_json_ Json *descriptor = NULL;
    int r = make_layout(&writing, parent_fd, name, err);

    r = r == 0 ? write_images(&writing, &descriptor, err) : r;
    if (r < 0) {
        return r;
    }
    (void)snprintf(writing.layout.digest, OCI_DIGEST_SIZE, "%s",
                   json_get_string(descriptor, "digest"));
    r = write_index_file(&writing, TAKE_PTR(descriptor), err);
    r = r == 0 ? sum_blobs(&writing, err) : r;
    if (r < 0) {
        return r;
    }
    *ret = writing.layout;
    writing.layout = (OciLayout){0};
    return 0;
}
