/* SPDX-License-Identifier: MIT */
#include "agent/deploy/releases.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)8 << 20)
#define NUMBER_MAX 4000000000u
/* As short as git shows them; a shorter one is no name of anything. */
#define COMMIT_DIGITS_MIN 7
/* Of a list for people. */
#define DESCRIBED_MAX 100
#define DIRECTORY_MODE 0700
#define FILE_MODE 0600

const char *releases_name(unsigned number, char name[static RELEASES_NAME_SIZE])
{
    (void)snprintf(name, RELEASES_NAME_SIZE, "%06u", number);
    return name;
}

void releases_done(Releases *releases)
{
    for (size_t i = 0; i < releases->count; i++) {
        (void)json_unref(releases->items[i].record);
    }
    free(releases->items);
    free(releases->path);
    free(releases->environment);
    (void)fd_close(releases->dir_fd);
    *releases = RELEASES_INIT;
}

int releases_open(const char *directory, const char *environment, Releases *ret, Error *err)
{
    _cleanup_releases_ Releases releases = RELEASES_INIT;
    int r;

    releases.environment = strdup(environment);
    if (!releases.environment || asprintf(&releases.path, "%s/%s", directory, environment) < 0) {
        releases.path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = file_make_dirs(releases.path, DIRECTORY_MODE, err);
    if (r < 0) {
        return r;
    }
    releases.dir_fd = open(releases.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (releases.dir_fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s'", releases.path);
    }
    *ret = releases;
    releases = RELEASES_INIT;
    return 0;
}

/* ---- files of a release -----------------------------------------------------------------------
 */

static int file_path(unsigned number, const char *file, char **ret)
{
    char name[RELEASES_NAME_SIZE];

    if (asprintf(ret, "%s/%s", releases_name(number, name), file) < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    return 0;
}

int releases_read_file(const Releases *releases, unsigned number, const char *file, Json **ret,
                       Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(FILE_MAX);
    _cleanup_free_ char *path = NULL;
    int r = file_path(number, file, &path);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = file_read(releases->dir_fd, path, &text, err);
    r = r < 0 ? r : json_parse(buffer_text(&text), text.len, ret, err);
    return r < 0 ? error_wrap(err, "release %s/%s", releases->path, path) : 0;
}

int releases_write_file(const Releases *releases, unsigned number, const char *file,
                        const Json *content, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(FILE_MAX);
    _cleanup_free_ char *path = NULL;
    int r = file_path(number, file, &path);

    r = r < 0 ? r : json_format_pretty(content, &text);
    r = r < 0 ? r : buffer_append_text(&text, "\n");
    if (r < 0) {
        return error_set_errno(err, r, "cannot write %s of release %06u", file, number);
    }
    return file_replace(releases->dir_fd, path, text.data, text.len, FILE_MODE, err);
}

int releases_save(const Releases *releases, const KeptRelease *release, Error *err)
{
    return releases_write_file(releases, release->number, RELEASES_RECORD, release->record, err);
}

/* ---- all of them ------------------------------------------------------------------------------
 */

/* The number that a directory's name says; 0: it is no release's. */
static unsigned number_of(const char *name)
{
    char again[RELEASES_NAME_SIZE];
    int64_t number = 0;

    if (text_parse_int(name, 1, NUMBER_MAX, &number) < 0 ||
        strcmp(releases_name((unsigned)number, again), name) != 0) {
        return 0;
    }
    return (unsigned)number;
}

static bool has_record(const Releases *releases, const char *name)
{
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/%s", name, RELEASES_RECORD) < 0) {
        path = NULL;
        return true; /* better one too many than one lost */
    }
    return file_exists(releases->dir_fd, path);
}

typedef int (*Visit)(Releases *releases, const char *name, unsigned number, void *userdata,
                     Error *err);

static int visit_all(Releases *releases, Visit visit, void *userdata, Error *err)
{
    int r = 0, fd = openat(releases->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        r = error_set_errno(err, -errno, "cannot read '%s'", releases->path);
        (void)fd_close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir))) {
        unsigned number = number_of(entry->d_name);

        r = number > 0 ? visit(releases, entry->d_name, number, userdata, err) : 0;
    }
    (void)closedir(dir);
    return r;
}

