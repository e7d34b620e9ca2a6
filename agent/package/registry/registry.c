/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/registry.h"

#include "agent/package/registry/blob-pull.h"
#include "agent/package/registry/blob-push.h"
#include "agent/package/registry/host.h"
#include "agent/package/registry/layout.h"
#include "agent/package/registry/manifest.h"
#include "agent/package/registry/reference.h"
#include "agent/package/registry/referrers.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Registries of one client. */
#define HOSTS_MAX 16

/* What an image was made from. */
#define BASE_NAME "org.opencontainers.image.base.name"

struct RegistryClient {
    RegistryOptions options;
    RegistryHost *hosts[HOSTS_MAX];
    size_t n_hosts;
};

int registry_open(const RegistryOptions *options, RegistryClient **ret, Error *err)
{
    RegistryClient *client = calloc(1, sizeof(*client));

    if (!client) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    client->options = *options;
    *ret = client;
    return 0;
}

RegistryClient *registry_close(RegistryClient *client)
{
    if (client) {
        for (size_t i = 0; i < client->n_hosts; i++) {
            (void)registry_host_free(client->hosts[i]);
        }
        free(client);
    }
    return NULL;
}

static int find_host(RegistryClient *client, const char *name, RegistryHost **ret, Error *err)
{
    int r;

    for (size_t i = 0; i < client->n_hosts; i++) {
        if (strcmp(registry_host_name(client->hosts[i]), name) == 0) {
            *ret = client->hosts[i];
            return 0;
        }
    }
    if (client->n_hosts == HOSTS_MAX) {
        return error_set(err, -ENOSPC, "more than %d registries at once", HOSTS_MAX);
    }
    r = registry_host_new(&client->options, name, &client->hosts[client->n_hosts], err);
    if (r == 0) {
        *ret = client->hosts[client->n_hosts++];
    }
    return r;
}

/* The reference and the registry that it is of. */
static int open_reference(RegistryClient *client, const char *text, Reference *reference,
                          RegistryHost **ret, Error *err)
{
    int r = reference_parse(text, reference, err);

    return r < 0 ? r : find_host(client, reference->host, ret, err);
}

/* ---- push -------------------------------------------------------------------------------------
 */

typedef struct Pushing {
    RegistryHost *host;
    const RegistryPush *push;
    const char *repository;
    const char *const *mount_from;
} Pushing;

static int push_blob(void *userdata, const Descriptor *blob, Error *err)
{
    const Pushing *pushing = userdata;
    _cleanup_fd_ int fd = -1;
    int r = layout_open_blob(pushing->push->layout_fd, blob, &fd, err);
    const HttpContent content = {.fd = fd, .size_bytes = blob->size_bytes};

    if (r < 0 || (r == 0 && blob->is_elsewhere)) {
        return r;
    }
    return blob_push(pushing->host,
                     &(BlobPush){.repository = pushing->repository,
                                 .blob = *blob,
                                 .content = r > 0 ? &content : NULL,
                                 .mount_from = pushing->mount_from},
                     err);
}

/* The repository of the image's base, if that is in the same registry. */
static int find_base(const Pushing *pushing, const Manifest *manifest, Reference *ret)
{
    const char *name = json_get_string(json_get(manifest->json, "annotations"), BASE_NAME);
    int r;

    if (!name) {
        return 0;
    }
    r = reference_parse(name, ret, NULL);
    if (r == -ENOMEM) {
        return r;
    }
    return r == 0 && strcmp(ret->host, registry_host_name(pushing->host)) == 0;
}

static int push_blobs(const Pushing *pushing, const Manifest *manifest, Error *err)
{
    const char *const *given = pushing->push->mount_from;
    _cleanup_reference_ Reference base = {0};
    _cleanup_free_ const char **from = NULL;
    Pushing here = *pushing;
    size_t n = 0;
    int r;

    while (given && given[n]) {
        n++;
    }
    from = calloc(n + 2, sizeof(*from));
    r = from ? find_base(pushing, manifest, &base) : -ENOMEM;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        from[i] = given[i];
    }
    from[n] = r > 0 ? base.repository : NULL;
    here.mount_from = from;
    return manifest_for_each(manifest, push_blob, &here, err);
}

/* A manifest that the registry has already has all that it is made of there. */
static int is_published(const Pushing *pushing, const Manifest *manifest, Error *err)
{
    char told[OCI_DIGEST_SIZE];
    int r = manifest_head(pushing->host, pushing->repository, manifest->self.digest, told, err);

    if (r > 0) {
        registry_host_tell(pushing->host, REGISTRY_KNOWN, manifest->self.digest,
                           manifest->self.size_bytes, manifest->self.size_bytes);
    }
    return r;
}

