/* SPDX-License-Identifier: MIT */
#include "agent/package/layer/layer.h"

#include "protocol/artifact/archive.h"
#include "protocol/base/buffer.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE "layer.tmp"

/* Another number where the same entries would give other bytes. */
#define KEY_VERSION "slipway layer 1"

#define READ_BYTES ((size_t)256 << 10)

/* ---- the blob ---------------------------------------------------------------------------------
 */

/* tar → compressor → digest and file. */
typedef struct Blob {
    int blobs_fd, fd;
    Compress *compressor;
    Digest *digest;
    int64_t size_bytes;
} Blob;

static void blob_done(Blob *blob)
{
    blob->compressor = compress_free(blob->compressor); /* first: it may be at work */
    blob->digest = digest_free(blob->digest);
    if (blob->fd >= 0) {
        (void)unlinkat(blob->blobs_fd, ASIDE, 0);
    }
    blob->fd = fd_close(blob->fd);
}

static int on_compressed(const void *data, size_t n, void *userdata)
{
    Blob *blob = userdata;
    int r = digest_update(blob->digest, data, n);

    blob->size_bytes += (int64_t)n;
    return r == 0 ? fd_write_all(blob->fd, data, n) : r;
}

static int on_tar(const void *data, size_t n, void *userdata)
{
    return compress_write(((Blob *)userdata)->compressor, data, n);
}

