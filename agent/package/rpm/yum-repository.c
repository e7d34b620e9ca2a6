/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/yum-repository.h"

#include "agent/package/repository/retired.h"
#include "agent/package/rpm/yum-metadata.h"
#include "agent/source/process.h"
#include "protocol/artifact/decompress.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PACKAGES "Packages/"
#define REPODATA "repodata/"
#define REPOMD REPODATA "repomd.xml"
#define SIGNATURE REPOMD ".asc"
#define KEY_FILE "RPM-GPG-KEY"
#define RETIRED_FILE ".slipway-retired"

#define REPOMD_BYTES_MAX ((size_t)1 << 20)
#define SIGNATURE_BYTES_MAX ((size_t)64 << 10)

/* In the work directory: a repository without its packages, and the list of them. */
#define WORK "yum.tmp"
#define LIST "packages"

#define CREATEREPO_TIMEOUT_MS ((int64_t)600 * 1000)
#define CREATEREPO_GRACE_MS ((int64_t)5000)

/* What createrepo_c reads of a repository that it adds to. */
static const char *const wanted[] = {"primary", "filelists", "other"};

typedef struct Adding {
    const YumRepository *repository;
    const RpmBuilt *package;
    const char *directory;
    int64_t now_us;
    int work_fd;
    bool is_new; /* nothing is there yet */
    YumIndex before, after;
    YumPackages packages; /* that are there */
    bool *is_dropped;     /* of these */
    char *location;       /* of the new one */
    Buffer repomd;        /* as it will be */
    Buffer signature;
    Retired retired;
} Adding;

static void adding_done(Adding *a)
{
    (void)fd_close(a->work_fd);
    yum_index_done(&a->before);
    yum_index_done(&a->after);
    yum_packages_done(&a->packages);
    free(a->is_dropped);
    free(a->location);
    buffer_done(&a->repomd);
    buffer_done(&a->signature);
    retired_done(&a->retired);
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- what is there ----------------------------------------------------------------------------
 */

/* Whoever could write there must not get our signature under what they wrote. */
static int check_signature(const Adding *a, const Buffer *repomd, Error *err)
{
    _cleanup_buffer_ Buffer signature = BUFFER_INIT(SIGNATURE_BYTES_MAX);
    int r = publish_target_read(a->repository->target, SIGNATURE, &signature, err);

    if (r == 0) {
        return error_set(err, -EKEYREJECTED, "it is not signed, and '" SIGNATURE "' is missing");
    }
    return r < 0 ? r
                 : gpg_verify_detached(a->repository->key, repomd->data, repomd->len,
                                       signature.data, signature.len, err);
}

static int load_index(Adding *a, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(REPOMD_BYTES_MAX);
    int r = publish_target_read(a->repository->target, REPOMD, &text, err);

    a->is_new = r == 0;
    if (r <= 0) {
        return r;
    }
    r = a->repository->key ? check_signature(a, &text, err) : 0;
    r = r == 0 ? yum_index_parse(buffer_text(&text), text.len, &a->before, err) : r;
    if (r < 0) {
        return error_wrap(err, "'" REPOMD "' of '%s'",
                          publish_target_address(a->repository->target));
    }
    return file_replace(a->work_fd, REPOMD, text.data, text.len, 0600, err);
}

/* One of the lists, as repomd.xml says it is. */
static int load_data(Adding *a, const YumData *data, Buffer *text, Error *err)
{
    char sha256[DIGEST_HEX_SIZE];
    int r = publish_target_read(a->repository->target, data->location, text, err);

    if (r < 0) {
        return r;
    }
    if (r == 0 || digest_bytes(text->data, text->len, sha256) < 0 ||
        strcmp(sha256, data->sha256) != 0) {
        return error_set(err, -EBADMSG, "'%s' of '%s' is %s", data->location,
                         publish_target_address(a->repository->target),
                         r == 0 ? "missing" : "not what its repomd.xml says (digest)");
    }
    if (!text_has_prefix(data->location, REPODATA) || strchr(data->location + 9, '/')) {
        return error_set(err, -EBADMSG, "'%s' does not lie in '" REPODATA "'", data->location);
    }
    return file_replace(a->work_fd, data->location, text->data, text->len, 0600, err);
}

static int load_packages(Adding *a, const Buffer *primary, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(PUBLISH_READ_MAX);
    int r = decompress_bytes(primary->data, primary->len, &text, err);

    r = r == 0 ? yum_packages_parse(buffer_text(&text), text.len, &a->packages, err) : r;
    return r < 0 ? error_wrap(err, "the list of packages of '%s'",
                              publish_target_address(a->repository->target))
                 : 0;
}

static int load(Adding *a, Error *err)
{
    int r = load_index(a, err);

    for (size_t i = 0; r == 0 && !a->is_new && i < ARRAY_SIZE(wanted); i++) {
        const YumData *data = yum_index_find(&a->before, wanted[i]);
        _cleanup_buffer_ Buffer text = BUFFER_INIT(PUBLISH_READ_MAX);

        if (!data) {
            return error_set(err, -EBADMSG, "'" REPOMD "' of '%s' names no '%s'",
                             publish_target_address(a->repository->target), wanted[i]);
        }
        r = load_data(a, data, &text, err);
        r = r == 0 && i == 0 ? load_packages(a, &text, err) : r;
    }
    if (r < 0) {
        return r;
    }
    a->is_dropped = calloc(a->packages.count + 1, sizeof(*a->is_dropped));
    return a->is_dropped ? 0 : out_of_memory(err);
}

/* ---- what will be there -----------------------------------------------------------------------
 */

static YumPackage as_listed(const RpmBuilt *built)
{
    return (YumPackage){.name = built->name,
                        .arch = built->arch,
                        .epoch = built->epoch,
                        .version = built->version,
                        .release = built->release};
}

static bool is_same_line(const YumPackage *a, const YumPackage *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->arch, b->arch) == 0;
}