/* One image of an index: its blobs, then its manifest by digest. */
static int push_image(void *userdata, const Descriptor *descriptor, Error *err)
{
    const Pushing *pushing = userdata;
    _cleanup_manifest_ Manifest manifest = {0};
    int r = layout_read_manifest(pushing->push->layout_fd, descriptor, &manifest, err);

    if (r < 0) {
        return r;
    }
    if (manifest.kind != MANIFEST_IMAGE) {
        return error_set(err, -EBADMSG, "an index in an index, %s, is not supported",
                         descriptor->digest);
    }
    r = is_published(pushing, &manifest, err);
    if (r != 0) {
        return MIN(r, 0);
    }
    r = push_blobs(pushing, &manifest, err);
    return r < 0 ? r
                 : manifest_put(pushing->host, pushing->repository, manifest.self.digest, &manifest,
                                NULL, err);
}

/* The tag last, and not at all where it is right. */
static int publish(const Pushing *pushing, const Manifest *manifest, const Reference *reference,
                   bool is_there, Error *err)
{
    const char *target = reference->tag ? reference->tag : manifest->self.digest;
    char told[OCI_DIGEST_SIZE] = "";
    int r;

    if (is_there && !reference->tag) {
        return 0;
    }
    if (is_there) {
        r = manifest_head(pushing->host, pushing->repository, target, told, err);
        if (r < 0 || (r > 0 && strcmp(told, manifest->self.digest) == 0)) {
            return r;
        }
    }
    return manifest_put(pushing->host, pushing->repository, target, manifest, NULL, err);
}

static int push_top(const Pushing *pushing, const Descriptor *top, const Reference *reference,
                    Error *err)
{
    _cleanup_manifest_ Manifest manifest = {0};
    int r = layout_read_manifest(pushing->push->layout_fd, top, &manifest, err), is_there;

    if (r < 0) {
        return r;
    }
    is_there = is_published(pushing, &manifest, err);
    if (is_there == 0) {
        r = manifest.kind == MANIFEST_INDEX
                ? manifest_for_each(&manifest, push_image, (void *)pushing, err)
                : push_blobs(pushing, &manifest, err);
    }
    r = MIN(r, is_there);
    return r < 0 ? r : publish(pushing, &manifest, reference, is_there > 0, err);
}