static int blob_open(int blobs_fd, CompressKind compression, Blob *blob, Error *err)
{
    int r = digest_new(&blob->digest, err);

    if (r < 0) {
        return r;
    }
    blob->blobs_fd = blobs_fd;
    blob->fd = openat(blobs_fd, ASIDE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (blob->fd < 0) {
        return error_set_errno(err, -errno, "cannot make '" ASIDE "'");
    }
    r = compress_new(compression, on_compressed, blob, &blob->compressor);
    return r < 0
               ? error_set_errno(err, r, "cannot compress with %s", compress_kind_name(compression))
               : 0;
}

/* Under its own name. */
static int blob_finish(Blob *blob, Layer *layer, Error *err)
{
    int r = compress_finish(blob->compressor);

    r = r == 0 ? digest_finish(blob->digest, layer->sha256) : r;
    if (r == 0 && renameat(blob->blobs_fd, ASIDE, blob->blobs_fd, layer->sha256) < 0) {
        r = -errno;
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot write the layer");
    }
    layer->size_bytes = blob->size_bytes;
    blob->fd = fd_close(blob->fd);
    return 0;
}

/* ---- packing ----------------------------------------------------------------------------------
 */

static int write_entries(const LayerSpec *spec, ArchiveWriter *writer, Error *err)
{
    for (size_t i = 0; i < spec->n_entries; i++) {
        const LayerEntry *entry = &spec->entries[i];
        int r = entry->from ? archive_writer_add(writer, spec->root_fd, entry->from, entry->to,
                                                 entry->mode, err)
                            : archive_writer_add_directory(writer, entry->to, entry->mode, err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int pack(const LayerSpec *spec, int blobs_fd, Layer *ret, Error *err)
{
    _cleanup_(blob_done) Blob blob = {.fd = -1};
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    ArchiveSummary summary;
    int r = blob_open(blobs_fd, spec->compression, &blob, err);

    r = r == 0 ? archive_writer_new_to(on_tar, &blob, spec->time, &writer, err) : r;
    if (r < 0) {
        return r;
    }
    archive_writer_set_extras(writer, &(ArchiveExtras){.special_bits = 07000});
    r = write_entries(spec, writer, err);
    r = r == 0 ? archive_writer_finish(writer, &summary, err) : r;
    r = r == 0 ? blob_finish(&blob, ret, err) : r;
    if (r == 0) {
        memcpy(ret->diff_id, summary.sha256, sizeof(ret->diff_id));
    }
    return r;
}

/* ---- the key ----------------------------------------------------------------------------------
 */

/* Everything that the blob depends on, each part ended by a NUL. */
typedef struct Key {
    Digest *digest;
    struct stat *seen; /* one for each entry; zeros for a directory of the image's own */
    char hex[DIGEST_HEX_SIZE];
} Key;

static void key_done(Key *key)
{
    key->digest = digest_free(key->digest);
    free(key->seen);
}

static int add_text(Key *key, const char *text)
{
    return digest_update(key->digest, text, strlen(text) + 1);
}

static int add_link(const LayerSpec *spec, const LayerEntry *entry, Key *key, Error *err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(spec->root_fd, entry->from, target, sizeof(target) - 1);

    if (n < 0) {
        return error_set_errno(err, -errno, "'%s'", entry->from);
    }
    target[n] = '\0';
    return add_text(key, target);
}

static int add_entry(const LayerSpec *spec, const LayerMemory *memory, size_t i, Key *key,
                     Error *err)
{
    const LayerEntry *entry = &spec->entries[i];
    struct stat *st = &key->seen[i];
    char text[64], hex[DIGEST_HEX_SIZE];
    int r;

    if (entry->from && fstatat(spec->root_fd, entry->from, st, AT_SYMLINK_NOFOLLOW) < 0) {
        return error_set_errno(err, -errno, "'%s'", entry->from);
    }
    (void)snprintf(text, sizeof(text), "%o %o", st->st_mode & S_IFMT,
                   entry->mode == (mode_t)-1 ? st->st_mode & 0777 : entry->mode);
    r = add_text(key, text);
    r = r == 0 ? add_text(key, entry->to) : r;
    if (r == 0 && S_ISLNK(st->st_mode)) {
        r = add_link(spec, entry, key, err);
    } else if (r == 0 && S_ISREG(st->st_mode)) {
        r = file_digests_get(memory->digests, spec->root_fd, entry->from, st, hex, err);
        r = r == 0 ? add_text(key, hex) : r;
    }
    return r;
}

static int make_key(const LayerSpec *spec, const LayerMemory *memory, Key *key, Error *err)
{
    char text[64];
    int r = digest_new(&key->digest, err);

    if (r < 0) {
        return r;
    }
    key->seen = calloc(spec->n_entries + 1, sizeof(*key->seen));
    if (!key->seen) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    (void)snprintf(text, sizeof(text), "%" PRId64, spec->time);
    r = add_text(key, KEY_VERSION);
    r = r == 0 ? add_text(key, compress_kind_version(spec->compression)) : r;
    r = r == 0 ? add_text(key, text) : r;
    for (size_t i = 0; r == 0 && i < spec->n_entries; i++) {
        r = add_entry(spec, memory, i, key, err);
    }
    r = r == 0 ? digest_finish(key->digest, key->hex) : r;
    if (r < 0 && err && !err->code) {
        r = error_set_errno(err, r, "cannot make the layer's key");
    }
    return r;
}

/* Whether what was packed is what the key says. */
static bool is_unchanged(const LayerSpec *spec, const Key *key)
{
    for (size_t i = 0; i < spec->n_entries; i++) {
        const struct stat *was = &key->seen[i];
        struct stat st;

        if (!spec->entries[i].from) {
            continue;
        }
        if (fstatat(spec->root_fd, spec->entries[i].from, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            st.st_size != was->st_size || st.st_ino != was->st_ino ||
            st.st_mtim.tv_sec != was->st_mtim.tv_sec ||
            st.st_mtim.tv_nsec != was->st_mtim.tv_nsec ||
            st.st_ctim.tv_sec != was->st_ctim.tv_sec ||
            st.st_ctim.tv_nsec != was->st_ctim.tv_nsec) {
            return false;
        }
    }
    return true;
}

/* ---- with memory ------------------------------------------------------------------------------
 */

/* 1: it was made before. A cache that fails is as none. */
static int recall(const BlobCache *cache, const char *key, int blobs_fd, Layer *ret)
{
    _cleanup_json_ Json *record = NULL;
    _cleanup_error_ Error problem = {0};
    const char *diff_id;
    int r = blob_cache_find(cache, key, blobs_fd, NULL, &record, &problem);

    if (r < 0) {
        log_warning("%s, going on without", error_text(&problem));
    }
    diff_id = json_get_string(record, "diffId");
    if (r <= 0 || !diff_id || strlen(diff_id) != DIGEST_HEX_SIZE - 1) {
        return 0;
    }
    memcpy(ret->diff_id, diff_id, sizeof(ret->diff_id));
    memcpy(ret->sha256, json_get_string(record, "sha256"), sizeof(ret->sha256));
    ret->size_bytes = json_get_int(record, "size", 0);
    ret->is_known = true;
    return 1;
}

static void remember(const BlobCache *cache, const char *key, int blobs_fd, const Layer *layer)
{
    _cleanup_json_ Json *record = json_new_object();
    _cleanup_error_ Error problem = {0};
    int r = record ? json_set_string(record, "sha256", layer->sha256) : -ENOMEM;

    r = r == 0 ? json_set_string(record, "diffId", layer->diff_id) : r;
    r = r == 0 ? json_set_int(record, "size", layer->size_bytes) : r;
    r = r == 0 ? blob_cache_add(cache, key, record, blobs_fd, layer->sha256, &problem)
               : error_set(&problem, r, "out of memory");
    if (r < 0) {
        log_warning("%s, going on without", error_text(&problem));
    }
}

int layer_write(const LayerSpec *spec, const LayerMemory *memory, int blobs_fd, Layer *ret,
                Error *err)
{
    _cleanup_(key_done) Key key = {0};
    Layer layer = {0};
    int r;

    if (!memory) {
        r = pack(spec, blobs_fd, &layer, err);
    } else {
        r = make_key(spec, memory, &key, err);
        if (r == 0 && recall(memory->cache, key.hex, blobs_fd, &layer) == 0) {
            r = pack(spec, blobs_fd, &layer, err);
            if (r == 0 && is_unchanged(spec, &key)) {
                remember(memory->cache, key.hex, blobs_fd, &layer);
            }
        }
    }
    if (r < 0) {
        return r;
    }
    *ret = layer;
    return 0;
}

/* ---- a tar that is there ----------------------------------------------------------------------
 */

static int compress_tar(int tar_fd, CompressKind compression, int blobs_fd, Layer *ret, Error *err)
{
    _cleanup_(blob_done) Blob blob = {.fd = -1};
    _cleanup_(digest_freep) Digest *digest = NULL;
    _cleanup_free_ char *block = malloc(READ_BYTES);
    ssize_t n;
    int r = block ? digest_new(&digest, err) : error_set(err, -ENOMEM, "out of memory");

    r = r == 0 ? blob_open(blobs_fd, compression, &blob, err) : r;
    if (r < 0) {
        return r;
    }
    do {
        n = fd_read_full(tar_fd, block, READ_BYTES);
        r = n < 0 ? (int)n : digest_update(digest, block, (size_t)n);
        r = r == 0 ? on_tar(block, (size_t)n, &blob) : r;
        if (r < 0) {
            return error_set_errno(err, r, "cannot compress the layer");
        }
    } while (n == (ssize_t)READ_BYTES);
    r = digest_finish(digest, ret->diff_id);
    return r < 0 ? error_set_errno(err, r, "cannot finish a digest") : blob_finish(&blob, ret, err);
}

/* The key of a tar that was made elsewhere. */
static int make_tar_key(const char *diff_id, CompressKind compression,
                        char ret_hex[static DIGEST_HEX_SIZE], Error *err)
{
    _cleanup_(key_done) Key key = {0};
    int r = digest_new(&key.digest, err);

    r = r == 0 ? add_text(&key, KEY_VERSION " of a tar") : r;
    r = r == 0 ? add_text(&key, compress_kind_version(compression)) : r;
    r = r == 0 ? add_text(&key, diff_id) : r;
    return r == 0 ? digest_finish(key.digest, ret_hex) : r;
}

int layer_write_tar(int tar_fd, const char *diff_id, CompressKind compression,
                    const BlobCache *cache, int blobs_fd, Layer *ret, Error *err)
{
    char key[DIGEST_HEX_SIZE];
    Layer layer = {0};
    int r = make_tar_key(diff_id, compression, key, err);

    if (r == 0 && !(cache && recall(cache, key, blobs_fd, &layer))) {
        r = compress_tar(tar_fd, compression, blobs_fd, &layer, err);
        if (r == 0 && strcmp(layer.diff_id, diff_id) != 0) {
            (void)unlinkat(blobs_fd, layer.sha256, 0);
            r = error_set(err, -EBADMSG, "the layer sha256:%s is sha256:%s", diff_id,
                          layer.diff_id);
        }
        if (r == 0 && cache) {
            remember(cache, key, blobs_fd, &layer);
        }
    }
    if (r < 0) {
        return r;
    }
    *ret = layer;
    return 0;
}
