/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/image-publish.h"

#include "agent/package/oci-archive.h"
#include "agent/runners/package/registry-access.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/evidence/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

void image_published_done(ImagePublished *published)
{
    free(published->reference);
    free(published->tagged);
    *published = (ImagePublished){0};
}

/* "REGISTRY/NAME:VERSION" */
static int make_tagged(const Json *image, const Release *release, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    const char *registry = json_get_string(image, "registry");
    size_t n = strlen(registry);

    while (n > 0 && registry[n - 1] == '/') {
        n--;
    }
    if (buffer_append_format(&text, "%.*s/", (int)n, registry) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (oci_archive_reference(release->name, release->version, &text, err) < 0) {
        return -EINVAL;
    }
    *ret = buffer_take_text(&text);
    return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* What the call has stated about the image goes beside it, so that whoever has the image can ask
 * the registry for it. */
static int attach_evidence(Action *action, RegistryClient *client, const char *reference,
                           Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(REGISTRY_ARTIFACT_MAX);
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/artifacts/" BUNDLE_FILE, action->spec.call_directory) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!file_exists(AT_FDCWD, path)) {
        return 0; /* a source without a commit, or a host without a key */
    }
    if (file_read(AT_FDCWD, path, &text, err) < 0) {
        return -EIO;
    }
    return registry_attach(client, reference,
                           &(RegistryArtifact){.artifact_type = REGISTRY_TYPE_BUNDLE,
                                               .title = BUNDLE_FILE,
                                               .data = buffer_text(&text),
                                               .size_bytes = text.len},
                           NULL, err);
}

static int push(Action *action, const Json *image, const Package *package, int staging_fd,
                const ImagePublished *published, Error *err)
{
    _cleanup_registry_access_ RegistryAccess access = {0};
    _cleanup_free_ const char **mount_from = registry_access_texts(json_get(image, "mountFrom"));
    _cleanup_fd_ int layout_fd =
        openat(staging_fd, RELEASE_IMAGE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char digest[OCI_DIGEST_SIZE];
    int r = registry_access_init(&access, action, err);

    if (r < 0) {
        return r;
    }
    if (!mount_from || layout_fd < 0) {
        return error_set_errno(err, mount_from ? -errno : -ENOMEM,
                               "cannot open '" RELEASE_IMAGE "'");
    }
    r = registry_push_layout(access.client,
                             &(RegistryPush){.layout_fd = layout_fd,
                                             .digest = package->release.digest,
                                             .reference = published->tagged,
                                             .mount_from = mount_from},
                             digest, err);
    if (r == 0 && strcmp(digest, package->release.digest) != 0) {
        r = error_set(err, -EBADMSG, "the registry has it as %s, not as %s", digest,
                      package->release.digest);
    }
    return r < 0 ? r : attach_evidence(action, access.client, published->reference, err);
}

int image_publish(Action *action, const Package *package, int staging_fd, ImagePublished *ret,
                  Error *err)
{
    const Json *image = json_get(action->spec.publish, "image");
    _cleanup_image_published_ ImagePublished published = {0};
    int r;

    if (!image) {
        return 0;
    }
    if (!package->has_image) {
        log_info("there is no image, so nothing goes to the registry");
        return 0;
    }
    r = make_tagged(image, &package->release, &published.tagged, err);
    if (r < 0) {
        return r;
    }
    r = report_phase(&action->report, "publish", published.tagged);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    published.reference = strdup(package->release.reference);
    if (!published.reference) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = push(action, image, package, staging_fd, &published, err);
    if (r < 0) {
        return error_wrap(err, "publishing '%s'", published.tagged);
    }
    log_info("published '%s'", published.tagged);
    *ret = published;
    published = (ImagePublished){0};
    return 0;
}

int image_publish_report(Action *action, const ImagePublished *published)
{
    _cleanup_json_ Json *references = NULL;
    int r;

    if (!published->reference) {
        return 0;
    }
    references = json_new_array();
    r = references ? json_append_string(references, published->tagged) : -ENOMEM;
    r = r == 0 ? report_output_take(&action->report, "references", TAKE_PTR(references)) : r;
    return r == 0 ? report_output(&action->report, "reference", published->reference) : r;
}
