/* SPDX-License-Identifier: MIT */
#include "agent/package/image.h"

#include "agent/package/image-config.h"
#include "agent/package/image-files.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PLATFORM_MAX 64

/* What one platform's image is made of. */
typedef struct Part {
    char text[PLATFORM_MAX]; /* "linux/arm\0v7", cut */
    OciPlatform platform;
    ImageFiles files;
    OciImage base;
    LayerSpec *layers;
    Json *config, *annotations;
} Part;

typedef struct Parts {
    Part *items;
    OciImageSpec *specs;
    size_t count;
} Parts;

void image_done(Image *image)
{
    oci_layout_done(&image->layout);
    *image = (Image){0};
}

static void parts_done(Parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        Part *part = &parts->items[i];

        image_files_done(&part->files);
        oci_image_done(&part->base);
        (void)json_unref(part->config);
        (void)json_unref(part->annotations);
        free(part->layers);
    }
    free(parts->items);
    free(parts->specs);
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- files ------------------------------------------------------------------------------------
 */

/* [{"from": "dist", "to": "/app"}] */
static int new_convention(Json **ret)
{
    _cleanup_json_ Json *files = json_new_array(), *file = json_new_object();
    int r = files && file ? json_set_string(file, "from", IMAGE_CONVENTION_FROM) : -ENOMEM;

    r = r == 0 ? json_set_string(file, "to", IMAGE_CONVENTION_TO) : r;
    r = r == 0 ? json_append_take(files, TAKE_PTR(file)) : r;
    if (r == 0) {
        *ret = TAKE_PTR(files);
    }
    return r;
}

static int find_files(const ImageRequest *request, const char *platform, ImageFiles *ret,
                      Error *err)
{
    const Json *declared = json_get(request->package, "files");
    _cleanup_json_ Json *convention = NULL;

    if (declared) {
        return image_files_find(request->workspace_fd, declared, platform, ret, err);
    }
    if (!file_exists(request->workspace_fd, IMAGE_CONVENTION_FROM)) {
        return error_set(err, -ENOENT,
                         "nothing to package: there is no " IMAGE_CONVENTION_FROM
                         "/ (is it made by the build?), and slipway.json has no `package.files`");
    }
    if (new_convention(&convention) < 0) {
        return out_of_memory(err);
    }
    return image_files_find(request->workspace_fd, convention, platform, ret, err);
}

static int make_layers(const ImageRequest *request, Part *part, Error *err)
{
    const char *name = json_get_string(request->package, "compression");
    CompressKind compression = name ? compress_kind_of(name) : COMPRESS_GZIP;

    part->layers = calloc(part->files.n_layers + 1, sizeof(*part->layers));
    if (!part->layers) {
        return out_of_memory(err);
    }
    for (size_t i = 0; i < part->files.n_layers; i++) {
        const ImageLayer *layer = &part->files.layers[i];

        part->layers[i] =
            (LayerSpec){.root_fd = request->workspace_fd,
                        .entries = part->files.entries + layer->first,
                        .n_entries = layer->count,
                        .time = layer->name ? IMAGE_NAMED_LAYER_TIME : request->committed_at,
                        .compression = compression};
    }
    return 0;
}

/* ---- the base ---------------------------------------------------------------------------------
 */

static int open_base(const ImageRequest *request, size_t i, bool is_for_host, Part *part,
                     Error *err)
{
    const char *os, *architecture;
    const char *layout = request->base_layouts ? request->base_layouts[i] : request->base_layout;
    int r = oci_image_open_for(request->base_fd, layout, NULL, &part->platform, &part->base, err);

    r = r == 0 ? oci_image_verify(&part->base, err) : r;
    if (r < 0) {
        return r;
    }
    os = json_get_string(part->base.config_json, "os");
    architecture = json_get_string(part->base.config_json, "architecture");
    if (!os || !architecture) {
        return error_set(err, -EBADMSG, "it does not say what platform it is for");
    }
    if (is_for_host) { /* nobody asked for one: the image is for what its base is for */
        part->platform = (OciPlatform){
            .os = os,
            .architecture = architecture,
            .variant = json_get_string(part->base.config_json, "variant"),
        };
    }
    if (strcmp(os, part->platform.os) != 0 ||
        strcmp(architecture, part->platform.architecture) != 0) {
        return error_set(err, -EINVAL, "it is for %s/%s, not for %s/%s", os, architecture,
                         part->platform.os, part->platform.architecture);
    }
    return 0;
}

/* https://specs.opencontainers.org/image-spec/annotations/: what scanners ask for. */
static int annotate_base(const ImageRequest *request, Part *part)
{
    part->annotations = json_new_object();
    if (!part->annotations ||
        json_set_string(part->annotations, IMAGE_LABEL "base.name", request->base_name) < 0 ||
        json_set_string(part->annotations, IMAGE_LABEL "base.digest", part->base.manifest.digest) <
            0) {
        return -ENOMEM;
    }
    return 0;
}