/* YUM_PUBLISHED: it is not there yet. */
static int compare(const Adding *a, YumOutcome *ret, Error *err)
{
    const YumPackage new = as_listed(a->package);

    *ret = YUM_PUBLISHED;
    for (size_t i = 0; i < a->packages.count; i++) {
        const YumPackage *there = &a->packages.list[i];

        if (strcmp(there->location, a->location) != 0 &&
            (!is_same_line(there, &new) || yum_package_compare(there, &new) != 0)) {
            continue;
        }
        if (strcmp(there->sha256, a->package->sha256) != 0) {
            return error_set(err, -EEXIST,
                             "'%s' is in '%s' already, with other bytes (sha256 %.12s…, these have "
                             "%.12s…): a version is published once; a new commit or another "
                             "`package.rpm.release` makes a new one",
                             a->package->file, publish_target_address(a->repository->target),
                             there->sha256, a->package->sha256);
        }
        *ret = YUM_UNCHANGED;
    }
    return 0;
}

/* How many of the packages of that line are newer than the one at `i`; of equals the later one is.
 */
static size_t count_newer(const YumPackages *packages, size_t i)
{
    size_t n = 0;

    for (size_t k = 0; k < packages->count; k++) {
        if (k != i && is_same_line(&packages->list[k], &packages->list[i])) {
            int r = yum_package_compare(&packages->list[k], &packages->list[i]);

            n += r > 0 || (r == 0 && k > i);
        }
    }
    return n;
}

/* The new one stays, also where it is older than all others. */
static void choose_dropped(Adding *a)
{
    const YumPackage new = as_listed(a->package);
    size_t keep = a->repository->keep;

    for (size_t i = 0; keep > 0 && i < a->packages.count; i++) {
        a->is_dropped[i] =
            is_same_line(&a->packages.list[i], &new) && count_newer(&a->packages, i) >= keep - 1;
    }
}

static int write_list(Adding *a, Error *err)
{
    _cleanup_buffer_ Buffer list = BUFFER_INIT(PUBLISH_READ_MAX);
    int r = 0;

    for (size_t i = 0; r == 0 && i < a->packages.count; i++) {
        if (!a->is_dropped[i]) {
            r = buffer_append_format(&list, "%s\n", a->packages.list[i].location);
        }
    }
    r = r == 0 ? buffer_append_format(&list, "%s\n", a->location) : r;
    return r < 0 ? out_of_memory(err)
                 : file_replace(a->work_fd, LIST, list.data, list.len, 0600, err);
}