static int insert_take(Releases *releases, unsigned number, Json *record)
{
    KeptRelease *items =
        reallocarray(releases->items, releases->count + 1, sizeof(*releases->items));
    size_t at = releases->count;

    if (!items) {
        (void)json_unref(record);
        return -ENOMEM;
    }
    releases->items = items;
    while (at > 0 && items[at - 1].number > number) {
        items[at] = items[at - 1];
        at--;
    }
    items[at] = (KeptRelease){.number = number, .record = record};
    releases->count++;
    return 0;
}

static int load_one(Releases *releases, const char *name, unsigned number, void *userdata,
                    Error *err)
{
    Json *record = NULL;
    int r;

    if (!has_record(releases, name)) {
        return 0;
    }
    r = releases_read_file(releases, number, RELEASES_RECORD, &record, err);
    r = r < 0 ? r : insert_take(releases, number, record);
    return r == -ENOMEM ? error_set(err, r, "out of memory") : r;
}

int releases_load(Releases *releases, Error *err)
{
    return visit_all(releases, load_one, NULL, err);
}

static int clean_one(Releases *releases, const char *name, unsigned number, void *userdata,
                     Error *err)
{
    return has_record(releases, name) ? 0 : file_remove_tree(releases->dir_fd, name, err);
}

int releases_clean(Releases *releases, Error *err)
{
    return visit_all(releases, clean_one, NULL, err);
}

static int find_highest(Releases *releases, const char *name, unsigned number, void *userdata,
                        Error *err)
{
    unsigned *highest = userdata;

    *highest = MAX(*highest, number);
    return 0;
}

int releases_make(Releases *releases, unsigned *ret_number, Error *err)
{
    char name[RELEASES_NAME_SIZE];
    unsigned number = 0;
    int r = visit_all(releases, find_highest, &number, err);

    if (r < 0) {
        return r;
    }
    (void)releases_name(++number, name);
    if (mkdirat(releases->dir_fd, name, DIRECTORY_MODE) < 0) {
        return error_set_errno(err, -errno, "cannot make '%s/%s'", releases->path, name);
    }
    *ret_number = number;
    return 0;
}

