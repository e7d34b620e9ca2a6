/* SPDX-License-Identifier: MIT */
#include "agent/package/layer/blob-cache.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "blobs"
#define RECORD_BYTES_MAX ((size_t)64 << 10)

/* 64 digits and ".json", ".blob". */
#define NAME_SIZE (DIGEST_HEX_SIZE + 5)

#define COPY_BYTES ((size_t)1 << 20)
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_MAX 64

#define DAY_US ((int64_t)24 * 3600 * 1000000)

int blob_cache_open(const char *cache_directory, BlobCache *ret, Error *err)
{
    _cleanup_free_ char *path = NULL;
    int r;

    if (asprintf(&path, "%s/" DIRECTORY, cache_directory) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = file_make_dirs(path, 0700, err);
    if (r < 0) {
        return r;
    }
    ret->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ret->fd < 0 ? error_set_errno(err, -errno, "cannot open '%s'", path) : 0;
}

void blob_cache_done(BlobCache *cache)
{
    cache->fd = fd_close(cache->fd);
}

static bool is_hex(const char *text)
{
    return text && strlen(text) == DIGEST_HEX_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == DIGEST_HEX_SIZE - 1;
}

/* The files of /proc have no size, so file_read is no help. */
static const char *get_boot_id(char text[static BOOT_ID_MAX])
{
    _cleanup_fd_ int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? fd_read_full(fd, text, BOOT_ID_MAX - 1) : 0;

    text[MAX(n, (ssize_t)0)] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static const char *name_of(const char *hex, const char *suffix, char name[static NAME_SIZE])
{
    (void)snprintf(name, NAME_SIZE, "%s%s", hex, suffix);
    return name;
}

/* ---- files ------------------------------------------------------------------------------------
 */

static int copy_bytes(int from_fd, int to_fd)
{
    _cleanup_free_ char *block = malloc(COPY_BYTES);
    ssize_t n;

    if (!block) {
        return -ENOMEM;
    }
    do {
        int r;

        n = fd_read_full(from_fd, block, COPY_BYTES);
        r = n < 0 ? (int)n : fd_write_all(to_fd, block, (size_t)n);
        if (r < 0) {
            return r;
        }
    } while (n == (ssize_t)COPY_BYTES);
    return 0;
}

/* For two file systems. Aside and renamed: whoever sees the name sees all of it. */
static int copy_file(int in, int to_dir, const char *to)
{
    char aside[NAME_SIZE + 32];
    _cleanup_fd_ int out = -1;
    int r;

    if (lseek(in, 0, SEEK_SET) < 0) {
        return -errno;
    }
    (void)snprintf(aside, sizeof(aside), "%.64s.%d.tmp", to, (int)getpid());
    (void)unlinkat(to_dir, aside, 0);
    out = openat(to_dir, aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (out < 0) {
        return -errno;
    }
    r = copy_bytes(in, out);
    if (r == 0 && renameat(to_dir, aside, to_dir, to) < 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)unlinkat(to_dir, aside, 0);
    }
    return r;
}

int blob_link_fd(int fd, int to_dir, const char *to)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, path, to_dir, to, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST) {
        return 0;
    }
    return copy_file(fd, to_dir, to);
}

int blob_link(int from_dir, const char *from, int to_dir, const char *to)
{
    _cleanup_fd_ int fd = -1;

    if (linkat(from_dir, from, to_dir, to, 0) == 0 || errno == EEXIST) {
        return 0;
    }
    if (errno != EXDEV && errno != EPERM && errno != EMLINK) {
        return -errno;
    }
    fd = openat(from_dir, from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : copy_file(fd, to_dir, to);
}

/* ---- finding ----------------------------------------------------------------------------------
 */

static int read_record(const BlobCache *cache, const char *name, Json **ret)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(RECORD_BYTES_MAX);
    _cleanup_json_ Json *record = NULL;
    int r = file_read(cache->fd, name, &text, NULL);

    r = r == 0 ? json_parse(buffer_text(&text), text.len, &record, NULL) : r;
    if (r < 0) {
        return r == -ENOMEM ? r : 0;
    }
    if (!is_hex(json_get_string(record, "sha256")) || json_get_int(record, "size", -1) < 0) {
        return 0;
    }
    *ret = TAKE_PTR(record);
    return 1;
}

static int write_record(const BlobCache *cache, const char *key, const Json *record)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(RECORD_BYTES_MAX);
    _cleanup_json_ Json *copy = NULL;
    _cleanup_fd_ int fd = -1;
    char boot[BOOT_ID_MAX], name[NAME_SIZE], aside[NAME_SIZE + 32];
    int r = json_copy(record, &copy);

    r = r == 0 ? json_set_string(copy, "boot", get_boot_id(boot)) : r;
    r = r == 0 ? json_format(copy, &text) : r;
    if (r < 0) {
        return r;
    }
    (void)snprintf(aside, sizeof(aside), "%s.%d.tmp", key, (int)getpid());
    fd = openat(cache->fd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    r = fd < 0 ? -errno : fd_write_all(fd, text.data, text.len);
    if (r == 0 && renameat(cache->fd, aside, cache->fd, name_of(key, ".json", name)) < 0) {
        r = -errno;
    }
    return r;
}