static int add_base(const ImageRequest *request, size_t i, bool is_for_host, Part *part, Error *err)
{
    int r = open_base(request, i, is_for_host, part, err);

    if (r < 0) {
        return request->is_whole ? r : error_wrap(err, "/package/base: '%s'", request->base_name);
    }
    return request->is_whole || annotate_base(request, part) == 0 ? 0 : out_of_memory(err);
}

/* ---- platforms --------------------------------------------------------------------------------
 */

/* "linux/arm/v7", as the schema has it. */
static OciPlatform parse_platform(const char *text, char copy[static PLATFORM_MAX])
{
    char *architecture, *variant;

    (void)snprintf(copy, PLATFORM_MAX, "%s", text);
    architecture = copy + strcspn(copy, "/");
    *architecture++ = '\0';
    variant = strchr(architecture, '/');
    if (variant) {
        *variant++ = '\0';
    }
    return (OciPlatform){.os = copy, .architecture = architecture, .variant = variant};
}

/* `text` is NULL where the recipe names no platforms. */
static int make_part(const ImageRequest *request, size_t i, const char *text, Part *part,
                     OciImageSpec *spec, Error *err)
{
    int r = 0;

    part->base = OCI_IMAGE_INIT;
    part->platform = text ? parse_platform(text, part->text) : oci_platform_of_host();
    if (request->base_fd >= 0) {
        r = add_base(request, i, !text, part, err);
    }
    if (r == 0 && !request->is_whole) {
        r = find_files(request, text, &part->files, err);
        r = r == 0 ? make_layers(request, part, err) : r;
    }
    if (r < 0) {
        return r;
    }
    r = image_config_new(&(ImageConfigRequest){.package = request->package,
                                               .name = request->name,
                                               .commit = request->commit,
                                               .committed_at = request->committed_at,
                                               .files = request->is_whole ? NULL : &part->files,
                                               .base = request->base_fd >= 0 ? &part->base : NULL},
                         &part->config);
    if (r < 0) {
        return out_of_memory(err);
    }
    *spec = (OciImageSpec){.platform = part->platform,
                           .base = request->base_fd >= 0 ? &part->base : NULL,
                           .layers = part->layers,
                           .n_layers = part->files.n_layers,
                           .config = part->config,
                           .annotations = part->annotations};
    return 0;
}

static int make_parts(const ImageRequest *request, Parts *parts, Error *err)
{
    const Json *platforms = json_get(request->package, "platforms");
    size_t n = MAX(json_length(platforms), (size_t)1);

    parts->items = calloc(n, sizeof(*parts->items));
    parts->specs = calloc(n, sizeof(*parts->specs));
    if (!parts->items || !parts->specs) {
        return out_of_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        const char *text = json_as_string(json_at(platforms, i));
        Part *part = &parts->items[parts->count++];
        int r = make_part(request, i, text, part, &parts->specs[i], err);

        if (r < 0) {
            return text ? error_wrap(err, "for %s", text) : r;
        }
        if (parts->specs[i].n_layers == 0 && !parts->specs[i].base) {
            return error_set(err, -ENOENT, "nothing to package for %s: no file is for it", text);
        }
    }
    return 0;
}

/* ---- the image --------------------------------------------------------------------------------
 */

static int new_annotations(const ImageRequest *request, Json **ret)
{
    _cleanup_json_ Json *annotations = json_new_object();
    int r = annotations ? json_set_string(annotations, IMAGE_LABEL "ref.name", request->version)
                        : -ENOMEM;

    r = r == 0 ? json_set_string(annotations, IMAGE_LABEL "version", request->version) : r;
    r = r == 0 ? json_set_string(annotations, IMAGE_LABEL "source", request->repository) : r;
    if (r == 0) {
        *ret = TAKE_PTR(annotations);
    }
    return r;
}

int image_build(const ImageRequest *request, int parent_fd, const char *name, Image *ret,
                Error *err)
{
    _cleanup_(parts_done) Parts parts = {0};
    _cleanup_json_ Json *annotations = NULL;
    Image image = {0};
    int r = make_parts(request, &parts, err);

    if (r < 0) {
        return r;
    }
    if (new_annotations(request, &annotations) < 0) {
        return out_of_memory(err);
    }
    r = oci_layout_write(&(OciLayoutSpec){.images = parts.specs,
                                          .n_images = parts.count,
                                          .created = request->committed_at,
                                          .memory = request->memory,
                                          .annotations = annotations},
                         parent_fd, name, &image.layout, err);
    if (r < 0) {
        return r;
    }
    if (request->base_fd >= 0 && !request->is_whole) {
        image.base_name = request->base_name;
        (void)snprintf(image.base_digest, sizeof(image.base_digest), "%s",
                       request->base_digest ? request->base_digest
                                            : parts.items[0].base.manifest.digest);
    }
    *ret = image;
    return 0;
}
