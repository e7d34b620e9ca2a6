/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/manifest.h"

#include "agent/package/registry/reference.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DOCKER_TYPE_IMAGE "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_TYPE_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"

/* Without it a registry answers 404 to who asks for an OCI manifest. */
#define ACCEPT \
    "Accept: " OCI_TYPE_MANIFEST ", " OCI_TYPE_INDEX ", " DOCKER_TYPE_IMAGE ", " DOCKER_TYPE_INDEX

static const struct {
    const char *media_type;
    ManifestKind kind;
} kinds[] = {
    {OCI_TYPE_MANIFEST, MANIFEST_IMAGE},
    {OCI_TYPE_INDEX, MANIFEST_INDEX},
    {DOCKER_TYPE_IMAGE, MANIFEST_IMAGE},
    {DOCKER_TYPE_INDEX, MANIFEST_INDEX},
};

ManifestKind manifest_kind_of(const char *media_type)
{
    for (size_t i = 0; media_type && i < ARRAY_SIZE(kinds); i++) {
        if (strcmp(kinds[i].media_type, media_type) == 0) {
            return kinds[i].kind;
        }
    }
    return _MANIFEST_KIND_INVALID;
}

int descriptor_read(const Json *json, Descriptor *ret, Error *err)
{
    const char *digest = json_get_string(json, "digest");
    const char *media_type = json_get_string(json, "mediaType");
    Descriptor descriptor = {.size_bytes = json_get_int(json, "size", -1)};

    if (!reference_is_digest(digest)) {
        return error_set(err, -EBADMSG, "its digest is not sha256 and 64 hexadecimal digits");
    }
    if (!media_type || strlen(media_type) >= sizeof(descriptor.media_type)) {
        return error_set(err, -EBADMSG, "its mediaType is missing, or too long");
    }
    if (descriptor.size_bytes < 0) {
        return error_set(err, -EBADMSG, "its size is missing, or negative");
    }
    (void)snprintf(descriptor.digest, sizeof(descriptor.digest), "%s", digest);
    (void)snprintf(descriptor.media_type, sizeof(descriptor.media_type), "%s", media_type);
    descriptor.is_elsewhere = json_length(json_get(json, "urls")) > 0;
    *ret = descriptor;
    return 0;
}

void manifest_done(Manifest *manifest)
{
    buffer_done(&manifest->text);
    manifest->json = json_unref(manifest->json);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* "application/json; charset=utf-8" is "application/json". */
static bool is_type(const char *text, const char *media_type)
{
    size_t n = strlen(media_type);

    return strncmp(text, media_type, n) == 0 && (!text[n] || strchr("; \t", text[n]));
}

/* What it says of itself counts; where it says nothing, the one who named it; where that says
 * nothing either, its members. */
static int find_type(const Json *json, const char *told, const char **ret, Error *err)
{
    const char *said = json_get_string(json, "mediaType");
    bool is_other = false;

    for (size_t i = 0; i < ARRAY_SIZE(kinds) && !said && told; i++) {
        said = is_type(told, kinds[i].media_type) ? kinds[i].media_type : NULL;
    }
    if (!said) {
        said = json_has(json, "manifests") ? OCI_TYPE_INDEX : OCI_TYPE_MANIFEST;
    }
    if (manifest_kind_of(said) < 0) {
        return error_set(err, -EBADMSG,
                         "a manifest of type '%.100s' is not supported; those of OCI and of "
                         "docker's schema 2 are",
                         said);
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds) && told; i++) {
        is_other = is_other ||
                   (is_type(told, kinds[i].media_type) && strcmp(kinds[i].media_type, said) != 0);
    }
    if (is_other) {
        return error_set(err, -EBADMSG,
                         "a manifest is announced as '%.100s', but calls itself '%.100s'", told,
                         said);
    }
    *ret = said;
    return 0;
}

