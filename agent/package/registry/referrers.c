/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/referrers.h"

#include "agent/http/http-url.h"
#include "agent/package/registry/reference.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TYPE_EMPTY "application/vnd.oci.empty.v1+json"
#define TITLE "org.opencontainers.image.title"

void registry_referrers_done(RegistryReferrers *referrers)
{
    for (size_t i = 0; i < referrers->count; i++) {
        free(referrers->items[i].artifact_type);
        free(referrers->items[i].title);
    }
    free(referrers->items);
    *referrers = (RegistryReferrers){0};
}

/* ---- the artifact's manifest ------------------------------------------------------------------
 */

void referrers_empty_blob(Descriptor *ret)
{
    char hex[DIGEST_HEX_SIZE] = "";

    *ret = (Descriptor){.media_type = TYPE_EMPTY, .size_bytes = strlen(REFERRERS_EMPTY_JSON)};
    (void)!digest_bytes(REFERRERS_EMPTY_JSON, strlen(REFERRERS_EMPTY_JSON), hex);
    (void)snprintf(ret->digest, sizeof(ret->digest), OCI_DIGEST_PREFIX "%s", hex);
}

static Json *descriptor_json(const Descriptor *descriptor)
{
    Json *json = json_new_object();

    if (!json || json_set_string(json, "mediaType", descriptor->media_type) < 0 ||
        json_set_string(json, "digest", descriptor->digest) < 0 ||
        json_set_int(json, "size", descriptor->size_bytes) < 0) {
        return json_unref(json);
    }
    return json;
}

static int set_new(Json *object, const char *name, Json *value)
{
    return value ? json_set_take(object, name, value) : -ENOMEM;
}

static int set_title(Json *object, const char *title)
{
    Json *annotations;
    int r;

    if (!title) {
        return 0;
    }
    annotations = json_new_object();
    r = annotations ? json_set_string(annotations, TITLE, title) : -ENOMEM;
    if (r < 0) {
        (void)json_unref(annotations);
        return r;
    }
    return json_set_take(object, "annotations", annotations);
}

static int set_layers(Json *manifest, const Descriptor *data, const char *title)
{
    Json *layers = json_new_array(), *layer = descriptor_json(data);
    int r = layers && layer ? set_title(layer, title) : -ENOMEM;

    if (r < 0) {
        (void)json_unref(layer);
        (void)json_unref(layers);
        return r;
    }
    r = json_append_take(layers, layer);
    if (r < 0) {
        (void)json_unref(layers);
        return r;
    }
    return json_set_take(manifest, "layers", layers);
}

int referrers_make_manifest(const RegistryArtifact *artifact, const Descriptor *subject,
                            const Descriptor *data, Manifest *ret, Error *err)
{
    _cleanup_json_ Json *manifest = json_new_object();
    _cleanup_buffer_ Buffer text = BUFFER_INIT(MANIFEST_MAX);
    Descriptor empty;
    int r = manifest ? json_set_int(manifest, "schemaVersion", 2) : -ENOMEM;

    referrers_empty_blob(&empty);
    r = r < 0 ? r : json_set_string(manifest, "mediaType", OCI_TYPE_MANIFEST);
    r = r < 0 ? r : json_set_string(manifest, "artifactType", artifact->artifact_type);
    r = r < 0 ? r : set_new(manifest, "config", descriptor_json(&empty));
    r = r < 0 ? r : set_layers(manifest, data, artifact->title);
    r = r < 0 ? r : set_new(manifest, "subject", descriptor_json(subject));
    r = r < 0 ? r : set_title(manifest, artifact->title);
    r = r < 0 ? r : json_format(manifest, &text);
    if (r < 0) {
        return error_set_errno(err, r, "cannot write the manifest of an artifact");
    }
    return manifest_parse_take(&text, OCI_TYPE_MANIFEST, ret, err);
}

/* ---- the index that clients keep --------------------------------------------------------------
 */

static void fallback_tag(char tag[static OCI_DIGEST_SIZE], const char *digest)
{
    (void)snprintf(tag, OCI_DIGEST_SIZE, "%s", digest);
    tag[strlen(OCI_DIGEST_PREFIX) - 1] = '-';
}

static bool has_digest(const Json *manifests, const char *digest)
{
    for (size_t i = 0; i < json_length(manifests); i++) {
        const char *other = json_get_string(json_at(manifests, i), "digest");

        if (other && strcmp(other, digest) == 0) {
            return true;
        }
    }
    return false;
}

