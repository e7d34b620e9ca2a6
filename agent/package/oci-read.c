/* SPDX-License-Identifier: MIT */
#include "agent/package/oci-read.h"

#include "agent/package/oci-layer.h"
#include "protocol/artifact/archive.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* An index, manifest or config that is larger is none of an image that anybody runs. */
#define OCI_JSON_MAX ((size_t)4 << 20)

#define OCI_LAYERS_MAX 128

/* An index may name another one, as layouts that others write do. */
#define OCI_INDEX_DEPTH_MAX 3

static const struct {
    const char *name, *oci;
} layer_types[] = {
    {OCI_TYPE_LAYER_TAR, OCI_TYPE_LAYER_TAR},      {OCI_TYPE_LAYER_GZIP, OCI_TYPE_LAYER_GZIP},
    {OCI_TYPE_LAYER_ZSTD, OCI_TYPE_LAYER_ZSTD},    {DOCKER_TYPE_LAYER_TAR, OCI_TYPE_LAYER_TAR},
    {DOCKER_TYPE_LAYER_GZIP, OCI_TYPE_LAYER_GZIP},
};

/* The machine's name for itself, as Go and therefore OCI have it. */
OciPlatform oci_platform_of_host(void)
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
            return (OciPlatform){.os = "linux", .architecture = names[i].name};
        }
    }
    return (OciPlatform){.os = "linux", .architecture = "unknown"};
}

const char *oci_layer_type(const char *media_type)
{
    for (size_t i = 0; i < ARRAY_SIZE(layer_types); i++) {
        if (strcmp(layer_types[i].name, media_type) == 0) {
            return layer_types[i].oci;
        }
    }
    return NULL;
}

static void blob_done(OciBlob *blob)
{
    free(blob->media_type);
    *blob = (OciBlob){0};
}

void oci_image_done(OciImage *image)
{
    for (size_t i = 0; i < image->n_layers; i++) {
        blob_done(&image->layers[i]);
    }
    free(image->layers);
    blob_done(&image->manifest);
    blob_done(&image->config);
    (void)json_unref(image->config_json);
    (void)json_unref(image->manifest_json);
    (void)fd_close(image->layout_fd);
    *image = OCI_IMAGE_INIT;
}

/* ---- blobs ------------------------------------------------------------------------------------
 */

static bool is_digest(const char *text)
{
    size_t prefix = strlen(OCI_DIGEST_PREFIX);

    return text && text_has_prefix(text, OCI_DIGEST_PREFIX) &&
           strlen(text) == OCI_DIGEST_SIZE - 1 &&
           strspn(text + prefix, "0123456789abcdef") == OCI_DIGEST_SIZE - 1 - prefix;
}

/* A descriptor: what kind of blob, its digest, its size. */
static int read_descriptor(const Json *descriptor, OciBlob *ret, Error *err)
{
    const char *digest = json_get_string(descriptor, "digest");
    const char *media_type = json_get_string(descriptor, "mediaType");
    int64_t size = json_get_int(descriptor, "size", -1);

    if (!is_digest(digest)) {
        return error_set(err, -EBADMSG, "its digest is not sha256 and 64 hexadecimal digits");
    }
    if (!media_type || size < 0) {
        return error_set(err, -EBADMSG, "its %s is missing", media_type ? "size" : "mediaType");
    }
    ret->media_type = strdup(media_type);
    if (!ret->media_type) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    (void)snprintf(ret->digest, sizeof(ret->digest), "%s", digest);
    ret->size_bytes = size;
    return 0;
}