int manifest_parse_take(Buffer *text, const char *media_type, Manifest *ret, Error *err)
{
    _cleanup_manifest_ Manifest manifest = {.text = *text};
    _cleanup_error_ Error problem = {0};
    const char *said = NULL;
    int r;

    *text = BUFFER_INIT(text->limit);
    if (json_parse(buffer_text(&manifest.text), manifest.text.len, &manifest.json, &problem) < 0) {
        return error_set(err, -EBADMSG, "a manifest is not JSON: %s", error_text(&problem));
    }
    if (json_type_of(manifest.json) != JSON_OBJECT ||
        json_get_int(manifest.json, "schemaVersion", 0) != 2) {
        return error_set(err, -EBADMSG, "a manifest is not of schema version 2");
    }
    r = find_type(manifest.json, media_type, &said, err);
    if (r < 0) {
        return r;
    }
    manifest.kind = manifest_kind_of(said);
    (void)snprintf(manifest.self.media_type, sizeof(manifest.self.media_type), "%s", said);
    (void)strcpy(manifest.self.digest, OCI_DIGEST_PREFIX);
    manifest.self.size_bytes = (int64_t)manifest.text.len;
    r = digest_bytes(buffer_text(&manifest.text), manifest.text.len,
                     manifest.self.digest + strlen(OCI_DIGEST_PREFIX));
    if (r < 0) {
        return error_set_errno(err, r, "cannot digest a manifest");
    }
    *ret = manifest;
    manifest = (Manifest){0};
    return 0;
}

static int visit(const Json *json, const char *what, ManifestEach each, void *userdata, Error *err)
{
    Descriptor child;
    int r = descriptor_read(json, &child, err);

    return r < 0 ? error_wrap(err, "%s", what) : each(userdata, &child, err);
}

int manifest_for_each(const Manifest *manifest, ManifestEach each, void *userdata, Error *err)
{
    bool is_index = manifest->kind == MANIFEST_INDEX;
    const char *what = is_index ? "manifests" : "layers";
    const Json *children = json_get(manifest->json, what);
    int r = 0;

    if (json_length(children) > MANIFEST_CHILDREN_MAX) {
        return error_set(err, -EBADMSG, "%s has %zu %s; more than %d are refused",
                         manifest->self.digest, json_length(children), what, MANIFEST_CHILDREN_MAX);
    }
    if (!is_index) {
        r = visit(json_get(manifest->json, "config"), "config", each, userdata, err);
    }
    for (size_t i = 0; r == 0 && i < json_length(children); i++) {
        r = visit(json_at(children, i), what, each, userdata, err);
    }
    return r < 0 ? error_wrap(err, "%s", manifest->self.digest) : r;
}

/* ---- platforms --------------------------------------------------------------------------------
 */

/* "linux/arm64/v8" of a descriptor; NULL where it says none. */
static int platform_text(const Json *descriptor, Buffer *ret)
{
    const Json *platform = json_get(descriptor, "platform");
    const char *os = json_get_string(platform, "os");
    const char *architecture = json_get_string(platform, "architecture");
    const char *variant = json_get_string(platform, "variant");

    buffer_clear(ret);
    if (!os || !architecture) {
        return 0;
    }
    return buffer_append_format(ret, "%s/%s%s%s", os, architecture, variant ? "/" : "",
                                variant ? variant : "");
}

/* arm64 has but one variant in use, which some write and some do not. */
static bool is_platform(const char *offered, const char *wanted)
{
    size_t n = strlen(wanted);

    if (strcmp(offered, wanted) == 0) {
        return true;
    }
    if (strcmp(wanted, "linux/arm64") == 0 || strcmp(wanted, "linux/arm64/v8") == 0) {
        return strcmp(offered, "linux/arm64") == 0 || strcmp(offered, "linux/arm64/v8") == 0;
    }
    /* Whoever names no variant takes the first. */
    return strchr(wanted, '/') == strrchr(wanted, '/') && strncmp(offered, wanted, n) == 0 &&
           offered[n] == '/';
}