/* 1: there is one, 0: none. */
static int get_index(RegistryHost *host, const char *repository, const char *digest, Manifest *ret,
                     Error *err)
{
    _cleanup_error_ Error problem = {0};
    char tag[OCI_DIGEST_SIZE];
    int r;

    fallback_tag(tag, digest);
    r = manifest_get(host, repository, tag, ret, &problem);
    if (r == -ENOENT) {
        return 0;
    }
    if (r < 0) {
        return error_set(err, r, "%s", error_text(&problem));
    }
    if (ret->kind != MANIFEST_INDEX) {
        manifest_done(ret);
        return error_set(err, -EBADMSG, "tag '%s', under which referrers are kept, is no index",
                         tag);
    }
    return 1;
}

static int append_artifact(Json *manifests, const Manifest *artifact)
{
    Json *entry = descriptor_json(&artifact->self);
    int r = entry ? 0 : -ENOMEM;

    r = r < 0 ? r
              : json_set_string(entry, "artifactType",
                                json_get_string(artifact->json, "artifactType"));
    r = r < 0 ? r
              : set_title(entry, json_get_string(json_get(artifact->json, "annotations"), TITLE));
    if (r < 0) {
        (void)json_unref(entry);
        return r;
    }
    return json_append_take(manifests, entry);
}

/* `old` (or nothing) and the artifact. */
static int make_index(const Manifest *old, const Manifest *artifact, Manifest *ret, Error *err)
{
    _cleanup_json_ Json *index = NULL;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(MANIFEST_MAX);
    Json *manifests;
    int r = 0;

    if (old) {
        r = json_copy(old->json, &index);
    } else {
        index = json_new_object();
        r = index ? json_set_int(index, "schemaVersion", 2) : -ENOMEM;
        r = r < 0 ? r : json_set_string(index, "mediaType", OCI_TYPE_INDEX);
    }
    if (r == 0 && json_type_of(json_get(index, "manifests")) != JSON_ARRAY) {
        r = set_new(index, "manifests", json_new_array());
    }
    manifests = r == 0 ? json_get(index, "manifests") : NULL;
    r = r < 0 ? r : append_artifact(manifests, artifact);
    r = r < 0 ? r : json_format(index, &text);
    if (r < 0) {
        return error_set_errno(err, r, "cannot write the index of referrers");
    }
    return manifest_parse_take(&text, OCI_TYPE_INDEX, ret, err);
}

int referrers_add(RegistryHost *host, const char *repository, const Descriptor *subject,
                  const Manifest *artifact, Error *err)
{
    char tag[OCI_DIGEST_SIZE];

    fallback_tag(tag, subject->digest);
    for (unsigned attempt = 1;; attempt++) {
        _cleanup_manifest_ Manifest old = {0}, new = {0};
        int r = get_index(host, repository, subject->digest, &old, err);

        if (r < 0) {
            return r;
        }
        if (r > 0 && has_digest(json_get(old.json, "manifests"), artifact->self.digest)) {
            return 0;
        }
        if (attempt > 1) {
            (void)error_set(err, -EIO, "tag '%s': others change it all the time", tag);
            if (!registry_host_pause(host, attempt - 1, 0, err)) {
                return -EIO;
            }
        }
        r = make_index(r > 0 ? &old : NULL, artifact, &new, err);
        r = r < 0 ? r : manifest_put(host, repository, tag, &new, NULL, err);
        if (r < 0) {
            return r;
        }
    }
}

/* ---- listing ----------------------------------------------------------------------------------
 */

static int add_referrer(RegistryReferrers *referrers, const Json *entry)
{
    const char *type = json_get_string(entry, "artifactType");
    const char *title = json_get_string(json_get(entry, "annotations"), TITLE);
    RegistryReferrer *longer =
        realloc(referrers->items, (referrers->count + 1) * sizeof(*referrers->items));
    RegistryReferrer *item;

    if (!longer) {
        return -ENOMEM;
    }
    referrers->items = longer;
    item = &longer[referrers->count++];
    *item = (RegistryReferrer){.artifact_type = strdup(type ? type : ""),
                               .title = title ? strdup(title) : NULL};
    (void)snprintf(item->digest, sizeof(item->digest), "%s", json_get_string(entry, "digest"));
    return item->artifact_type && (item->title || !title) ? 0 : -ENOMEM;
}

