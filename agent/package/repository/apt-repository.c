/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/apt-repository.h"

#include "agent/package/repository/apt-release.h"
#include "agent/package/repository/packages-index.h"
#include "agent/package/repository/retired.h"
#include "protocol/artifact/archive.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define RELEASE_BYTES_MAX ((size_t)4 << 20)
#define KEY_FILE "archive-key.asc"
#define RETIRED_FILE ".slipway-retired"
#define GZIP_LEVEL 6
#define DAY_SECONDS ((int64_t)24 * 3600)

/* The two forms of an index, with what they add to its name. */
typedef enum IndexForm {
    INDEX_PLAIN,
    INDEX_GZIP,
    _INDEX_FORM_MAX,
} IndexForm;

static const char *const index_suffixes[_INDEX_FORM_MAX] = {"", ".gz"};

typedef struct Adding {
    const AptRepository *repository;
    const AptPackage *package;
    int64_t now_us;
    bool is_new; /* nothing is there yet */
    AptRelease release;
    Buffer packages; /* the text of the index as it is there */
    PackagesIndex index;
    Buffer forms[_INDEX_FORM_MAX]; /* as it will be */
    Retired retired;
    char *pool_name;
} Adding;

static void adding_done(Adding *a)
{
    apt_release_done(&a->release);
    buffer_done(&a->packages);
    packages_index_done(&a->index);
    for (size_t i = 0; i < _INDEX_FORM_MAX; i++) {
        buffer_done(&a->forms[i]);
    }
    retired_done(&a->retired);
    free(a->pool_name);
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- names ------------------------------------------------------------------------------------
 */

/* "dists/SUITE/", then whatever. The caller's. */
static char *in_suite(const Adding *a, const char *name)
{
    char *text = NULL;

    return asprintf(&text, "dists/%s/%s", a->repository->suite, name) < 0 ? NULL : text;
}

/* As Release names it: "main/binary-amd64/Packages". */
static char *index_name(const Adding *a, IndexForm form)
{
    char *text = NULL;

    return asprintf(&text, "%s/binary-%s/Packages%s", a->repository->component,
                    a->package->architecture, index_suffixes[form]) < 0
               ? NULL
               : text;
}

/* Where the file of that name in Release stays under its digest. */
static char *by_hash_name(const Adding *a, const AptReleaseFile *file)
{
    const char *slash = strrchr(file->name, '/');
    char *text = NULL;

    return asprintf(&text, "dists/%s/%.*s/by-hash/SHA256/%s", a->repository->suite,
                    slash ? (int)(slash - file->name) : 1, slash ? file->name : ".",
                    file->sha256) < 0
               ? NULL
               : text;
}

/* As Debian does it, for people who look: pool/main/g/greeter/, pool/main/libf/libfoo/. */
static int make_pool_name(Adding *a, Error *err)
{
    const char *name = a->package->name;
    int prefix = text_has_prefix(name, "lib") && name[3] ? 4 : 1;

    if (asprintf(&a->pool_name, "pool/%s/%.*s/%s/%s", a->repository->component, prefix, name, name,
                 a->package->file_name) < 0) {
        a->pool_name = NULL;
        return out_of_memory(err);
    }
    return 0;
}

/* ---- what is there ----------------------------------------------------------------------------
 */

static int load_release(Adding *a, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(RELEASE_BYTES_MAX);
    _cleanup_buffer_ Buffer signed_text = BUFFER_INIT(RELEASE_BYTES_MAX);
    _cleanup_free_ char *name = in_suite(a, "InRelease");
    int r =
        name ? publish_target_read(a->repository->target, name, &text, err) : out_of_memory(err);

    a->is_new = r == 0;
    if (r <= 0) {
        return r;
    }
    /* Whoever could write there must not get our signature under what they wrote. */
    r = gpg_open_clearsigned(&a->repository->key, text.data, text.len, &signed_text, err);
    r = r == 0 ? apt_release_parse(buffer_text(&signed_text), signed_text.len, &a->release, err)
               : r;
    return r < 0 ? error_wrap(err, "'%s' of '%s'", name,
                              publish_target_address(a->repository->target))
                 : 0;
}

static int read_index(Adding *a, const AptReleaseFile *file, const char *name, Error *err)
{
    char sha256[DIGEST_HEX_SIZE];
    int r;

    buffer_clear(&a->packages);
    r = publish_target_read(a->repository->target, name, &a->packages, err);
    if (r <= 0) {
        return r;
    }
    if (digest_bytes(a->packages.data, a->packages.len, sha256) < 0) {
        return error_set(err, -EIO, "cannot digest '%s'", name);
    }
    return strcmp(sha256, file->sha256) == 0;
}

/* Of the generation that InRelease names: what lies at the plain name may be of a publication that
 * was killed before its end. */
static int load_packages(Adding *a, Error *err)
{
    _cleanup_free_ char *name = index_name(a, INDEX_PLAIN), *plain = NULL, *by_hash = NULL;
    const AptReleaseFile *file = name ? apt_release_find(&a->release, name) : NULL;
    int r;

    if (!name) {
        return out_of_memory(err);
    }
    if (!file) {
        return 0; /* the first of its architecture */
    }
    plain = in_suite(a, name);
    by_hash = by_hash_name(a, file);
    if (!plain || !by_hash) {
        return out_of_memory(err);
    }
    r = read_index(a, file, by_hash, err);
    r = r == 0 ? read_index(a, file, plain, err) : r;
    if (r == 0) {
        r = error_set(err, -EBADMSG,
                      "'%s' of '%s' is not what its InRelease says (size and digest)", plain,
                      publish_target_address(a->repository->target));
    }
    if (r < 0) {
        return r;
    }
    r = packages_index_parse(buffer_text(&a->packages), a->packages.len, &a->index, err);
    return r < 0 ? error_wrap(err, "'%s'", plain) : 0;
}

/* APT_PUBLISHED: it is not there yet. */
static int compare(const Adding *a, AptOutcome *ret, Error *err)
{
    const AptPackage *package = a->package;
    const PackagesStanza *there =
        packages_index_find(&a->index, package->name, package->version, package->architecture);

    if (there && strcmp(there->sha256, package->sha256) != 0) {
        return error_set(err, -EEXIST,
                         "%s %s (%s) is in '%s' already, with other bytes (sha256 %.12s…, these "
                         "have %.12s…): a version is published once; a new commit or another "
                         "`package.deb.revision` makes a new one",
                         package->name, package->version, package->architecture,
                         publish_target_address(a->repository->target), there->sha256,
                         package->sha256);
    }
    *ret = there ? APT_UNCHANGED : APT_PUBLISHED;
    return 0;
}

/* An index that runs out is signed anew before half of its time is over. */
static bool is_running_out(const Adding *a)
{
    int days = a->repository->valid_days;

    return (days > 0) != (a->release.valid_until > 0) ||
           (days > 0 && a->release.valid_until - a->now_us / 1000000 < days * DAY_SECONDS / 2);
}

/* ---- what will be there -----------------------------------------------------------------------
 */

static int retire(Adding *a, const char *name, Error *err)
{
    return name && retired_add(&a->retired, name, a->now_us) == 0 ? 0 : out_of_memory(err);
}

/* The stanzas that stay, then the new one, which stays also where it is older than all others. */
static int make_plain_index(Adding *a, Error *err)
{
    const AptPackage *package = a->package;
    Buffer *text = &a->forms[INDEX_PLAIN];
    size_t keep = a->repository->keep;
    _cleanup_free_ bool *is_dropped = calloc(a->index.count + 1, sizeof(*is_dropped));
    int r = is_dropped ? 0 : out_of_memory(err);

    text->limit = PUBLISH_READ_MAX;
    if (r == 0 && keep == 1) {
        for (size_t i = 0; i < a->index.count; i++) {
            is_dropped[i] = strcmp(a->index.stanzas[i].package, package->name) == 0;
        }
    } else if (r == 0 && keep > 1) {
        packages_index_choose(&a->index, package->name, keep - 1, is_dropped);
    }
    for (size_t i = 0; r == 0 && i < a->index.count; i++) {
        const PackagesStanza *stanza = &a->index.stanzas[i];

        if (is_dropped[i]) {
            r = retire(a, stanza->filename, err);
        } else if (buffer_append(text, a->packages.data + stanza->start, stanza->len) < 0) {
            r = out_of_memory(err);
        }
    }
    if (r == 0 && packages_index_append(text, package->control, a->pool_name, package->size_bytes,
                                        package->sha256) < 0) {
        r = out_of_memory(err);
    }
    return r;
}

/* The generation of an index that Release names now is retired, the next one is announced. */
static int replace_form(Adding *a, IndexForm form, Error *err)
{
    _cleanup_free_ char *name = index_name(a, form), *before = NULL, *after = NULL;
    const Buffer *text = &a->forms[form];
    const AptReleaseFile *file = name ? apt_release_find(&a->release, name) : NULL;
    int r = 0;

    if (!name) {
        return out_of_memory(err);
    }
    if (file) {
        before = by_hash_name(a, file);
        r = retire(a, before, err);
    }
    r = r == 0 ? apt_release_set(&a->release, name, text->data, text->len, err) : r;
    if (r < 0) {
        return r;
    }
    after = by_hash_name(a, apt_release_find(&a->release, name));
    return retire(a, after, err);
}

/* What the index names as it is now is not to be removed, whatever an earlier publication that was
 * killed has put on the list. */
static int keep_what_is_named(Adding *a, Error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < a->release.count; i++) {
        _cleanup_free_ char *name = by_hash_name(a, &a->release.files[i]);

        r = name ? retired_keep(&a->retired, name) : -ENOMEM;
    }
    for (size_t i = 0; r == 0 && i < a->index.count; i++) {
        r = retired_keep(&a->retired, a->index.stanzas[i].filename);
    }
    return r < 0 ? out_of_memory(err) : 0;
}