int registry_push_layout(RegistryClient *client, const RegistryPush *push,
                         char ret_digest[OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_reference_ Reference reference = {0};
    Pushing pushing = {.push = push};
    Descriptor top;
    int r = open_reference(client, push->reference, &reference, &pushing.host, err);

    r = r < 0 ? r : layout_find(push->layout_fd, push->digest, &top, err);
    if (r < 0) {
        return r;
    }
    if (reference.digest && strcmp(reference.digest, top.digest) != 0) {
        return error_set(err, -EINVAL, "'%s' is to be pushed, but the image is %s", push->reference,
                         top.digest);
    }
    pushing.repository = reference.repository;
    r = push_top(&pushing, &top, &reference, err);
    if (r < 0) {
        return error_wrap(err, "cannot push '%s'", push->reference);
    }
    if (ret_digest) {
        (void)memcpy(ret_digest, top.digest, OCI_DIGEST_SIZE);
    }
    return 0;
}

/* ---- pull -------------------------------------------------------------------------------------
 */

typedef struct Pulling {
    RegistryHost *host;
    const char *repository;
    int layout_fd;
} Pulling;

static int pull_blob(void *userdata, const Descriptor *blob, Error *err)
{
    const Pulling *pulling = userdata;

    return blob_pull(pulling->host, pulling->repository, blob, pulling->layout_fd, err);
}

/* Its blobs, then itself. */
static int pull_image(const Pulling *pulling, const Manifest *manifest, Error *err)
{
    int r = manifest_for_each(manifest, pull_blob, (void *)pulling, err);

    return r < 0 ? r : layout_write_manifest(pulling->layout_fd, manifest, err);
}

static int get_child(const Pulling *pulling, const Descriptor *descriptor, Manifest *ret,
                     Error *err)
{
    int r = manifest_get(pulling->host, pulling->repository, descriptor->digest, ret, err);

    if (r == 0 && ret->kind != MANIFEST_IMAGE) {
        return error_set(err, -EBADMSG, "an index in an index, %s, is not supported",
                         descriptor->digest);
    }
    return r;
}

static int pull_child(void *userdata, const Descriptor *descriptor, Error *err)
{
    _cleanup_manifest_ Manifest manifest = {0};
    int r = get_child(userdata, descriptor, &manifest, err);

    return r < 0 ? r : pull_image(userdata, &manifest, err);
}

/* The index whole, or the image of it that is wanted, which takes its place in *top. */
static int pull_top(const Pulling *pulling, Manifest *top, const char *platform, Error *err)
{
    Manifest image = {0};
    Descriptor descriptor;
    int r;

    if (top->kind == MANIFEST_IMAGE) {
        return pull_image(pulling, top, err);
    }
    if (!platform) {
        r = manifest_for_each(top, pull_child, (void *)pulling, err);
        return r < 0 ? r : layout_write_manifest(pulling->layout_fd, top, err);
    }
    r = manifest_find_platform(top, platform, &descriptor, err);
    r = r < 0 ? r : get_child(pulling, &descriptor, &image, err);
    if (r < 0) {
        manifest_done(&image);
        return r;
    }
    manifest_done(top);
    *top = image;
    return pull_image(pulling, top, err);
}

int registry_pull_layout(RegistryClient *client, const char *text, const char *platform,
                         int layout_fd, char ret_digest[static OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_reference_ Reference reference = {0};
    _cleanup_manifest_ Manifest top = {0};
    Pulling pulling = {.layout_fd = layout_fd};
    int r = open_reference(client, text, &reference, &pulling.host, err);

    if (r < 0) {
        return r;
    }
    pulling.repository = reference.repository;
    r = layout_init(layout_fd, err);
    r = r < 0 ? r
              : manifest_get(pulling.host, reference.repository, reference_target(&reference), &top,
                             err);
    r = r < 0 ? r : pull_top(&pulling, &top, platform, err);
    r = r < 0 ? r : layout_name(layout_fd, &top, reference.tag, err);
    if (r < 0) {
        return error_wrap(err, "cannot pull '%s'", text);
    }
    (void)memcpy(ret_digest, top.self.digest, OCI_DIGEST_SIZE);
    return 0;
}

/* ---- names ------------------------------------------------------------------------------------
 */

/* 1: *ret_digest is what the registry says; where it only says that there is something, that is
 * fetched. */
static int resolve(RegistryHost *host, const Reference *reference, const char *text,
                   char ret_digest[static OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_manifest_ Manifest manifest = {0};
    const char *target = reference_target(reference);
    int r = manifest_head(host, reference->repository, target, ret_digest, err);

    if (r == 0) {
        return error_set(err, -ENOENT, "there is no image '%s'", text);
    }
    if (r > 0 && !*ret_digest) {
        r = manifest_get(host, reference->repository, target, &manifest, err);
        (void)memcpy(ret_digest, r < 0 ? "" : manifest.self.digest, r < 0 ? 1 : OCI_DIGEST_SIZE);
    }
    return r < 0 ? error_wrap(err, "'%s'", text) : 0;
}

int registry_resolve(RegistryClient *client, const char *text,
                     char ret_digest[static OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_reference_ Reference reference = {0};
    RegistryHost *host;
    int r = open_reference(client, text, &reference, &host, err);

    return r < 0 ? r : resolve(host, &reference, text, ret_digest, err);
}

int registry_tag(RegistryClient *client, const char *text, const char *tag, Error *err)
{
    _cleanup_reference_ Reference reference = {0};
    _cleanup_manifest_ Manifest manifest = {0};
    RegistryHost *host;
    int r;

    if (!reference_is_tag(tag)) {
        return error_set(err, -EINVAL, "'%s' is no tag: 1 to %d of A-Z a-z 0-9 _ . - are", tag,
                         REFERENCE_TAG_MAX);
    }
    r = open_reference(client, text, &reference, &host, err);
    r = r < 0 ? r
              : manifest_get(host, reference.repository, reference_target(&reference), &manifest,
                             err);
    r = r < 0 ? r : manifest_put(host, reference.repository, tag, &manifest, NULL, err);
    return r < 0 ? error_wrap(err, "cannot tag '%s' as '%s'", text, tag) : 0;
}

/* ---- artifacts --------------------------------------------------------------------------------
 */

static int push_bytes(RegistryHost *host, const char *repository, const Descriptor *blob,
                      const void *data, Error *err)
{
    const HttpContent content = {.data = data, .size_bytes = blob->size_bytes};

    return blob_push(
        host, &(BlobPush){.repository = repository, .blob = *blob, .content = &content}, err);
}

static int describe_data(const RegistryArtifact *artifact, Descriptor *ret, Error *err)
{
    const char *type = artifact->media_type ? artifact->media_type : artifact->artifact_type;
    char hex[DIGEST_HEX_SIZE];
    int r = digest_bytes(artifact->data, artifact->size_bytes, hex);

    *ret = (Descriptor){.size_bytes = (int64_t)artifact->size_bytes};
    if (r < 0) {
        return error_set_errno(err, r, "cannot digest an artifact");
    }
    if (artifact->size_bytes == 0 || artifact->size_bytes > REGISTRY_ARTIFACT_MAX ||
        strlen(type) >= sizeof(ret->media_type)) {
        return error_set(err, -EINVAL, "an artifact of %zu bytes: 1 to %zu can be attached",
                         artifact->size_bytes, REGISTRY_ARTIFACT_MAX);
    }
    (void)snprintf(ret->media_type, sizeof(ret->media_type), "%s", type);
    (void)snprintf(ret->digest, sizeof(ret->digest), OCI_DIGEST_PREFIX "%s", hex);
    return 0;
}

static int attach(RegistryHost *host, const Reference *reference, const RegistryArtifact *artifact,
                  char ret_digest[OCI_DIGEST_SIZE], Error *err)
{
    const char *repository = reference->repository;
    _cleanup_manifest_ Manifest subject = {0}, manifest = {0};
    Descriptor data, empty;
    bool has_subject = false;
    int r = describe_data(artifact, &data, err);

    referrers_empty_blob(&empty);
    r = r < 0 ? r : manifest_get(host, repository, reference_target(reference), &subject, err);
    r = r < 0 ? r : referrers_make_manifest(artifact, &subject.self, &data, &manifest, err);
    r = r < 0 ? r : push_bytes(host, repository, &empty, REFERRERS_EMPTY_JSON, err);
    r = r < 0 ? r : push_bytes(host, repository, &data, artifact->data, err);
    r = r < 0 ? r
              : manifest_put(host, repository, manifest.self.digest, &manifest, &has_subject, err);
    r = r < 0 || has_subject ? r : referrers_add(host, repository, &subject.self, &manifest, err);
    if (r == 0 && ret_digest) {
        (void)memcpy(ret_digest, manifest.self.digest, OCI_DIGEST_SIZE);
    }
    return r;
}

int registry_attach(RegistryClient *client, const char *text, const RegistryArtifact *artifact,
                    char ret_digest[OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_reference_ Reference reference = {0};
    RegistryHost *host;
    int r = open_reference(client, text, &reference, &host, err);

    r = r < 0 ? r : attach(host, &reference, artifact, ret_digest, err);
    return r < 0 ? error_wrap(err, "cannot attach to '%s'", text) : 0;
}

int registry_referrers(RegistryClient *client, const char *text, const char *artifact_type,
                       RegistryReferrers *ret, Error *err)
{
    _cleanup_reference_ Reference reference = {0};
    char digest[OCI_DIGEST_SIZE];
    RegistryHost *host;
    int r = open_reference(client, text, &reference, &host, err);

    r = r < 0 ? r : resolve(host, &reference, text, digest, err);
    return r < 0 ? r : referrers_list(host, reference.repository, digest, artifact_type, ret, err);
}

/* The layer of an artifact, of which there is one. */
typedef struct Data {
    Descriptor layer;
    size_t seen;
} Data;

static int take_layer(void *userdata, const Descriptor *child, Error *err)
{
    Data *data = userdata;

    data->seen++; /* the first is the configuration */
    data->layer = *child;
    return 0;
}

int registry_fetch_artifact(RegistryClient *client, const char *text, const char *digest,
                            Buffer *ret, Error *err)
{
    _cleanup_reference_ Reference reference = {0};
    _cleanup_manifest_ Manifest manifest = {0};
    RegistryHost *host;
    Data data = {0};
    int r;

    if (!reference_is_digest(digest)) {
        return error_set(err, -EINVAL, "'%.100s' is no digest of an artifact", digest);
    }
    r = open_reference(client, text, &reference, &host, err);
    r = r < 0 ? r : manifest_get(host, reference.repository, digest, &manifest, err);
    r = r < 0 ? r : manifest_for_each(&manifest, take_layer, &data, err);
    if (r == 0 && (manifest.kind != MANIFEST_IMAGE || data.seen != 2)) {
        r = error_set(err, -EBADMSG, "artifact %s is not of one file", digest);
    }
    if (r == 0 && data.layer.size_bytes > (int64_t)REGISTRY_ARTIFACT_MAX) {
        r = error_set(err, -EFBIG, "artifact %s has %lld bytes, more than %zu", digest,
                      (long long)data.layer.size_bytes, REGISTRY_ARTIFACT_MAX);
    }
    r = r < 0 ? r : blob_pull_text(host, reference.repository, &data.layer, ret, err);
    return r < 0 ? error_wrap(err, "'%s'", text) : 0;
}
