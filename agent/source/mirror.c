/* SPDX-License-Identifier: MIT */
#include "agent/source/mirror.h"

#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each fetch leaves a pack; so many make git slow, and they are made one. */
#define MIRROR_PACKS_MAX 50
/* Bytes of a commit's subject; one line of an audit log takes it, and a person reads it. */
#define SUBJECT_MAX ((size_t)400)

/* git checks since 2.45.1 who owns a repository that it serves, and a server that it starts itself
 * sees none of our settings. Whoever asked for the path may have it read. */
#define LOCAL_UPLOAD_PACK "--upload-pack=git -c safe.directory='*' upload-pack"

void mirror_done(Mirror *mirror)
{
    free(mirror->directory);
    (void)fd_close(mirror->lock_fd); /* and with it the lock */
    *mirror = MIRROR_INIT;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static int take_lock(Mirror *mirror, const char *path, Error *err)
{
    mirror->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (mirror->lock_fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s'", path);
    }
    if (flock(mirror->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    log_info("another call fetches from '%s'; waiting for it", mirror->git->shown_url);
    while (flock(mirror->lock_fd, LOCK_EX) < 0) {
        if (errno != EINTR) {
            return error_set_errno(err, -errno, "cannot lock '%s'", path);
        }
    }
    return 0;
}

/* `git init` is finished when its last file, HEAD, is there: before that it is made anew. */
static int make_repository(const Mirror *mirror, const char *commit, Error *err)
{
    _cleanup_free_ char *head = NULL, *description = NULL;
    const char *format = strlen(commit) == 64 ? "--object-format=sha256" : "--object-format=sha1";
    int r;

    if (asprintf(&head, "%s/HEAD", mirror->directory) < 0) {
        head = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (file_exists(AT_FDCWD, head)) {
        return 0;
    }
    r = file_remove_tree(AT_FDCWD, mirror->directory, err);
    if (r < 0) {
        return r;
    }
    r = git_run(
        mirror->git, NULL,
        GIT_ARGUMENTS("init", "--quiet", "--bare", "--template=", format, mirror->directory), NULL,
        err);
    if (r < 0) {
        return r;
    }
    if (asprintf(&description, "%s/description", mirror->directory) < 0) {
        description = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return file_replace(AT_FDCWD, description, mirror->git->shown_url,
                        strlen(mirror->git->shown_url), 0644, err);
}

int mirror_open(const char *cache_directory, const Git *git, const char *commit, Mirror *ret,
                Error *err)
{
    _cleanup_mirror_ Mirror mirror = MIRROR_INIT;
    _cleanup_free_ char *parent = NULL, *lock = NULL;
    char hash[DIGEST_HEX_SIZE];
    int r = digest_bytes(git->url, strlen(git->url), hash);

    mirror.git = git;
    if (r < 0 || asprintf(&parent, "%s/git", cache_directory) < 0 ||
        asprintf(&lock, "%s/%s.lock", parent, hash) < 0 ||
        asprintf(&mirror.directory, "%s/%s", parent, hash) < 0) {
        return error_set(err, r < 0 ? r : -ENOMEM, "cannot name the mirror of '%s'",
                         git->shown_url);
    }
    r = file_make_dirs(parent, 0700, err);
    r = r == 0 ? take_lock(&mirror, lock, err) : r;
    r = r == 0 ? make_repository(&mirror, commit, err) : r;
    if (r < 0) {
        return error_wrap(err, "the mirror of '%s'", git->shown_url);
    }
    *ret = mirror;
    mirror = MIRROR_INIT;
    return 0;
}

void mirror_unlock(Mirror *mirror)
{
    mirror->lock_fd = fd_close(mirror->lock_fd);
}

/* ---- fetching ---------------------------------------------------------------------------------
 */

/* The commit itself, with or without what it is made of. */
static bool has_object(const Mirror *mirror, const char *commit)
{
    char name[64 + sizeof("^{commit}")];
    _cleanup_buffer_ Buffer found = BUFFER_INIT(0);

    (void)snprintf(name, sizeof(name), "%.64s^{commit}", commit);
    return git_try(mirror->git, mirror->directory,
                   GIT_ARGUMENTS("rev-parse", "--quiet", "--verify", "--end-of-options", name),
                   &found, NULL) == 0;
}

/* What a ref reaches was checked when it was fetched; git walks only what lies beyond. */
bool mirror_has(const Mirror *mirror, const char *commit)
{
    return has_object(mirror, commit) &&
           git_try(mirror->git, mirror->directory,
                   GIT_ARGUMENTS("rev-list", "--quiet", "--objects", commit, "--not", "--all"),
                   NULL, NULL) == 0;
}

/* Joins `git fetch` and its refspecs. 1: git failed, with its sentence. */
static int fetch(const Mirror *mirror, const char *const *refspecs, bool is_pruning, Error *err)
{
    const char *arguments[12];
    size_t n = 0;

    arguments[n++] = "fetch";
    arguments[n++] = "--quiet";
    arguments[n++] = "--force"; /* a branch may have been rewritten */
    arguments[n++] = "--no-write-fetch-head";
    if (is_pruning) {
        arguments[n++] = "--prune";
    }
    if (mirror->git->is_local) {
        arguments[n++] = LOCAL_UPLOAD_PACK;
    }
    arguments[n++] = "--";
    arguments[n++] = mirror->git->url;
    while (*refspecs) {
        arguments[n++] = *refspecs++;
    }
    arguments[n] = NULL;
    return git_try(mirror->git, mirror->directory, arguments, NULL, err);
}

/* Branch names can stand in each other's way (`a` and `a/b`), so ours are hashes of them. A tag
 * keeps its name, because `git describe` reads it. */
static int fetch_ref(const Mirror *mirror, const char *ref, Error *err)
{
    _cleanup_free_ char *refspec = NULL;
    char hash[DIGEST_HEX_SIZE];
    int r = digest_bytes(ref, strlen(ref), hash);

    if (r == 0) {
        r = git_tag_of(ref) ? asprintf(&refspec, "+%s:%s", ref, ref)
                            : asprintf(&refspec, "+%s:refs/slipway/ref/%s", ref, hash);
    }
    if (r < 0) {
        refspec = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return fetch(mirror, GIT_ARGUMENTS(refspec), false, err);
}

static int fetch_commit(const Mirror *mirror, const char *commit, Error *err)
{
    char refspec[200];

    (void)snprintf(refspec, sizeof(refspec), "+%.64s:refs/slipway/commit/%.64s", commit, commit);
    return fetch(mirror, GIT_ARGUMENTS(refspec), false, err);
}

static int fetch_all(const Mirror *mirror, Error *err)
{
    return fetch(mirror,
                 GIT_ARGUMENTS("+refs/heads/*:refs/slipway/heads/*", "+refs/tags/*:refs/tags/*"),
                 true, err);
}

/* The server is there, but will not give what was asked for: another way may do. */
static bool is_about_what_was_asked(const Error *err)
{
    static const char *const sentences[] = {
        "couldn't find remote ref",
        "not our ref",
        "unadvertised object",
        "no such remote ref",
    };
    const char *text = error_text(err);

    for (size_t i = 0; i < ARRAY_SIZE(sentences); i++) {
        if (strstr(text, sentences[i])) {
            return true;
        }
    }
    return false;
}

static int cannot_fetch(const Mirror *mirror, Error *problem, Error *err)
{
    return error_set(err, -EIO, "cannot fetch from '%s': %s", mirror->git->shown_url,
                     error_text(problem));
}

typedef int (*FetchWay)(const Mirror *mirror, const char *what, Error *err);

static int fetch_everything(const Mirror *mirror, const char *what, Error *err)
{
    return fetch_all(mirror, err);
}

static int fetch_one_way_or_another(const Mirror *mirror, const char *commit, const char *ref,
                                    Error *err)
{
    const struct {
        FetchWay function;
        const char *what;
    } ways[] = {{fetch_ref, ref}, {fetch_commit, commit}, {fetch_everything, "everything"}};

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        _cleanup_error_ Error problem = {0};
        int r = ways[i].what ? ways[i].function(mirror, ways[i].what, &problem) : 1;

        if (r < 0) {
            return error_set(err, r, "%s", error_text(&problem));
        }
        if (ways[i].what && r > 0 && !is_about_what_was_asked(&problem)) {
            return cannot_fetch(mirror, &problem, err);
        }
        if (ways[i].what && mirror_has(mirror, commit)) {
            return 0;
        }
    }
    if (has_object(mirror, commit)) {
        return error_set(err, -EIO,
                         "'%s' has commit %s, but not all that it is made of (if the repository is "
                         "shallow, complete it with: git fetch --unshallow)",
                         mirror->git->shown_url, commit);
    }
    return error_set(err, -ENOENT,
                     "'%s' has no commit %s (asked for%s%s%s the commit itself, then for all "
                     "branches and tags)",
                     mirror->git->shown_url, commit, ref ? " '" : "", ref ? ref : "",
                     ref ? "', then for" : "");
}

/* ---- housekeeping -----------------------------------------------------------------------------
 */

static unsigned count_packs(const Mirror *mirror)
{
    _cleanup_free_ char *path = NULL;
    unsigned n = 0;
    struct dirent *entry;
    DIR *dir;

    if (asprintf(&path, "%s/objects/pack", mirror->directory) < 0) {
        path = NULL;
        return 0;
    }
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);

        n += len > 5 && strcmp(entry->d_name + len - 5, ".pack") == 0;
    }
    if (dir) {
        (void)closedir(dir);
    }
    return n;
}

/* Keeps what no ref reaches any more: a workspace may still borrow it. A reader that meets a pack
 * which has just gone looks again and finds its objects in the new one. */
static void tidy(const Mirror *mirror)
{
    _cleanup_error_ Error problem = {0};

    if (count_packs(mirror) > MIRROR_PACKS_MAX &&
        git_try(mirror->git, mirror->directory,
                GIT_ARGUMENTS("repack", "-a", "-d", "-k", "--quiet"), NULL, &problem) != 0) {
        log_warning("cannot repack the mirror of '%s' (%s), going on", mirror->git->shown_url,
                    error_text(&problem));
    }
}

/* A tag that was pushed after its commit: nice to have for `git describe`, no reason to fail. */
static void fetch_late_tag(const Mirror *mirror, const char *ref)
{
    _cleanup_error_ Error problem = {0};

    if (!ref || !git_tag_of(ref) ||
        git_try(mirror->git, mirror->directory,
                GIT_ARGUMENTS("show-ref", "--verify", "--quiet", "--", ref), NULL, NULL) == 0) {
        return;
    }
    if (fetch_ref(mirror, ref, &problem) != 0) {
        log_info("the tag '%s' could not be fetched, going on without: %s", ref,
                 error_text(&problem));
    }
}

int mirror_fetch(const Mirror *mirror, const char *commit, const char *ref, Error *err)
{
    int r;

    if (mirror_has(mirror, commit)) {
        log_info("commit %s of '%s' is here already", commit, mirror->git->shown_url);
        fetch_late_tag(mirror, ref);
        return 0;
    }
    log_info("fetching commit %s from '%s'", commit, mirror->git->shown_url);
    r = fetch_one_way_or_another(mirror, commit, ref, err);
    if (r == 0) {
        tidy(mirror);
    }
    return r;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

int mirror_describe(const Mirror *mirror, const char *commit, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = git_run(mirror->git, mirror->directory,
                    GIT_ARGUMENTS("describe", "--tags", "--always", commit), &text, err);

    if (r < 0) {
        return r;
    }
    *ret = buffer_take_text(&text);
    return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* A message may be in any encoding, and of any length. */
static char *take_subject(const char *text)
{
    _cleanup_buffer_ Buffer subject = BUFFER_INIT(0);
    size_t n = strlen(text);

    if (n > SUBJECT_MAX) {
        n = SUBJECT_MAX;
        n -= text_utf8_incomplete_tail(text, n);
    }
    return text_append_utf8(&subject, text, n) < 0 ? NULL : buffer_take_text(&subject);
}

int mirror_read_commit(const Mirror *mirror, const char *commit, int64_t *ret_time,
                       char **ret_subject, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    char *blank;
    int64_t time = 0;
    int r = git_run(mirror->git, mirror->directory,
                    GIT_ARGUMENTS("show", "-s", "--no-show-signature", "--format=%ct %s", commit),
                    &text, err);

    if (r < 0) {
        return error_wrap(err, "commit %s", commit);
    }
    blank = memchr(text.data, ' ', text.len);
    if (blank) {
        *blank = '\0';
    }
    r = text_parse_int(buffer_text(&text), 0, INT64_MAX, &time);
    if (r < 0) {
        return error_set(err, r, "the time of commit %s is '%s'", commit, buffer_text(&text));
    }
    *ret_subject = take_subject(blank ? blank + 1 : "");
    if (!*ret_subject) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret_time = time;
    return 0;
}
