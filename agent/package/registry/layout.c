/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/layout.h"

#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX_MAX ((size_t)4 << 20)
#define REF_NAME "org.opencontainers.image.ref.name"

/* "blobs/sha256/HEX" and a suffix. */
#define BLOB_PATH_SIZE (sizeof(OCI_BLOBS "/") + OCI_DIGEST_SIZE + sizeof(".part"))

static const char *hex_of(const char *digest)
{
    return digest + strlen(OCI_DIGEST_PREFIX);
}

static void blob_path(char path[static BLOB_PATH_SIZE], const char *digest, const char *suffix)
{
    (void)snprintf(path, BLOB_PATH_SIZE, OCI_BLOBS "/%s%s", hex_of(digest), suffix);
}

static int make_directory(int layout_fd, const char *name, Error *err)
{
    return mkdirat(layout_fd, name, 0755) < 0 && errno != EEXIST
               ? error_set_errno(err, -errno, "cannot make '%s' of an image layout", name)
               : 0;
}

static int read_object(int layout_fd, const char *name, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(INDEX_MAX);
    _cleanup_json_ Json *value = NULL;
    _cleanup_error_ Error problem = {0};
    int r = file_read(layout_fd, name, &text, err);

    if (r < 0) {
        return r;
    }
    if (json_parse(buffer_text(&text), text.len, &value, &problem) < 0 ||
        json_type_of(value) != JSON_OBJECT) {
        return error_set(err, -EBADMSG, "'%s' of an image layout is no JSON object%s%s", name,
                         problem.text ? ": " : "", problem.text ? problem.text : "");
    }
    *ret = TAKE_PTR(value);
    return 0;
}

