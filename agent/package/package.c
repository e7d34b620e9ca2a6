/* SPDX-License-Identifier: MIT */
#include "agent/package/package.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONVENTION_TEMPLATE "deploy/service.json"

#define TEMPLATE_BYTES_MAX ((size_t)1 << 20)

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- the image --------------------------------------------------------------------------------
 */

/* What was made before, where this host keeps it. Without it everything is made again, which is
 * slower, and no reason to fail. */
typedef struct Memory {
    BlobCache cache;
    FileDigests *digests;
    LayerMemory memory;
} Memory;

static void memory_done(Memory *memory)
{
    memory->digests = file_digests_free(memory->digests);
    blob_cache_done(&memory->cache);
}

/* NULL where there is none. */
static const LayerMemory *memory_open(const PackageRequest *request, Memory *memory)
{
    _cleanup_error_ Error problem = {0};
    int r;

    if (!request->cache_directory || request->digests_fd < 0) {
        return NULL;
    }
    r = blob_cache_open(request->cache_directory, &memory->cache, &problem);
    r = r == 0 ? file_digests_open(request->digests_fd, PACKAGE_DIGESTS_FILE, &memory->digests,
                                   &problem)
               : r;
    if (r < 0) {
        log_warning("%s: going on without the cache", error_text(&problem));
        return NULL;
    }
    memory->memory = (LayerMemory){.cache = &memory->cache, .digests = memory->digests};
    return &memory->memory;
}

static void memory_save(const Memory *memory, bool is_grown)
{
    _cleanup_error_ Error problem = {0};
    int r = file_digests_save(memory->digests, &problem);

    if (r == 0 && is_grown) {
        r = blob_cache_clean(&memory->cache, clock_wall_us(), BLOB_CACHE_BYTES_MAX, &problem);
    }
    if (r < 0) {
        log_warning("%s, going on", error_text(&problem));
    }
}

/* Where the base's layout is: "scratch" is none, "./PATH" is in the workspace. */
static int find_base(const PackageRequest *request, ImageRequest *image, Error *err)
{
    const char *base = json_as_string(json_pointer(request->recipe, "/package/base"));

    if (request->base) {
        image->base_fd = request->base->fd;
        image->base_layouts = (const char *const *)request->base->layouts;
        image->base_name = request->base->name;
        image->base_digest = request->base->digest;
        image->is_whole = request->base->is_whole;
        return 0;
    }
    if (!base || strcmp(base, "scratch") == 0) {
        return 0;
    }
    if (!text_has_prefix(base, "./")) {
        return error_set(err, -EINVAL, "/package/base: nobody has brought '%s'", base);
    }
    image->base_fd = request->workspace_fd;
    image->base_layout = base;
    image->base_name = base;
    return 0;
}

static int write_image(const PackageRequest *request, int package_fd, Image *ret, Error *err)
{
    _cleanup_(memory_done) Memory memory = {.cache = BLOB_CACHE_INIT};
    ImageRequest image = {.workspace_fd = request->workspace_fd,
                          .package = json_get(request->recipe, "package"),
                          .name = request->name,
                          .version = request->version,
                          .commit = request->commit,
                          .repository = request->repository,
                          .committed_at = request->committed_at,
                          .base_fd = -1};
    int r = find_base(request, &image, err);

    if (r < 0) {
        return r;
    }
    image.memory = memory_open(request, &memory);
    r = image_build(&image, package_fd, RELEASE_IMAGE, ret, err);
    if (r == 0 && image.memory) {
        memory_save(&memory, ret->layout.n_known_layers < ret->layout.n_layers);
    }
    return r;
}

/* ---- without an image ------------------------------------------------------------------------
 */

bool package_has_image(int workspace_fd, const Json *recipe)
{
    static const char *const conventions[] = {IMAGE_CONVENTION_FROM, IMAGE_CONVENTION_DOCKERFILE};
    const Json *package = json_get(recipe, "package");
    size_t n_others = (size_t)json_has(package, "deb") + (size_t)json_has(package, "rpm");

    if (n_others == 0 || json_member_count(package) > n_others) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(conventions); i++) {
        if (file_exists(workspace_fd, conventions[i])) {
            return true;
        }
    }
    return false;
}

/* As names of their own: they lie in the call's artifacts, too. */
static int add_files(const PackageRequest *request, int package_fd, Error *err)
{
    _cleanup_fd_ int fd = -1;

    if (mkdirat(package_fd, RELEASE_PACKAGES, 0755) < 0) {
        return error_set_errno(err, -errno, "cannot make '" RELEASE_PACKAGES "'");
    }
    fd = openat(package_fd, RELEASE_PACKAGES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < request->n_files; i++) {
        const char *name = request->files[i].name;

        if (fd < 0 || linkat(request->files_fd, name, fd, name, 0) < 0) {
            return error_set_errno(err, -errno, "cannot put '%s' into the package", name);
        }
    }
    return 0;
}

/* ---- template ---------------------------------------------------------------------------------
 */

static bool is_taken(const char *template)
{
    return strcmp(template, RELEASE_FILE) == 0 || strcmp(template, RELEASE_IMAGE) == 0 ||
           text_has_prefix(template, RELEASE_IMAGE "/") ||
           strcmp(template, RELEASE_PACKAGES) == 0 ||
           text_has_prefix(template, RELEASE_PACKAGES "/");
}