int manifest_find_platform(const Manifest *index, const char *platform, Descriptor *ret, Error *err)
{
    _cleanup_buffer_ Buffer offered = BUFFER_INIT(0), all = BUFFER_INIT((size_t)4 << 10);
    const Json *manifests = json_get(index->json, "manifests");

    for (size_t i = 0; i < json_length(manifests); i++) {
        if (platform_text(json_at(manifests, i), &offered) < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        if (is_platform(buffer_text(&offered), platform)) {
            int r = descriptor_read(json_at(manifests, i), ret, err);

            return r < 0 ? error_wrap(err, "%s", index->self.digest) : 0;
        }
        (void)!buffer_append_format(&all, "%s%s", all.len ? ", " : "", buffer_text(&offered));
    }
    return error_set(err, -ENOENT, "there is no image for platform '%s', only for: %s", platform,
                     all.len ? buffer_text(&all) : "none");
}

/* ---- registry ---------------------------------------------------------------------------------
 */

static int set_path(char **ret, const char *target)
{
    if (asprintf(ret, "manifests/%s", target) < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int no_such(const RegistryHost *host, const char *repository, const char *target, Error *err)
{
    return error_set(err, -ENOENT, "%s/%s%s%s: there is no such image", registry_host_name(host),
                     repository, strchr(target, ':') ? "@" : ":", target);
}

/* Both what the answer says it is, and what it was asked for, have to be true. */
static int check_digest(const HttpResponse *response, const char *target, const Manifest *manifest,
                        Error *err)
{
    const char *told = http_response_header(response, "Docker-Content-Digest", 0);

    if (reference_is_digest(target) && strcmp(target, manifest->self.digest) != 0) {
        return error_set(err, -EBADMSG, "asked for %s, the registry gave %s", target,
                         manifest->self.digest);
    }
    if (told && reference_is_digest(told) && strcmp(told, manifest->self.digest) != 0) {
        return error_set(err, -EBADMSG, "the registry calls it %s, but what it gave is %s", told,
                         manifest->self.digest);
    }
    return 0;
}

int manifest_get(RegistryHost *host, const char *repository, const char *target, Manifest *ret,
                 Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_manifest_ Manifest manifest = {0};
    _cleanup_free_ char *path = NULL;
    int r = set_path(&path, target);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = registry_host_call(
        host,
        &(RegistryCall){
            .repository = repository, .path = path, .header = ACCEPT, .max_bytes = MANIFEST_MAX},
        &response, err);
    if (r < 0) {
        return r;
    }
    if (response.status == 404) {
        return no_such(host, repository, target, err);
    }
    if (response.status != 200) {
        return registry_host_complain(host, &response, -EIO, path, err);
    }
    r = manifest_parse_take(&response.body, http_response_header(&response, "Content-Type", 0),
                            &manifest, err);
    r = r < 0 ? r : check_digest(&response, target, &manifest, err);
    if (r < 0) {
        return error_wrap(err, "%s/%s", registry_host_name(host), repository);
    }
    *ret = manifest;
    manifest = (Manifest){0};
    return 0;
}

int manifest_head(RegistryHost *host, const char *repository, const char *target,
                  char ret_digest[static OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_free_ char *path = NULL;
    const char *told;
    int r = set_path(&path, target);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = registry_host_call(
        host,
        &(RegistryCall){.method = "HEAD", .repository = repository, .path = path, .header = ACCEPT},
        &response, err);
    if (r < 0 || response.status == 404) {
        return r;
    }
    if (response.status != 200) {
        return registry_host_complain(host, &response, -EIO, path, err);
    }
    told = http_response_header(&response, "Docker-Content-Digest", 0);
    if (reference_is_digest(target) && told && strcmp(told, target) != 0) {
        return error_set(err, -EBADMSG, "%s/%s: asked for %s, the registry has %.100s",
                         registry_host_name(host), repository, target, told);
    }
    (void)snprintf(ret_digest, OCI_DIGEST_SIZE, "%s", reference_is_digest(told) ? told : "");
    return 1;
}

int manifest_put(RegistryHost *host, const char *repository, const char *target,
                 const Manifest *manifest, bool *ret_has_subject, Error *err)
{
    const HttpContent content = {.data = manifest->text.data,
                                 .size_bytes = (int64_t)manifest->text.len,
                                 .type = manifest->self.media_type};
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_free_ char *path = NULL;
    const char *told;
    int r = set_path(&path, target);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = registry_host_call(host,
                           &(RegistryCall){.method = "PUT",
                                           .repository = repository,
                                           .path = path,
                                           .content = &content,
                                           .may_write = true},
                           &response, err);
    if (r < 0) {
        return r;
    }
    if (response.status != 201 && response.status != 200) {
        return registry_host_complain(host, &response, -EIO, path, err);
    }
    told = http_response_header(&response, "Docker-Content-Digest", 0);
    if (told && strcmp(told, manifest->self.digest) != 0) {
        return error_set(err, -EBADMSG, "%s/%s: sent %s, the registry understood %.100s",
                         registry_host_name(host), repository, manifest->self.digest, told);
    }
    if (ret_has_subject) {
        *ret_has_subject = http_response_header(&response, "OCI-Subject", 0) != NULL;
    }
    registry_host_tell(host, REGISTRY_PUBLISHED, manifest->self.digest, 1, 1);
    return 0;
}