static int prepare(Adding *a, Error *err)
{
    int r = retired_read(a->repository->target, RETIRED_FILE, &a->retired, err);

    r = r == 0 ? keep_what_is_named(a, err) : r;
    r = r == 0 ? make_plain_index(a, err) : r;
    r = r == 0 ? archive_gzip_bytes(a->forms[INDEX_PLAIN].data, a->forms[INDEX_PLAIN].len,
                                    GZIP_LEVEL, &a->forms[INDEX_GZIP], err)
               : r;
    for (IndexForm form = 0; r == 0 && form < _INDEX_FORM_MAX; form++) {
        r = replace_form(a, form, err);
    }
    r = r == 0 ? retire(a, a->pool_name, err) : r;
    return r == 0 ? retired_sweep(a->repository->target, &a->retired, a->now_us, err) : r;
}

/* ---- writing, in the order in which readers need it -------------------------------------------
 */

static int put_form(Adding *a, IndexForm form, bool is_by_hash, Error *err)
{
    _cleanup_free_ char *name = index_name(a, form), *place = NULL;

    if (name) {
        place =
            is_by_hash ? by_hash_name(a, apt_release_find(&a->release, name)) : in_suite(a, name);
    }
    return place ? publish_target_put(a->repository->target, place, a->forms[form].data,
                                      a->forms[form].len, err)
                 : out_of_memory(err);
}