/* The type is compared here, too: a registry may not do it. */
static int add_all(const Json *manifests, const char *artifact_type, RegistryReferrers *ret,
                   Error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_length(manifests); i++) {
        const Json *entry = json_at(manifests, i);
        const char *type = json_get_string(entry, "artifactType");

        if (!reference_is_digest(json_get_string(entry, "digest"))) {
            return error_set(err, -EBADMSG, "a referrer has no digest");
        }
        if (artifact_type && (!type || strcmp(type, artifact_type) != 0)) {
            continue;
        }
        if (ret->count >= REFERRERS_MAX) {
            return error_set(err, -EFBIG, "more than %d referrers", REFERRERS_MAX);
        }
        r = add_referrer(ret, entry);
    }
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

int referrers_next_page(const char *link, char **ret)
{
    char *next = NULL;

    while (link && *link) {
        const char *begin = strchr(link, '<'), *end = begin ? strchr(begin, '>') : NULL;
        const char *parameters, *rel;
        size_t n;

        if (!end) {
            break;
        }
        parameters = end + 1;
        n = strcspn(parameters, "<");
        rel = memmem(parameters, n, "rel=", 4);
        rel = rel ? rel + 4 + (rel[4] == '"') : NULL;
        if (rel && text_has_prefix(rel, "next") && (!rel[4] || strchr("\",; ", rel[4]))) {
            next = strndup(begin + 1, (size_t)(end - begin - 1));
            if (!next) {
                return -ENOMEM;
            }
            break;
        }
        link = parameters + n;
    }
    *ret = next;
    return 0;
}

/* One page. 1: taken, *url is the next one's or NULL. 0: the registry has no such list. */
static int list_page(RegistryHost *host, const char *repository, const char *path, char **url,
                     const char *artifact_type, RegistryReferrers *ret, Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_json_ Json *index = NULL;
    _cleanup_free_ char *next = NULL;
    int r = registry_host_call(host,
                               &(RegistryCall){.repository = repository,
                                               .path = *url ? NULL : path,
                                               .url = *url,
                                               .max_bytes = MANIFEST_MAX},
                               &response, err);

    if (r < 0 || response.status == 404 || response.status == 405 || response.status == 501) {
        return r;
    }
    if (response.status != 200) {
        return registry_host_complain(host, &response, -EIO, path, err);
    }
    r = http_response_json(&response, &index, err);
    if (r < 0) {
        return error_wrap(err, "%s, %s", registry_host_name(host), path);
    }
    r = add_all(json_get(index, "manifests"), artifact_type, ret, err);
    if (r < 0) {
        return error_wrap(err, "%s, %s", registry_host_name(host), path);
    }
    free(*url);
    *url = NULL;
    r = referrers_next_page(http_response_header(&response, "Link", 0), &next);
    r = r < 0 || !next ? r : http_url_resolve(response.url, next, url, NULL);
    return r == -ENOMEM ? error_set(err, r, "out of memory") : 1;
}

static int list_pages(RegistryHost *host, const char *repository, const char *digest,
                      const char *artifact_type, RegistryReferrers *ret, Error *err)
{
    char path[sizeof("referrers/") + OCI_DIGEST_SIZE];
    _cleanup_free_ char *url = NULL;

    (void)snprintf(path, sizeof(path), "referrers/%s", digest);
    for (int page = 0; page < REFERRERS_PAGES_MAX; page++) {
        int r = list_page(host, repository, path, &url, artifact_type, ret, err);

        if (r <= 0) {
            return r;
        }
        if (!url) {
            return 1;
        }
    }
    return error_set(err, -EFBIG, "%s: more than %d pages of referrers", registry_host_name(host),
                     REFERRERS_PAGES_MAX);
}

int referrers_list(RegistryHost *host, const char *repository, const char *digest,
                   const char *artifact_type, RegistryReferrers *ret, Error *err)
{
    _cleanup_registry_referrers_ RegistryReferrers found = {0};
    _cleanup_manifest_ Manifest index = {0};
    int r = list_pages(host, repository, digest, artifact_type, &found, err);

    if (r == 0) {
        r = get_index(host, repository, digest, &index, err);
        r = r <= 0 ? r : add_all(json_get(index.json, "manifests"), artifact_type, &found, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = found;
    found = (RegistryReferrers){0};
    return 0;
}
