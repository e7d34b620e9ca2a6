/* SPDX-License-Identifier: MIT */
#include "agent/package/oci-archive.h"

#include "agent/package/oci-read.h"
#include "protocol/artifact/file-list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DOCKER_MANIFEST "manifest.json"
#define MODE_FILE 0644
#define MODE_DIRECTORY 0755

#define TAG_MAX 128

/* ---- the name ---------------------------------------------------------------------------------
 */

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Letters and digits with single separators between them: ".", "_", "__", or any number of "-".
 * https://github.com/distribution/reference/blob/main/regexp.go */
static bool is_name(const char *name)
{
    const char *p = name;

    while (is_alphanumeric(*p)) {
        p += strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789");
        if (*p == '\0') {
            return true;
        }
        p += *p == '-' ? strspn(p, "-") : strncmp(p, "__", 2) == 0 ? 2 : *p == '.' || *p == '_';
    }
    return false;
}

static bool is_tag_character(char c)
{
    return is_alphanumeric(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-';
}

int oci_archive_reference(const char *name, const char *version, Buffer *ret, Error *err)
{
    char tag[TAG_MAX + 1];
    size_t n = 0;

    if (!is_name(name)) {
        return error_set(err, -EINVAL,
                         "'%s' cannot be the name of an image: lower-case letters and digits, with "
                         "'.', '_' or '-' between them; slipway.json can give another `name`",
                         name);
    }
    for (; version[n] && n < TAG_MAX; n++) {
        bool is_fine =
            is_tag_character(version[n]) && (n > 0 || (version[n] != '.' && version[n] != '-'));

        tag[n] = is_fine ? version[n] : '_';
    }
    tag[n] = '\0';
    return buffer_append_format(ret, "%s:%s", name, tag) < 0
               ? error_set(err, -ENOMEM, "out of memory")
               : 0;
}

/* ---- docker's part ----------------------------------------------------------------------------
 */

/* "sha256:HEX" → "blobs/sha256/HEX" */
static Json *new_path(const char *digest)
{
    char path[sizeof(OCI_BLOBS "/") + 2 * OCI_DIGEST_SIZE];

    (void)snprintf(path, sizeof(path), OCI_BLOBS "/%s", digest + strlen(OCI_DIGEST_PREFIX));
    return json_new_string(path);
}

static int new_docker_manifest(const OciImage *image, const char *reference, Json **ret)
{
    _cleanup_json_ Json *all = json_new_array(), *one = json_new_object(), *tags = json_new_array(),
                        *layers = json_new_array();
    int r = all && one && tags && layers ? json_append_string(tags, reference) : -ENOMEM;

    for (size_t i = 0; r == 0 && i < image->n_layers; i++) {
        r = json_append_take(layers, new_path(image->layers[i].digest));
    }
    r = r == 0 ? json_set_take(one, "Config", new_path(image->config.digest)) : r;
    r = r == 0 ? json_set_take(one, "RepoTags", TAKE_PTR(tags)) : r;
    r = r == 0 ? json_set_take(one, "Layers", TAKE_PTR(layers)) : r;
    r = r == 0 ? json_append_take(all, TAKE_PTR(one)) : r;
    if (r == 0) {
        *ret = TAKE_PTR(all);
    }
    return r;
}

static int add_docker_manifest(int layout_fd, const char *reference, ArchiveWriter *writer,
                               Error *err)
{
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;
    _cleanup_json_ Json *manifest = NULL;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_error_ Error problem = {0};
    int r = oci_image_open(layout_fd, ".", NULL, &image, &problem);

    if (r == -EBADMSG) {
        return 0; /* none is for this host: an OCI archive it is all the same */
    }
    r = r == 0 ? new_docker_manifest(&image, reference, &manifest) : r;
    r = r == 0 ? json_format(manifest, &text) : r;
    if (r < 0) {
        return error_set_errno(err, r, "cannot make " DOCKER_MANIFEST);
    }
    return archive_writer_add_bytes(writer, DOCKER_MANIFEST, text.data, text.len, MODE_FILE, err);
}

/* ---- the tar ----------------------------------------------------------------------------------
 */

static int add_all(int layout_fd, const char *reference, ArchiveWriter *writer, Error *err)
{
    _cleanup_(file_list_done) FileList list = {0};
    int r = file_list_match(layout_fd, (const char *const[]){"**"}, 1, &list, err);

    /* Some readers want to be told of the directories. */
    r = r == 0 ? archive_writer_add_directory(writer, "blobs", MODE_DIRECTORY, err) : r;
    r = r == 0 ? archive_writer_add_directory(writer, OCI_BLOBS, MODE_DIRECTORY, err) : r;
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        r = archive_writer_add(writer, layout_fd, list.names[i], list.names[i], MODE_FILE, err);
    }
    return r == 0 ? add_docker_manifest(layout_fd, reference, writer, err) : r;
}

int oci_archive_write(int layout_fd, const char *reference, int64_t time, int out_fd,
                      ArchiveSummary *ret, Error *err)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    int r = archive_writer_new(ARCHIVE_TAR, 0, out_fd, time, &writer, err);

    r = r == 0 ? add_all(layout_fd, reference, writer, err) : r;
    return r == 0 ? archive_writer_finish(writer, ret, err) : r;
}