int releases_remove(Releases *releases, unsigned number, Error *err)
{
    _cleanup_free_ char *record = NULL;
    char name[RELEASES_NAME_SIZE];

    /* The record goes first: what is left without one is no release, whenever this ends. */
    if (file_path(number, RELEASES_RECORD, &record) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (unlinkat(releases->dir_fd, record, 0) < 0 && errno != ENOENT) {
        return error_set_errno(err, -errno, "cannot remove '%s/%s'", releases->path, record);
    }
    return file_remove_tree(releases->dir_fd, releases_name(number, name), err);
}

int releases_add_take(Releases *releases, unsigned number, Json *record, KeptRelease **ret,
                      Error *err)
{
    int r = releases_write_file(releases, number, RELEASES_RECORD, record, err);

    if (r < 0) {
        (void)json_unref(record);
        return r;
    }
    r = insert_take(releases, number, record);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    if (ret) {
        *ret = releases_find(releases, number);
    }
    return 0;
}

/* ---- finding ----------------------------------------------------------------------------------
 */

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool has_succeeded(const KeptRelease *release)
{
    return is_same(json_get_string(release->record, "outcome"), "succeeded");
}

KeptRelease *releases_find(const Releases *releases, unsigned number)
{
    for (size_t i = 0; i < releases->count; i++) {
        if (releases->items[i].number == number) {
            return &releases->items[i];
        }
    }
    return NULL;
}

KeptRelease *releases_find_unsettled(const Releases *releases)
{
    for (size_t i = releases->count; i-- > 0;) {
        if (!json_get_string(releases->items[i].record, "outcome")) {
            return &releases->items[i];
        }
    }
    return NULL;
}

unsigned releases_content_number(const KeptRelease *release)
{
    return (unsigned)json_get_int(release->record, "of", release->number);
}

KeptRelease *releases_find_running(const Releases *releases, const EngineCurrent *current)
{
    for (size_t i = releases->count; current->deployment && i-- > 0;) {
        KeptRelease *release = &releases->items[i];

        if (is_same(json_get_string(release->record, "deployment"), current->deployment)) {
            return release;
        }
        if (is_same(json_get_string(release->record, "putBackAs"), current->deployment)) {
            int64_t before = json_get_int(json_get(release->record, "before"), "number", 0);

            return releases_find(releases, (unsigned)before);
        }
    }
    for (size_t i = releases->count; i-- > 0;) {
        KeptRelease *release = &releases->items[i];

        if (has_succeeded(release) &&
            is_same(json_get_string(release->record, "digest"), current->digest)) {
            return release;
        }
    }
    return NULL;
}

/* ---- going back -------------------------------------------------------------------------------
 */

/* Can this release be deployed again, from its directory alone? */
static bool is_whole(const Releases *releases, const KeptRelease *release)
{
    _cleanup_free_ char *path = NULL;

    return has_succeeded(release) &&
           file_path(releases_content_number(release), RELEASES_FILLED, &path) == 0 &&
           file_exists(releases->dir_fd, path);
}

static KeptRelease *find_before(const Releases *releases, const KeptRelease *running)
{
    /* After going back to 2, the one before is 1; the one from which it went back is no way out. */
    unsigned before = running ? releases_content_number(running) : NUMBER_MAX;

    for (size_t i = releases->count; i-- > 0;) {
        KeptRelease *release = &releases->items[i];

        if (release->number < before && is_whole(releases, release) &&
            !(running && is_same(json_get_string(release->record, "digest"),
                                 json_get_string(running->record, "digest")))) {
            return release;
        }
    }
    return NULL;
}

bool releases_is_meant(const KeptRelease *release, const char *wanted)
{
    const char *commit = json_get_string(release->record, "commit");

    return is_same(json_get_string(release->record, "digest"), wanted) ||
           is_same(json_get_string(release->record, "version"), wanted) ||
           (commit && strlen(wanted) >= COMMIT_DIGITS_MIN && text_has_prefix(commit, wanted));
}

static bool has_same_digest(const KeptRelease *a, const KeptRelease *b)
{
    return is_same(json_get_string(a->record, "digest"), json_get_string(b->record, "digest"));
}

/* -ENOTUNIQ: a version or commit that several packages have. Whoever is in a hurry should not get
 * one of them by chance. */
static int find_meant(const Releases *releases, const char *wanted, KeptRelease **ret, Error *err)
{
    KeptRelease *found = NULL;

    for (size_t i = releases->count; i-- > 0;) {
        KeptRelease *release = &releases->items[i];

        if (!releases_is_meant(release, wanted) || !is_whole(releases, release)) {
            continue;
        }
        if (found && !has_same_digest(found, release)) {
            return error_set(err, -ENOTUNIQ,
                             "'%s' may be %s or %s among the kept releases of '%s'; say which "
                             "digest",
                             wanted, json_get_string(found->record, "digest"),
                             json_get_string(release->record, "digest"), releases->environment);
        }
        found = found ? found : release;
    }
    *ret = found;
    return 0;
}

static int list_whole(const Releases *releases, Buffer *text)
{
    int r = 0;

    for (size_t i = releases->count; r == 0 && i-- > 0;) {
        const KeptRelease *release = &releases->items[i];
        const char *digest = json_get_string(release->record, "digest");
        const char *version = json_get_string(release->record, "version");

        if (digest && is_whole(releases, release)) {
            r = buffer_append_format(text, "%s%s (%s)", text->len > 0 ? ", " : "", digest,
                                     version ? version : "?");
        }
    }
    return r;
}

static int no_target(const Releases *releases, const char *wanted, Error *err)
{
    _cleanup_buffer_ Buffer kept = BUFFER_INIT(0);
    int r = list_whole(releases, &kept);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    if (kept.len == 0) {
        return error_set(err, -ENOENT,
                         "no release of '%s' is kept here that was ever deployed with success",
                         releases->environment);
    }
    if (wanted) {
        return error_set(err, -ENOENT, "'%s' is not among the kept releases of '%s': %s", wanted,
                         releases->environment, buffer_text(&kept));
    }
    return error_set(err, -ENOENT,
                     "there is no kept release of '%s' from before the one that runs; kept are: %s",
                     releases->environment, buffer_text(&kept));
}

int releases_find_target(const Releases *releases, const KeptRelease *running, const char *wanted,
                         KeptRelease **ret, Error *err)
{
    KeptRelease *target = NULL;
    int r = 0;

    if (wanted) {
        r = find_meant(releases, wanted, &target, err);
    } else {
        target = find_before(releases, running);
    }
    if (r == 0 && !target) {
        r = no_target(releases, wanted, err);
    }
    if (r == 0) {
        *ret = target;
    }
    return r;
}

static bool is_listed(const Releases *releases, size_t index)
{
    for (size_t i = index + 1; i < releases->count; i++) {
        if (is_whole(releases, &releases->items[i]) &&
            has_same_digest(&releases->items[i], &releases->items[index])) {
            return true;
        }
    }
    return false;
}

static int describe(const KeptRelease *release, const KeptRelease *running,
                    const KeptRelease *before, Json *object)
{
    static const char *const texts[] = {"digest", "name", "version", "commit", "subject"};
    int64_t committed_at = json_get_int(release->record, "committedAt", 0);
    char moment[CLOCK_TEXT_SIZE];
    int r = json_set_int(object, "release", release->number);

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++) {
        r = json_set_string(object, texts[i], json_get_string(release->record, texts[i]));
    }
    if (r == 0 && committed_at > 0) {
        r = json_set_string(object, "committedAt", clock_format(committed_at * 1000000, moment));
    }
    r = r < 0
            ? r
            : json_set_string(object, "deployedAt", json_get_string(release->record, "createdAt"));
    r = r < 0 ? r
              : json_set_bool(object, "isRunning", running && has_same_digest(running, release));
    return r < 0 ? r
                 : json_set_bool(object, "isBefore", before && has_same_digest(before, release));
}