/* The blob's file, at its start, once its bytes were found to be what its name says. */
static int open_blob(const OciImage *image, const OciBlob *blob, int *ret_fd, Error *err)
{
    const char *hex = blob->digest + strlen(OCI_DIGEST_PREFIX);
    char path[sizeof(OCI_BLOBS "/") + OCI_DIGEST_SIZE], found[DIGEST_HEX_SIZE];
    _cleanup_fd_ int fd = -1;
    int64_t size;
    int r;

    (void)snprintf(path, sizeof(path), OCI_BLOBS "/%s", hex);
    fd = openat(image->layout_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        return error_set(err, -EBADMSG, "blob '%s' is missing", path);
    }
    if (fd < 0) {
        return error_set_errno(err, -errno, "blob '%s'", path);
    }
    r = digest_fd(fd, found, &size, err);
    if (r < 0) {
        return error_wrap(err, "blob '%s'", path);
    }
    if (size != blob->size_bytes) {
        return error_set(err, -EBADMSG,
                         "blob '%s' has %lld bytes, but the one that is meant has %lld", path,
                         (long long)size, (long long)blob->size_bytes);
    }
    if (strcmp(found, hex) != 0) {
        return error_set(err, -EBADMSG, "blob '%s' was changed: its digest is sha256:%s", path,
                         found);
    }
    if (lseek(fd, 0, SEEK_SET) < 0) {
        return error_set_errno(err, -errno, "blob '%s'", path);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int parse_object(const Buffer *text, Json **ret, Error *err)
{
    _cleanup_json_ Json *value = NULL;
    _cleanup_error_ Error problem = {0};

    if (json_parse(buffer_text(text), text->len, &value, &problem) < 0) {
        return error_set(err, -EBADMSG, "not JSON: %s", error_text(&problem));
    }
    if (json_type_of(value) != JSON_OBJECT) {
        return error_set(err, -EBADMSG, "not a JSON object");
    }
    *ret = TAKE_PTR(value);
    return 0;
}

static int read_json_blob(const OciImage *image, const OciBlob *blob, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(OCI_JSON_MAX);
    _cleanup_fd_ int fd = -1;
    ssize_t n;
    int r;

    if (blob->size_bytes > (int64_t)OCI_JSON_MAX) {
        return error_set(err, -EBADMSG, "%s is larger than %zu bytes", blob->digest, OCI_JSON_MAX);
    }
    r = open_blob(image, blob, &fd, err);
    if (r == 0) {
        r = buffer_reserve(&text, (size_t)blob->size_bytes);
        r = r < 0 ? error_set(err, r, "out of memory") : 0;
    }
    if (r < 0) {
        return r;
    }
    n = fd_read_full(fd, text.data, (size_t)blob->size_bytes);
    if (n < 0) {
        return error_set_errno(err, (int)n, "cannot read %s", blob->digest);
    }
    text.len = (size_t)n;
    r = parse_object(&text, ret, err);
    return r < 0 ? error_wrap(err, "%s", blob->digest) : 0;
}

static int read_json_file(const OciImage *image, const char *name, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(OCI_JSON_MAX);
    int r = file_read(image->layout_fd, name, &text, err);

    if (r < 0) {
        return r;
    }
    r = parse_object(&text, ret, err);
    return r < 0 ? error_wrap(err, "'%s'", name) : 0;
}

/* ---- from the index down ----------------------------------------------------------------------
 */

static int check_layout(const OciImage *image, Error *err)
{
    _cleanup_json_ Json *layout = NULL;
    const char *version;
    int r = read_json_file(image, OCI_LAYOUT_FILE, &layout, err);

    if (r < 0) {
        return r;
    }
    version = json_get_string(layout, "imageLayoutVersion");
    if (!version || !text_has_prefix(version, "1.")) {
        return error_set(err, -EBADMSG, "'" OCI_LAYOUT_FILE "' is of version %s, not 1",
                         version ? version : "(none)");
    }
    return 0;
}

static bool is_type(const char *media_type, const char *oci, const char *docker)
{
    return media_type && (strcmp(media_type, oci) == 0 || strcmp(media_type, docker) == 0);
}

static bool is_for(const Json *descriptor, const OciPlatform *wanted)
{
    const Json *platform = json_get(descriptor, "platform");
    const char *os = json_get_string(platform, "os");
    const char *architecture = json_get_string(platform, "architecture");
    const char *variant = json_get_string(platform, "variant");

    return os && architecture && strcmp(os, wanted->os) == 0 &&
           strcmp(architecture, wanted->architecture) == 0 &&
           (!wanted->variant || (variant && strcmp(variant, wanted->variant) == 0));
}

static const Json *find_by_digest(const Json *manifests, const char *digest)
{
    for (size_t i = 0; i < json_length(manifests); i++) {
        const char *other = json_get_string(json_at(manifests, i), "digest");

        if (other && strcmp(other, digest) == 0) {
            return json_at(manifests, i);
        }
    }
    return NULL;
}

static const Json *find_by_platform(const Json *manifests, const OciPlatform *platform)
{
    for (size_t i = 0; i < json_length(manifests); i++) {
        if (is_for(json_at(manifests, i), platform)) {
            return json_at(manifests, i);
        }
    }
    return NULL;
}

/* Of index.json. `platform` is NULL where one image is all that there may be. */
static int choose(const Json *index, const char *digest, const OciPlatform *platform,
                  const Json **ret, Error *err)
{
    const Json *manifests = json_get(index, "manifests");
    size_t n = json_length(manifests);

    if (digest) {
        *ret = find_by_digest(manifests, digest);
        return *ret ? 0 : error_set(err, -EBADMSG, "it has no image %s", digest);
    }
    if (n == 1) {
        *ret = json_at(manifests, 0);
        return 0;
    }
    if (!platform) {
        return error_set(err, -EBADMSG, "it has %zu images, not one", n);
    }
    *ret = find_by_platform(manifests, platform);
    return *ret ? 0
                : error_set(err, -EBADMSG, "of its %zu images none is for %s/%s", n, platform->os,
                            platform->architecture);
}

/* From an index that is a blob to the one of its images that is for the platform. */
static int enter_index(OciImage *image, const OciPlatform *platform, Error *err)
{
    _cleanup_json_ Json *index = NULL;
    const Json *found;
    int r = read_json_blob(image, &image->manifest, &index, err);

    if (r < 0) {
        return r;
    }
    found = find_by_platform(json_get(index, "manifests"), platform);
    if (!found) {
        return error_set(err, -EBADMSG, "none of the %zu images of the index is for %s/%s",
                         json_length(json_get(index, "manifests")), platform->os,
                         platform->architecture);
    }
    blob_done(&image->manifest);
    r = read_descriptor(found, &image->manifest, err);
    return r < 0 ? error_wrap(err, "index: manifest") : 0;
}

static int find_manifest(OciImage *image, const char *digest, const OciPlatform *platform,
                         Error *err)
{
    const OciPlatform host = oci_platform_of_host();
    _cleanup_json_ Json *index = NULL;
    const Json *found = NULL;
    int r = read_json_file(image, OCI_INDEX_FILE, &index, err);

    if (r < 0) {
        return r;
    }
    r = choose(index, digest, platform, &found, err);
    r = r == 0 ? read_descriptor(found, &image->manifest, err) : r;
    if (r < 0) {
        return error_wrap(err, "'" OCI_INDEX_FILE "'");
    }
    for (int depth = 0; r == 0 && depth < OCI_INDEX_DEPTH_MAX &&
                        is_type(image->manifest.media_type, OCI_TYPE_INDEX, DOCKER_TYPE_INDEX);
         depth++) {
        r = enter_index(image, platform ? platform : &host, err);
    }
    if (r == 0 && !is_type(image->manifest.media_type, OCI_TYPE_MANIFEST, DOCKER_TYPE_MANIFEST)) {
        r = error_set(err, -EBADMSG, "'" OCI_INDEX_FILE "': '%s' is no OCI image manifest",
                      image->manifest.media_type);
    }
    return r;
}

static int read_layers(OciImage *image, const Json *layers, Error *err)
{
    size_t n = json_length(layers);

    if (n > OCI_LAYERS_MAX) {
        return error_set(err, -EBADMSG, "the image has %zu layers; more than %d are refused", n,
                         OCI_LAYERS_MAX);
    }
    image->layers = calloc(MAX(n, (size_t)1), sizeof(*image->layers));
    if (!image->layers) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        OciBlob *layer = &image->layers[image->n_layers++];
        if (read_descriptor(json_at(layers, i), layer, err) < 0) {
            return error_wrap(err, "manifest: layer %zu", i + 1);
        }
        if (!oci_layer_type(layer->media_type)) {
            return error_set(err, -EBADMSG, "manifest: layer %zu is a '%s', which is unknown here",
                             i + 1, layer->media_type);
        }
    }
    return 0;
}

static int read_image(OciImage *image, const char *digest, const OciPlatform *platform, Error *err)
{
    int r = check_layout(image, err);

    r = r == 0 ? find_manifest(image, digest, platform, err) : r;
    r = r == 0 ? read_json_blob(image, &image->manifest, &image->manifest_json, err) : r;
    if (r < 0) {
        return r;
    }
    r = read_descriptor(json_get(image->manifest_json, "config"), &image->config, err);
    if (r < 0) {
        return error_wrap(err, "manifest: config");
    }
    r = read_layers(image, json_get(image->manifest_json, "layers"), err);
    return r == 0 ? read_json_blob(image, &image->config, &image->config_json, err) : r;
}

int oci_image_open_for(int dir_fd, const char *name, const char *digest,
                       const OciPlatform *platform, OciImage *ret, Error *err)
{
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;
    int r;

    image.layout_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (image.layout_fd < 0) {
        return error_set_errno(err, -errno, "image layout '%s'", name);
    }
    r = read_image(&image, digest, platform, err);
    if (r < 0) {
        return error_wrap(err, "image layout '%s'", name);
    }
    *ret = image;
    image = OCI_IMAGE_INIT;
    return 0;
}

int oci_image_open(int dir_fd, const char *name, const char *digest, OciImage *ret, Error *err)
{
    return oci_image_open_for(dir_fd, name, digest, NULL, ret, err);
}

int oci_image_verify(const OciImage *image, Error *err)
{
    for (size_t i = 0; i < image->n_layers; i++) {
        _cleanup_fd_ int fd = -1;
        int r = open_blob(image, &image->layers[i], &fd, err);

        if (r < 0) {
            return error_wrap(err, "layer %zu", i + 1);
        }
    }
    return 0;
}

/* ---- unpacking --------------------------------------------------------------------------------
 */

/* One layer: unpacked beside the root as `aside`, then moved into it. */
static int add_layer(const OciImage *image, const OciBlob *layer, int parent_fd, const char *root,
                     const char *aside, Error *err)
{
    _cleanup_fd_ int fd = -1;
    int r = open_blob(image, layer, &fd, err);

    r = r == 0 ? file_remove_tree(parent_fd, aside, err) : r;
    r = r == 0 ? archive_unpack(fd, parent_fd, aside, NULL, NULL, NULL, err) : r;
    return r == 0 ? oci_layer_merge(parent_fd, aside, root, err) : r;
}

int oci_image_unpack(const OciImage *image, int parent_fd, const char *name, Error *err)
{
    _cleanup_free_ char *root = NULL, *aside = NULL;
    int r = 0;

    if (asprintf(&root, "%s.tmp", name) < 0) {
        root = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (asprintf(&aside, "%s.layer", name) < 0) {
        aside = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (file_exists(parent_fd, name)) {
        return error_set(err, -EEXIST, "'%s' is there already", name);
    }
    r = file_remove_tree(parent_fd, root, err);
    if (r == 0 && mkdirat(parent_fd, root, 0755) < 0) {
        r = error_set_errno(err, -errno, "cannot make '%s'", root);
    }
    for (size_t i = 0; r == 0 && i < image->n_layers; i++) {
        r = add_layer(image, &image->layers[i], parent_fd, root, aside, err);
        if (r < 0) {
            (void)error_wrap(err, "layer %zu of %s", i + 1, image->manifest.digest);
        }
    }
    (void)!file_remove_tree(parent_fd, aside, NULL);
    if (r == 0 && renameat(parent_fd, root, parent_fd, name) < 0) {
        r = error_set_errno(err, -errno, "cannot rename '%s'", root);
    }
    if (r < 0) {
        (void)!file_remove_tree(parent_fd, root, NULL);
        return r;
    }
    r = file_sync_dir(parent_fd);
    return r < 0 ? error_set_errno(err, r, "cannot sync '%s'", name) : 0;
}