static int link_package(Adding *a, Error *err)
{
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/%s", a->directory, a->package->file) < 0) {
        path = NULL;
        return out_of_memory(err);
    }
    if (mkdirat(a->work_fd, PACKAGES, 0700) < 0 || symlinkat(path, a->work_fd, a->location) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s'", a->location);
    }
    return 0;
}

/* --skip-stat: an entry holds for its name, whether the package is here or not. */
static int run_createrepo(const Adding *a, Error *err)
{
    static const char *const argv[] = {
        "createrepo_c", "--quiet", "--update", "--skip-stat", "--no-database", "--workers", "1",
        "--pkglist",    LIST,      ".",        NULL,
    };
    _cleanup_buffer_ Buffer complaints = BUFFER_INIT(PROCESS_COMPLAINTS_MAX), text = BUFFER_INIT(0);
    _cleanup_free_ char *directory = NULL;
    ProcessExit how;
    int r;

    if (asprintf(&directory, "%s/" WORK, a->repository->work_directory) < 0) {
        directory = NULL;
        return out_of_memory(err);
    }
    r = process_run(&(ProcessOptions){.argv = argv,
                                      .directory = directory,
                                      .timeout_ms = CREATEREPO_TIMEOUT_MS,
                                      .grace_ms = CREATEREPO_GRACE_MS,
                                      .complaints = &complaints},
                    &how, err);
    if (r == -ENOENT) {
        return error_set(err, r, "createrepo_c is not on this host, and a yum repository needs it");
    }
    if (r == 0 && !process_exit_is_success(&how)) {
        r = process_exit_describe(&how, CREATEREPO_TIMEOUT_MS, &text);
        r = error_set(err, r < 0 ? r : -EIO, "createrepo_c %s: %s", buffer_text(&text),
                      buffer_text(&complaints));
    }
    return r;
}

static int make_index(Adding *a, Error *err)
{
    int r = write_list(a, err);

    r = r == 0 ? link_package(a, err) : r;
    r = r == 0 ? run_createrepo(a, err) : r;
    a->repomd.limit = REPOMD_BYTES_MAX;
    a->signature.limit = SIGNATURE_BYTES_MAX;
    r = r == 0 ? file_read(a->work_fd, REPOMD, &a->repomd, err) : r;
    r = r == 0 ? yum_index_parse(buffer_text(&a->repomd), a->repomd.len, &a->after, err) : r;
    return r == 0 && a->repository->key ? gpg_detach_sign(a->repository->key, a->repomd.data,
                                                          a->repomd.len, &a->signature, err)
                                        : r;
}

/* ---- what goes --------------------------------------------------------------------------------
 */

static bool is_named(const YumIndex *index, const char *location)
{
    for (size_t i = 0; i < index->count; i++) {
        if (strcmp(index->list[i].location, location) == 0) {
            return true;
        }
    }
    return false;
}

/* What repomd.xml names now is not to be removed, whatever an earlier publication that was killed
 * has put on the list. */
static int keep_what_is_named(Adding *a)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < a->before.count; i++) {
        r = retired_keep(&a->retired, a->before.list[i].location);
    }
    for (size_t i = 0; r == 0 && i < a->packages.count; i++) {
        r = retired_keep(&a->retired, a->packages.list[i].location);
    }
    return r;
}

/* What it will no longer name, and what is about to be written. */
static int retire(Adding *a)
{
    int r = retired_add(&a->retired, a->location, a->now_us);

    for (size_t i = 0; r == 0 && i < a->before.count; i++) {
        const char *location = a->before.list[i].location;

        r = is_named(&a->after, location) ? 0 : retired_add(&a->retired, location, a->now_us);
    }
    for (size_t i = 0; r == 0 && i < a->packages.count; i++) {
        if (a->is_dropped[i]) {
            r = retired_add(&a->retired, a->packages.list[i].location, a->now_us);
        }
    }
    for (size_t i = 0; r == 0 && i < a->after.count; i++) {
        const char *location = a->after.list[i].location;

        r = is_named(&a->before, location) ? 0 : retired_add(&a->retired, location, a->now_us);
    }
    return r;
}

