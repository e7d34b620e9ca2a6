/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/base-pull.h"

#include "agent/package/registry/reference.h"
#include "agent/runners/package/registry-access.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "bases"
#define LOCK "lock"

/* A layout while it is being brought: another attempt goes on with it. */
#define PART ".part"

#define NAME_BYTES 128
#define DAY_S ((int64_t)24 * 3600)

/* One at a time: what two want at once is brought once. */
typedef struct Store {
    int fd, lock_fd;
} Store;

static void store_done(Store *store)
{
    (void)fd_close(store->lock_fd);
    (void)fd_close(store->fd);
}

static int store_open(const char *cache_directory, Store *store, Error *err)
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
    store->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    store->lock_fd =
        store->fd < 0 ? -1 : openat(store->fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s'", path);
    }
    while (flock(store->lock_fd, LOCK_EX) < 0) {
        if (errno != EINTR) {
            return error_set_errno(err, -errno, "cannot lock '%s'", path);
        }
    }
    return 0;
}

/* ---- what goes --------------------------------------------------------------------------------
 */

typedef struct Kept {
    char name[NAME_BYTES];
    int64_t used_s, size_bytes;
} Kept;

#define KEPT_MAX 256

static size_t list_kept(const Store *store, Kept *kept)
{
    int fd = fcntl(store->fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    size_t n = 0;

    if (!dir) {
        (void)fd_close(fd);
        return 0;
    }
    rewinddir(dir);
    for (struct dirent *entry; n < KEPT_MAX && (entry = readdir(dir));) {
        struct stat st;

        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= NAME_BYTES ||
            fstatat(store->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISDIR(st.st_mode)) {
            continue;
        }
        (void)strcpy(kept[n].name, entry->d_name);
        kept[n].used_s = st.st_mtim.tv_sec;
        kept[n++].size_bytes = file_tree_size(store->fd, entry->d_name);
    }
    (void)closedir(dir);
    return n;
}

static int compare_kept(const void *a, const void *b)
{
    const Kept *x = a, *y = b;

    return (x->used_s > y->used_s) - (x->used_s < y->used_s);
}

/* The one of `digest` is in use. */
static void clean_up(const Store *store, const char *hex)
{
    _cleanup_free_ Kept *kept = calloc(KEPT_MAX, sizeof(*kept));
    int64_t now_s = clock_wall_us() / 1000000, total = 0;
    size_t n = kept ? list_kept(store, kept) : 0;

    if (n > 0) {
        qsort(kept, n, sizeof(*kept), compare_kept);
    }
    for (size_t i = 0; i < n; i++) {
        total += kept[i].size_bytes;
    }
    for (size_t i = 0; i < n; i++) {
        _cleanup_error_ Error problem = {0};

        if (strcmp(kept[i].name, hex) == 0 ||
            (kept[i].used_s >= now_s - BASE_PULL_DAYS * DAY_S && total <= BASE_PULL_BYTES_MAX)) {
            continue;
        }
        total -= kept[i].size_bytes;
        if (file_remove_tree(store->fd, kept[i].name, &problem) < 0) {
            log_warning("%s, going on", error_text(&problem));
        }
    }
}

/* ---- what comes -------------------------------------------------------------------------------
 */

typedef struct Pull {
    Action *action;
    RegistryAccess access;
    bool is_open; /* the access; what is there already needs none */
    Reference reference;
    char *by_digest; /* the reference with nothing that can be moved */
} Pull;

static void pull_done(Pull *pull)
{
    if (pull->is_open) {
        registry_access_done(&pull->access);
    }
    reference_done(&pull->reference);
    free(pull->by_digest);
}

static int pull_open(Pull *pull, Error *err)
{
    int r = pull->is_open ? 0 : registry_access_init(&pull->access, pull->action, err);

    pull->is_open = true;
    return r;
}

/* What the name stands for today. */
static int resolve(Pull *pull, const char *text, char ret_digest[static OCI_DIGEST_SIZE],
                   Error *err)
{
    _cleanup_buffer_ Buffer name = BUFFER_INIT(0);
    int r = reference_parse(text, &pull->reference, err);

    if (r < 0) {
        return r;
    }
    if (pull->reference.digest) {
        (void)snprintf(ret_digest, OCI_DIGEST_SIZE, "%s", pull->reference.digest);
    } else {
        r = pull_open(pull, err);
        r = r == 0 ? registry_resolve(pull->access.client, text, ret_digest, err) : r;
    }
    if (r < 0) {
        return r;
    }
    if (asprintf(&pull->by_digest, "%s/%s@%s", pull->reference.host, pull->reference.repository,
                 ret_digest) < 0) {
        pull->by_digest = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

/* "linux/arm/v7" → "linux-arm-v7" */
static void name_platform(const char *platform, char name[static NAME_BYTES])
{
    (void)snprintf(name, NAME_BYTES, "%s", platform);
    for (char *p = name; *p; p++) {
        *p = *p == '/' ? '-' : *p;
    }
}

static int bring(Pull *pull, int base_fd, const char *platform, const char *name, Error *err)
{
    char part[NAME_BYTES + sizeof(PART)], digest[OCI_DIGEST_SIZE];
    _cleanup_fd_ int fd = -1;
    int r;

    if (file_exists(base_fd, name)) {
        return 0;
    }
    r = report_phase(&pull->action->report, "base", pull->by_digest);
    r = r < 0 ? error_set_errno(err, r, "cannot report") : pull_open(pull, err);
    if (r < 0) {
        return r;
    }
    (void)snprintf(part, sizeof(part), "%s" PART, name);
    if (mkdirat(base_fd, part, 0700) < 0 && errno != EEXIST) {
        return error_set_errno(err, -errno, "cannot make '%s'", part);
    }
    fd = openat(base_fd, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s'", part);
    }
    log_info("bringing '%s' for %s", pull->by_digest, platform);
    r = registry_pull_layout(pull->access.client, pull->by_digest, platform, fd, digest, err);
    if (r == 0 && renameat(base_fd, part, base_fd, name) < 0) {
        r = error_set_errno(err, -errno, "cannot rename '%s'", part);
    }
    return r;
}

static int bring_all(Pull *pull, const Json *platforms, PackageBase *base, Error *err)
{
    const OciPlatform host = oci_platform_of_host();
    size_t n = MAX(json_length(platforms), (size_t)1);
    char own[NAME_BYTES], name[NAME_BYTES];

    (void)snprintf(own, sizeof(own), "%s/%s", host.os, host.architecture);
    base->layouts = calloc(n + 1, sizeof(*base->layouts));
    for (size_t i = 0; base->layouts && i < n; i++) {
        const char *platform = platforms ? json_as_string(json_at(platforms, i)) : own;
        int r;

        name_platform(platform, name);
        r = bring(pull, base->fd, platform, name, err);
        if (r < 0) {
            return r;
        }
        base->layouts[i] = strdup(name);
        if (!base->layouts[i]) {
            return error_set(err, -ENOMEM, "out of memory");
        }
    }
    return base->layouts ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int base_pull(Action *action, const char *reference, const Json *platforms, PackageBase *base,
              char ret_digest[static OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_(store_done) Store store = {.fd = -1, .lock_fd = -1};
    _cleanup_(pull_done) Pull pull = {.action = action};
    const char *hex;
    int r = resolve(&pull, reference, ret_digest, err);

    r = r == 0 ? store_open(action->spec.cache_directory, &store, err) : r;
    if (r < 0) {
        return r;
    }
    hex = ret_digest + strlen(OCI_DIGEST_PREFIX);
    if (mkdirat(store.fd, hex, 0700) < 0 && errno != EEXIST) {
        return error_set_errno(err, -errno, "cannot make '" DIRECTORY "/%s'", hex);
    }
    base->fd = openat(store.fd, hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base->fd < 0) {
        return error_set_errno(err, -errno, "cannot open '" DIRECTORY "/%s'", hex);
    }
    r = bring_all(&pull, platforms, base, err);
    if (r < 0) {
        return r;
    }
    (void)futimens(base->fd, NULL); /* used now: the last to go */
    clean_up(&store, hex);
    base->name = reference;
    base->digest = ret_digest;
    return 0;
}