static int write_json(int layout_fd, const char *name, const Json *value, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(INDEX_MAX);

    if (json_format(value, &text) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return file_replace(layout_fd, name, text.data, text.len, 0644, err);
}

static int write_first(int layout_fd, const char *name, const char *text, Error *err)
{
    return file_exists(layout_fd, name)
               ? 0
               : file_replace(layout_fd, name, text, strlen(text), 0644, err);
}

int layout_init(int layout_fd, Error *err)
{
    _cleanup_json_ Json *layout = NULL;
    const char *version;
    int r = make_directory(layout_fd, "blobs", err);

    r = r < 0 ? r : make_directory(layout_fd, OCI_BLOBS, err);
    r = r < 0 ? r
              : write_first(layout_fd, OCI_INDEX_FILE,
                            "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX
                            "\",\"manifests\":[]}",
                            err);
    r = r < 0 ? r
              : write_first(layout_fd, OCI_LAYOUT_FILE,
                            "{\"imageLayoutVersion\":\"" OCI_LAYOUT_VERSION "\"}", err);
    r = r < 0 ? r : read_object(layout_fd, OCI_LAYOUT_FILE, &layout, err);
    if (r < 0) {
        return r;
    }
    version = json_get_string(layout, "imageLayoutVersion");
    return version && text_has_prefix(version, "1.")
               ? 0
               : error_set(err, -EBADMSG, "an image layout is of version %.20s, not 1",
                           version ? version : "(none)");
}

/* ---- blobs ------------------------------------------------------------------------------------
 */

int layout_open_blob(int layout_fd, const Descriptor *blob, int *ret_fd, Error *err)
{
    char path[BLOB_PATH_SIZE], found[DIGEST_HEX_SIZE];
    _cleanup_fd_ int fd = -1;
    int64_t size;
    int r;

    blob_path(path, blob->digest, "");
    fd = openat(layout_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? 0 : error_set_errno(err, -errno, "'%s'", path);
    }
    r = digest_fd(fd, found, &size, err);
    if (r < 0) {
        return error_wrap(err, "'%s'", path);
    }
    if (strcmp(found, hex_of(blob->digest)) != 0 || size != blob->size_bytes) {
        return error_set(err, -EBADMSG, "'%s' was changed: it has %lld bytes of sha256:%s", path,
                         (long long)size, found);
    }
    if (lseek(fd, 0, SEEK_SET) < 0) {
        return error_set_errno(err, -errno, "'%s'", path);
    }
    if (ret_fd) {
        *ret_fd = TAKE_FD(fd);
    }
    return 1;
}

int layout_begin_blob(int layout_fd, const char *digest, int *ret_fd, int64_t *ret_size, Error *err)
{
    char path[BLOB_PATH_SIZE];
    _cleanup_fd_ int fd = -1;
    struct stat st;

    blob_path(path, digest, ".part");
    fd = openat(layout_fd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return error_set_errno(err, -errno, "'%s'", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(err, -EBADMSG, "'%s' is no regular file", path);
    }
    *ret_fd = TAKE_FD(fd);
    *ret_size = st.st_size;
    return 0;
}

int layout_finish_blob(int layout_fd, const char *digest, int fd, Error *err)
{
    char part[BLOB_PATH_SIZE], path[BLOB_PATH_SIZE];

    blob_path(part, digest, ".part");
    blob_path(path, digest, "");
    if (fsync(fd) < 0 || renameat(layout_fd, part, layout_fd, path) < 0) {
        return error_set_errno(err, -errno, "'%s'", path);
    }
    return 0;
}

void layout_drop_blob(int layout_fd, const char *digest)
{
    char part[BLOB_PATH_SIZE];

    blob_path(part, digest, ".part");
    (void)unlinkat(layout_fd, part, 0);
}

/* ---- manifests --------------------------------------------------------------------------------
 */

int layout_read_manifest(int layout_fd, const Descriptor *descriptor, Manifest *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(MANIFEST_MAX);
    char path[BLOB_PATH_SIZE];
    int r = layout_open_blob(layout_fd, descriptor, NULL, err);

    if (r == 0) {
        return error_set(err, -ENOENT, "the image layout does not have %s", descriptor->digest);
    }
    if (r < 0) {
        return r;
    }
    blob_path(path, descriptor->digest, "");
    r = file_read(layout_fd, path, &text, err);
    return r < 0 ? r : manifest_parse_take(&text, descriptor->media_type, ret, err);
}

int layout_write_manifest(int layout_fd, const Manifest *manifest, Error *err)
{
    char path[BLOB_PATH_SIZE];

    blob_path(path, manifest->self.digest, "");
    return file_replace(layout_fd, path, manifest->text.data, manifest->text.len, 0644, err);
}

/* ---- index.json -------------------------------------------------------------------------------
 */

static bool is_of(const Json *entry, const char *digest)
{
    const char *other = json_get_string(entry, "digest");

    return other && strcmp(other, digest) == 0;
}

/* In what an index that index.json names has for manifests. 1: found. */
static int find_below(int layout_fd, const Json *entry, const char *digest, Descriptor *ret)
{
    _cleanup_manifest_ Manifest index = {0};
    const Json *manifests;
    Descriptor descriptor;

    if (descriptor_read(entry, &descriptor, NULL) < 0 ||
        manifest_kind_of(descriptor.media_type) != MANIFEST_INDEX ||
        layout_read_manifest(layout_fd, &descriptor, &index, NULL) < 0) {
        return 0;
    }
    manifests = json_get(index.json, "manifests");
    for (size_t i = 0; i < json_length(manifests); i++) {
        if (is_of(json_at(manifests, i), digest)) {
            return descriptor_read(json_at(manifests, i), ret, NULL) == 0;
        }
    }
    return 0;
}

int layout_find(int layout_fd, const char *digest, Descriptor *ret, Error *err)
{
    _cleanup_json_ Json *index = NULL;
    const Json *manifests, *found = NULL;
    size_t n;
    int r = read_object(layout_fd, OCI_INDEX_FILE, &index, err);

    if (r < 0) {
        return error_wrap(err, "image layout");
    }
    manifests = json_get(index, "manifests");
    n = json_length(manifests);
    if (!digest && n != 1) {
        return error_set(err, -ENOENT,
                         "'" OCI_INDEX_FILE "' of the image layout has %zu images; say which", n);
    }
    for (size_t i = 0; i < n; i++) {
        found = !digest || is_of(json_at(manifests, i), digest) ? json_at(manifests, i) : found;
    }
    for (size_t i = 0; !found && i < n; i++) {
        if (find_below(layout_fd, json_at(manifests, i), digest, ret)) {
            return 0;
        }
    }
    if (!found) {
        return error_set(err, -ENOENT, "'" OCI_INDEX_FILE "' of the image layout has no %s",
                         digest);
    }
    r = descriptor_read(found, ret, err);
    return r < 0 ? error_wrap(err, "'" OCI_INDEX_FILE "' of the image layout") : 0;
}

static int make_entry(const Manifest *manifest, const char *name, Json **ret)
{
    _cleanup_json_ Json *entry = json_new_object();
    Json *annotations;
    int r = entry ? json_set_string(entry, "mediaType", manifest->self.media_type) : -ENOMEM;

    r = r < 0 ? r : json_set_string(entry, "digest", manifest->self.digest);
    r = r < 0 ? r : json_set_int(entry, "size", manifest->self.size_bytes);
    if (r == 0 && name) {
        annotations = json_new_object();
        r = annotations ? json_set_string(annotations, REF_NAME, name) : -ENOMEM;
        r = r < 0 ? (json_unref(annotations), r) : json_set_take(entry, "annotations", annotations);
    }
    if (r == 0) {
        *ret = TAKE_PTR(entry);
    }
    return r;
}

/* The entries that stay: neither this image under no or the same name, nor this name. */
static bool stays(const Json *entry, const char *digest, const char *name)
{
    const char *other = json_get_string(json_get(entry, "annotations"), REF_NAME);

    if (name && other && strcmp(other, name) == 0) {
        return false;
    }
    return !is_of(entry, digest) || (name && other);
}

int layout_name(int layout_fd, const Manifest *manifest, const char *name, Error *err)
{
    _cleanup_json_ Json *index = NULL, *entry = NULL;
    const Json *old;
    Json *manifests;
    int r = read_object(layout_fd, OCI_INDEX_FILE, &index, err);

    if (r < 0) {
        return r;
    }
    old = json_get(index, "manifests");
    manifests = json_new_array();
    r = manifests ? make_entry(manifest, name, &entry) : -ENOMEM;
    for (size_t i = 0; r == 0 && i < json_length(old); i++) {
        if (stays(json_at(old, i), manifest->self.digest, name)) {
            r = json_append_take(manifests, json_ref(json_at(old, i)));
        }
    }
    r = r < 0 ? r : json_append_take(manifests, TAKE_PTR(entry));
    if (r < 0) {
        (void)json_unref(manifests);
        return error_set(err, r, "out of memory");
    }
    r = json_set_take(index, "manifests", manifests);
    return r < 0 ? error_set(err, r, "out of memory")
                 : write_json(layout_fd, OCI_INDEX_FILE, index, err);
}