/* Whether the blob is what the record says; 1, 0, or -errno. */
static int check_blob(const BlobCache *cache, const char *key, const char *blob, const Json *record)
{
    _cleanup_fd_ int fd = openat(cache->fd, blob, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const char *boot = json_get_string(record, "boot");
    char now[BOOT_ID_MAX], hex[DIGEST_HEX_SIZE];
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size != json_get_int(record, "size", -1)) {
        return 0;
    }
    if (boot && *boot && strcmp(boot, get_boot_id(now)) == 0) {
        return 1;
    }
    r = digest_fd(fd, hex, NULL, NULL);
    if (r < 0 || strcmp(hex, json_get_string(record, "sha256")) != 0) {
        return MIN(r, 0);
    }
    r = write_record(cache, key, record);
    return r < 0 ? r : 1;
}

static void forget(const BlobCache *cache, const char *record, const char *blob)
{
    (void)unlinkat(cache->fd, record, 0);
    (void)unlinkat(cache->fd, blob, 0);
}

static int find(const BlobCache *cache, const char *key, int dir_fd, const char *name,
                Json **ret_record)
{
    _cleanup_json_ Json *record = NULL;
    char record_name[NAME_SIZE], blob[NAME_SIZE];
    int r = read_record(cache, name_of(key, ".json", record_name), &record);

    if (r <= 0) {
        return r;
    }
    (void)name_of(json_get_string(record, "sha256"), ".blob", blob);
    r = check_blob(cache, key, blob, record);
    if (r == 0) {
        forget(cache, record_name, blob);
    }
    if (r <= 0) {
        return r;
    }
    r = blob_link(cache->fd, blob, dir_fd, name ? name : json_get_string(record, "sha256"));
    if (r < 0) {
        return r == -ENOENT ? 0 : r; /* somebody cleaned up */
    }
    /* Used now: the last that clean-up takes. */
    (void)utimensat(cache->fd, record_name, NULL, AT_SYMLINK_NOFOLLOW);
    (void)utimensat(cache->fd, blob, NULL, AT_SYMLINK_NOFOLLOW);
    *ret_record = TAKE_PTR(record);
    return 1;
}

int blob_cache_find(const BlobCache *cache, const char *key, int dir_fd, const char *name,
                    Json **ret_record, Error *err)
{
    int r = find(cache, key, dir_fd, name, ret_record);

    return r < 0 ? error_set_errno(err, r, "cannot take a blob out of the cache") : r;
}

int blob_cache_add(const BlobCache *cache, const char *key, const Json *record, int dir_fd,
                   const char *name, Error *err)
{
    char blob[NAME_SIZE];
    int r = blob_link(dir_fd, name, cache->fd,
                      name_of(json_get_string(record, "sha256"), ".blob", blob));

    r = r == 0 ? write_record(cache, key, record) : r;
    return r < 0 ? error_set_errno(err, r, "cannot keep a blob in the cache") : 0;
}

/* ---- cleaning up ------------------------------------------------------------------------------
 */

typedef struct Kept {
    char name[NAME_SIZE];
    int64_t used_us, size_bytes;
} Kept;

typedef struct KeptList {
    Kept *items;
    size_t count, allocated;
} KeptList;

static int add_kept(KeptList *list, int dir_fd, const char *name)
{
    struct stat st;
    Kept *kept;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode)) {
        return 0;
    }
    if (list->count == list->allocated) {
        size_t allocated = MAX((size_t)256, list->allocated * 2);
        Kept *items = reallocarray(list->items, allocated, sizeof(*items));

        if (!items) {
            return -ENOMEM;
        }
        list->items = items;
        list->allocated = allocated;
    }
    kept = &list->items[list->count++];
    (void)snprintf(kept->name, sizeof(kept->name), "%.*s", NAME_SIZE - 1, name);
    kept->used_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    kept->size_bytes = st.st_size;
    return 0;
}

static int compare_kept(const void *a, const void *b)
{
    const Kept *x = a, *y = b;

    return (x->used_us > y->used_us) - (x->used_us < y->used_us);
}

/* What was left aside by a process that died has a longer name, and goes with its age as well. */
static int list_kept(const BlobCache *cache, int64_t before_us, KeptList *list)
{
    int fd = fcntl(cache->fd, F_DUPFD_CLOEXEC, 0), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        r = -errno;
        (void)fd_close(fd);
        return r;
    }
    rewinddir(dir);
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
        struct stat st;

        if (strlen(entry->d_name) == NAME_SIZE - 1) {
            r = add_kept(list, cache->fd, entry->d_name);
        } else if (entry->d_name[0] != '.' &&
                   fstatat(cache->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                   (int64_t)st.st_mtim.tv_sec * 1000000 < before_us) {
            (void)unlinkat(cache->fd, entry->d_name, 0);
        }
    }
    (void)closedir(dir);
    return r;
}

int blob_cache_clean(const BlobCache *cache, int64_t now_us, int64_t max_bytes, Error *err)
{
    int64_t before_us = now_us - BLOB_CACHE_DAYS * DAY_US, total = 0;
    KeptList list = {0};
    int r = list_kept(cache, before_us, &list);

    if (r == 0 && list.count > 0) {
        qsort(list.items, list.count, sizeof(*list.items), compare_kept);
    }
    for (size_t i = 0; i < list.count; i++) {
        total += list.items[i].size_bytes;
    }
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        const Kept *kept = &list.items[i];

        if (kept->used_us >= before_us && total <= max_bytes) {
            break; /* those that come are younger */
        }
        total -= kept->size_bytes;
        (void)unlinkat(cache->fd, kept->name, 0);
    }
    free(list.items);
    return r < 0 ? error_set_errno(err, r, "cannot clean up the cache") : 0;
}