static int put_text(Adding *a, const char *name, const Buffer *text, Error *err)
{
    _cleanup_free_ char *place = in_suite(a, name);

    return place ? publish_target_put(a->repository->target, place, text->data, text->len, err)
                 : out_of_memory(err);
}

/* For `signed-by`. Once: an administrator may have put another there, or more than one. */
static int put_key(Adding *a, Error *err)
{
    _cleanup_buffer_ Buffer there = BUFFER_INIT(0), key = BUFFER_INIT(0);
    int r = publish_target_read(a->repository->target, KEY_FILE, &there, err);

    if (r != 0) {
        return r < 0 ? r : 0;
    }
    r = gpg_export(&a->repository->key, &key, err);
    return r == 0 ? publish_target_put(a->repository->target, KEY_FILE, key.data, key.len, err) : r;
}

/* Signed first, so that a key that does not do is found before anything is written. */
static int sign_release(Adding *a, Buffer *release, Buffer *in_release, Error *err)
{
    const AptRepository *repository = a->repository;

    if (apt_release_format(&a->release,
                           &(AptReleaseFields){.origin = repository->origin,
                                               .label = repository->label,
                                               .suite = repository->suite,
                                               .now = a->now_us / 1000000,
                                               .valid_days = repository->valid_days},
                           release) < 0) {
        return out_of_memory(err);
    }
    return gpg_clearsign(&repository->key, release->data, release->len, in_release, err);
}

static int put_release(Adding *a, const Buffer *release, const Buffer *in_release, Error *err)
{
    int r = publish_target_keep_lock(a->repository->target, err);

    r = r == 0 ? put_text(a, "Release", release, err) : r;
    return r == 0 ? put_text(a, "InRelease", in_release, err) : r;
}

static int publish(Adding *a, Error *err)
{
    _cleanup_buffer_ Buffer release = BUFFER_INIT(0), in_release = BUFFER_INIT(RELEASE_BYTES_MAX);
    const AptPackage *package = a->package;
    int r = prepare(a, err);

    r = r == 0 ? sign_release(a, &release, &in_release, err) : r;
    r = r == 0 ? put_key(a, err) : r;
    r = r == 0 ? publish_target_put_file(a->repository->target, a->pool_name, package->fd,
                                         package->size_bytes, err)
               : r;
    for (IndexForm form = 0; r == 0 && form < _INDEX_FORM_MAX; form++) {
        r = put_form(a, form, true, err);
    }
    for (IndexForm form = 0; r == 0 && form < _INDEX_FORM_MAX; form++) {
        r = put_form(a, form, false, err);
    }
    return r == 0 ? put_release(a, &release, &in_release, err) : r;
}

static int refresh(Adding *a, Error *err)
{
    _cleanup_buffer_ Buffer release = BUFFER_INIT(0), in_release = BUFFER_INIT(RELEASE_BYTES_MAX);
    int r = sign_release(a, &release, &in_release, err);

    return r == 0 ? put_release(a, &release, &in_release, err) : r;
}

int apt_repository_add(const AptRepository *repository, const AptPackage *package, int64_t now_us,
                       AptOutcome *ret, Error *err)
{
    _cleanup_(adding_done)
        Adding a = {.repository = repository, .package = package, .now_us = now_us};
    AptOutcome outcome = APT_PUBLISHED;
    int r = make_pool_name(&a, err);

    r = r == 0 ? load_release(&a, err) : r;
    r = r == 0 && !a.is_new ? load_packages(&a, err) : r;
    r = r == 0 ? compare(&a, &outcome, err) : r;
    if (r == 0 && outcome == APT_PUBLISHED) {
        r = publish(&a, err);
    } else if (r == 0 && is_running_out(&a)) {
        log_debug("the index of '%s' runs out soon", publish_target_address(repository->target));
        r = refresh(&a, err);
    }
    if (r == 0) {
        *ret = outcome;
    }
    return r;
}