int releases_describe(const Releases *releases, const KeptRelease *running, Json **ret)
{
    const KeptRelease *before = find_before(releases, running);
    _cleanup_json_ Json *list = json_new_array();
    int r = list ? 0 : -ENOMEM;

    for (size_t i = releases->count, n = 0; r == 0 && i-- > 0 && n < DESCRIBED_MAX;) {
        Json *object;

        if (!is_whole(releases, &releases->items[i]) || is_listed(releases, i)) {
            continue;
        }
        object = json_new_object();
        r = object ? describe(&releases->items[i], running, before, object) : -ENOMEM;
        if (r < 0) {
            (void)json_unref(object);
            return r;
        }
        r = json_append_take(list, object);
        n++;
    }
    if (r == 0) {
        *ret = TAKE_PTR(list);
    }
    return r;
}

/* ---- forgetting -------------------------------------------------------------------------------
 */

/* Numbers that must stay, in no order; few enough to look through. */
typedef struct Kept {
    unsigned *numbers;
    size_t count;
} Kept;

static void keep_one(Kept *kept, const KeptRelease *release)
{
    if (release) {
        kept->numbers[kept->count++] = release->number;
        kept->numbers[kept->count++] = releases_content_number(release);
    }
}

static bool is_kept(const Kept *kept, unsigned number)
{
    for (size_t i = 0; i < kept->count; i++) {
        if (kept->numbers[i] == number) {
            return true;
        }
    }
    return false;
}

static void choose_kept(const Releases *releases, unsigned keep, const KeptRelease *running,
                        Kept *kept)
{
    unsigned succeeded = 0, others = 0;

    keep_one(kept, running);
    keep_one(kept, find_before(releases, running));
    for (size_t i = releases->count; i-- > 0;) {
        const KeptRelease *release = &releases->items[i];
        unsigned *n = has_succeeded(release) ? &succeeded : &others;

        if ((*n)++ < keep || !json_get_string(release->record, "outcome")) {
            keep_one(kept, release);
        }
    }
}

int releases_forget(Releases *releases, unsigned keep, const KeptRelease *running, Error *err)
{
    _cleanup_free_ unsigned *numbers = calloc(2 * releases->count + 4, sizeof(*numbers));
    Kept kept = {.numbers = numbers};
    size_t n = 0;
    int r = 0;

    if (!numbers) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    choose_kept(releases, keep, running, &kept);
    for (size_t i = 0; i < releases->count; i++) {
        KeptRelease release = releases->items[i];

        if (r == 0 && !is_kept(&kept, release.number)) {
            r = releases_remove(releases, release.number, err);
        }
        if (r == 0 && !is_kept(&kept, release.number)) {
            (void)json_unref(release.record);
        } else {
            releases->items[n++] = release;
        }
    }
    releases->count = n;
    return r;
}