static int update_retired(Adding *a, Error *err)
{
    int r = retired_read(a->repository->target, RETIRED_FILE, &a->retired, err);

    if (r < 0) {
        return r;
    }
    r = keep_what_is_named(a);
    r = r == 0 ? retire(a) : r;
    return r < 0 ? out_of_memory(err)
                 : retired_sweep(a->repository->target, &a->retired, a->now_us, err);
}

/* ---- writing, in the order in which readers need it -------------------------------------------
 */

/* From the work directory, where the package is a link to it. */
static int put_file(Adding *a, const char *name, Error *err)
{
    _cleanup_fd_ int fd = openat(a->work_fd, name, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return error_set_errno(err, -errno, "cannot read '%s'", name);
    }
    return publish_target_put_file(a->repository->target, name, fd, st.st_size, err);
}

/* For `gpgkey=`. Once: an administrator may have put another there, or more than one. */
static int put_key(Adding *a, Error *err)
{
    _cleanup_buffer_ Buffer there = BUFFER_INIT(0), key = BUFFER_INIT(0);
    int r = publish_target_read(a->repository->target, KEY_FILE, &there, err);

    if (r != 0) {
        return r < 0 ? r : 0;
    }
    r = gpg_export(a->repository->key, &key, err);
    return r == 0 ? publish_target_put(a->repository->target, KEY_FILE, key.data, key.len, err) : r;
}

/* The format gives repomd.xml and its signature no common name, so whoever reads between the two
 * finds them apart, and tries again. */
static int put_index(Adding *a, Error *err)
{
    PublishTarget *target = a->repository->target;
    int r = publish_target_keep_lock(target, err);

    if (r == 0 && a->repository->key) {
        r = publish_target_put(target, SIGNATURE, a->signature.data, a->signature.len, err);
    }
    return r == 0 ? publish_target_put(target, REPOMD, a->repomd.data, a->repomd.len, err) : r;
}

static int publish(Adding *a, Error *err)
{
    int r = make_index(a, err);

    r = r == 0 ? update_retired(a, err) : r;
    r = r == 0 && a->repository->key ? put_key(a, err) : r;
    r = r == 0 ? put_file(a, a->location, err) : r;
    for (size_t i = 0; r == 0 && i < a->after.count; i++) {
        const char *location = a->after.list[i].location;

        r = is_named(&a->before, location) ? 0 : put_file(a, location, err);
    }
    return r == 0 ? put_index(a, err) : r;
}

static int open_work(const YumRepository *repository, int parent_fd, Adding *a, Error *err)
{
    int r = file_remove_tree(parent_fd, WORK, err);

    if (r < 0) {
        return r;
    }
    if (mkdirat(parent_fd, WORK, 0700) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s/" WORK "'",
                               repository->work_directory);
    }
    a->work_fd = openat(parent_fd, WORK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a->work_fd < 0 || mkdirat(a->work_fd, REPODATA, 0700) < 0) {
        return error_set_errno(err, -errno, "'%s/" WORK "'", repository->work_directory);
    }
    return 0;
}

static int add(Adding *a, YumOutcome *ret, Error *err)
{
    YumOutcome outcome;
    int r;

    if (asprintf(&a->location, PACKAGES "%s", a->package->file) < 0) {
        a->location = NULL;
        return out_of_memory(err);
    }
    r = load(a, err);
    r = r == 0 ? compare(a, &outcome, err) : r;
    if (r == 0 && outcome == YUM_PUBLISHED) {
        choose_dropped(a);
        r = publish(a, err);
    }
    if (r == 0) {
        *ret = outcome;
    }
    return r;
}

int yum_repository_add(const YumRepository *repository, const RpmBuilt *package,
                       const char *directory, int64_t now_us, YumOutcome *ret, Error *err)
{
    _cleanup_fd_ int parent_fd =
        open(repository->work_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(adding_done) Adding a = {.repository = repository,
                                       .package = package,
                                       .directory = directory,
                                       .now_us = now_us,
                                       .work_fd = -1};
    int r;

    if (parent_fd < 0) {
        return error_set_errno(err, -errno, "'%s'", repository->work_directory);
    }
    r = open_work(repository, parent_fd, &a, err);
    r = r == 0 ? add(&a, ret, err) : r;
    (void)!file_remove_tree(parent_fd, WORK, NULL);
    return r;
}