static int make_parents(int dir_fd, const char *path, Error *err)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        _cleanup_free_ char *parent = strndup(path, (size_t)(slash - path));

        if (!parent) {
            return out_of_memory(err);
        }
        if (mkdirat(dir_fd, parent, 0755) < 0 && errno != EEXIST) {
            return error_set_errno(err, -errno, "cannot make '%s'", parent);
        }
    }
    return 0;
}

/* Copied as it is, once it was seen to be JSON: better now than at the deployment. */
static int copy_template(const PackageRequest *request, const char *template, int package_fd,
                         Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(TEMPLATE_BYTES_MAX);
    _cleanup_json_ Json *value = NULL;
    int r = file_read(request->workspace_fd, template, &text, err);

    r = r == 0 ? json_parse(buffer_text(&text), text.len, &value, err) : r;
    if (r < 0) {
        return error_wrap(err, "deploy template '%s'", template);
    }
    r = make_parents(package_fd, template, err);
    return r == 0 ? file_replace(package_fd, template, text.data, text.len, 0644, err) : r;
}

/* *ret stays NULL where the repository has none. */
static int add_template(const PackageRequest *request, int package_fd, char **ret, Error *err)
{
    const char *template = json_as_string(json_pointer(request->recipe, "/deploy/template"));
    int r;

    if (!template && file_exists(request->workspace_fd, CONVENTION_TEMPLATE)) {
        template = CONVENTION_TEMPLATE;
    }
    if (!template) {
        return 0;
    }
    while (text_has_prefix(template, "./")) {
        template += 2;
    }
    if (is_taken(template)) {
        return error_set(err, -EINVAL,
                         "the deploy template cannot be called '%s': the package has one already",
                         template);
    }
    r = copy_template(request, template, package_fd, err);
    if (r < 0) {
        return r;
    }
    *ret = strdup(template);
    return *ret ? 0 : out_of_memory(err);
}

/* ---- the package ------------------------------------------------------------------------------
 */

static int copy_text(char **ret, const char *text)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? -ENOMEM : 0;
}

static int describe(const PackageRequest *request, const char *digest, Release *release, Error *err)
{
    int r = copy_text(&release->name, request->name);

    r = r == 0 ? copy_text(&release->version, request->version) : r;
    r = r == 0 ? copy_text(&release->digest, digest) : r;
    r = r == 0 ? copy_text(&release->commit, request->commit) : r;
    r = r == 0 ? copy_text(&release->repository, request->repository) : r;
    r = r == 0 ? copy_text(&release->ref, request->ref) : r;
    r = r == 0 ? copy_text(&release->subject, request->subject) : r;
    release->committed_at = request->committed_at;
    return r < 0 ? out_of_memory(err) : 0;
}

/* Known before it is pushed, so that the package says where its image will be. */
static int set_reference(const PackageRequest *request, Package *package, Error *err)
{
    Release *release = &package->release;
    size_t n = request->registry ? strlen(request->registry) : 0;

    if (n == 0 || !package->has_image) {
        return 0;
    }
    while (n > 0 && request->registry[n - 1] == '/') {
        n--;
    }
    if (asprintf(&release->reference, "%.*s/%s@%s", (int)n, request->registry, release->name,
                 release->digest) < 0) {
        release->reference = NULL;
        return out_of_memory(err);
    }
    return 0;
}

void package_done(Package *package)
{
    release_done(&package->release);
    image_done(&package->image);
}

/* *ret is what the release is, by its digest: the caller's. */
static int add_content(const PackageRequest *request, int package_fd, Package *package, char **ret,
                       Error *err)
{
    int r;

    package->has_image = package_has_image(request->workspace_fd, request->recipe);
    if (package->has_image) {
        r = write_image(request, package_fd, &package->image, err);
        *ret = r == 0 ? strdup(package->image.layout.digest) : NULL;
        return r < 0 ? r : *ret ? 0 : out_of_memory(err);
    }
    if (request->n_files == 0) {
        return error_set(err, -EINVAL, "there is nothing to package: no image, and no file");
    }
    r = add_files(request, package_fd, err);
    if (r < 0) {
        return r;
    }
    if (asprintf(ret, OCI_DIGEST_PREFIX "%s", request->files[0].sha256) < 0 ||
        asprintf(&package->release.package, RELEASE_PACKAGES "/%s", request->files[0].name) < 0) {
        return out_of_memory(err);
    }
    return 0;
}

int package_build(const PackageRequest *request, int package_fd, Package *ret, Error *err)
{
    _cleanup_package_ Package package = {0};
    _cleanup_free_ char *digest = NULL;
    int r = add_content(request, package_fd, &package, &digest, err);

    r = r == 0 ? describe(request, digest, &package.release, err) : r;
    r = r == 0 ? set_reference(request, &package, err) : r;
    r = r == 0 ? add_template(request, package_fd, &package.release.template, err) : r;
    r = r == 0 ? release_write(package_fd, &package.release, err) : r;
    if (r < 0) {
        return r;
    }
    *ret = package;
    package = (Package){0};
    return 0;
}
