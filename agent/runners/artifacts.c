/* SPDX-License-Identifier: MIT */
#include "agent/runners/artifacts.h"

#include "protocol/artifact/file-list.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More often than this nobody wants to read. */
#define PROGRESS_MS 250

typedef struct Packing {
    Report *report;
    const char *name;
    int64_t told_ms;
} Packing;

static void on_progress(int64_t done_bytes, void *userdata)
{
    Packing *packing = userdata;
    int64_t now_ms = clock_monotonic_ms();

    if (now_ms - packing->told_ms >= PROGRESS_MS) {
        packing->told_ms = now_ms;
        /* Progress that is lost is no reason to fail. */
        (void)!report_progress(packing->report, &(ReportProgress){.phase = "pack",
                                                                  .message = packing->name,
                                                                  .done = done_bytes,
                                                                  .total = -1,
                                                                  .unit = "bytes"});
    }
}

static int open_directory(const char *call_directory, int *ret_fd, Error *err)
{
    _cleanup_free_ char *path = NULL;
    int r;

    if (asprintf(&path, "%s/artifacts", call_directory) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = file_make_dirs(path, 0700, err);
    if (r < 0) {
        return r;
    }
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? error_set_errno(err, -errno, "cannot open '%s'", path) : 0;
}

/* Aside, synced, renamed: whoever sees the file sees all of it. */
static int write_archive(const ArtifactsRequest *request, int root_fd, const char *file,
                         char *const *names, size_t n_names, Packing *packing, ArchiveSummary *ret,
                         Error *err)
{
    _cleanup_free_ char *aside = NULL;
    _cleanup_fd_ int dir_fd = -1, fd = -1;
    int r = open_directory(request->call_directory, &dir_fd, err);

    if (r < 0) {
        return r;
    }
    if (asprintf(&aside, "%s.tmp", file) < 0) {
        aside = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    fd = openat(dir_fd, aside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot make '%s'", aside);
    }
    r = archive_pack(root_fd, names, n_names, request->time, fd, on_progress, packing, ret, err);
    if (r == 0 && (fsync(fd) < 0 || renameat(dir_fd, aside, dir_fd, file) < 0)) {
        r = error_set_errno(err, -errno, "cannot write '%s'", file);
    }
    if (r < 0) {
        (void)unlinkat(dir_fd, aside, 0);
        return r;
    }
    r = file_sync_dir(dir_fd);
    return r < 0 ? error_set_errno(err, r, "cannot write '%s'", file) : 0;
}

int artifacts_pack_one(const ArtifactsRequest *request, int root_fd, const char *name,
                       char *const *names, size_t n_names, Report *report, int64_t *ret_size_bytes,
                       Error *err)
{
    _cleanup_free_ char *file = NULL;
    Packing packing = {.report = report, .name = name, .told_ms = clock_monotonic_ms()};
    ArchiveSummary summary;
    int r;

    if (asprintf(&file, "%s.tar.zst", name) < 0) {
        file = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = write_archive(request, root_fd, file, names, n_names, &packing, &summary, err);
    if (r < 0) {
        return error_wrap(err, "artifact '%s'", name);
    }
    r = report_artifact(report, name, file, "tar.zst", &summary);
    if (r < 0) {
        return error_set_errno(err, r, "artifact '%s' cannot be reported", name);
    }
    log_info("artifact '%s': %lld files, %lld bytes", name, (long long)summary.entries,
             (long long)summary.size_bytes);
    if (ret_size_bytes) {
        *ret_size_bytes = summary.size_bytes;
    }
    return 0;
}

/* git's own directory is never meant, and may hold the address of a server that is nobody's
 * business. */
static int match(const ArtifactsRequest *request, const RecipeArtifact *artifact, FileList *list,
                 Error *err)
{
    size_t n = artifact->n_patterns;
    _cleanup_free_ const char **patterns = calloc(n + 2, sizeof(*patterns));

    if (!patterns) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    memcpy(patterns, artifact->patterns, n * sizeof(*patterns));
    patterns[n] = "!.git";
    patterns[n + 1] = "!**/.git";
    list->may_match_nothing = request->is_after_failure;
    return file_list_match(request->workspace_fd, patterns, n + 2, list, err);
}

static int pack(const ArtifactsRequest *request, const RecipeArtifact *artifact, Report *report,
                Error *err)
{
    _cleanup_(file_list_done) FileList list = {0};
    int r = match(request, artifact, &list, err);

    if (r < 0) {
        return error_wrap(err, "artifact '%s'", artifact->name);
    }
    if (list.count == 0 && request->is_after_failure) {
        return 0;
    }
    if (list.count == 0) {
        return error_set(err, -ENOENT, "artifact '%s': its patterns leave no file", artifact->name);
    }
    return artifacts_pack_one(request, request->workspace_fd, artifact->name, list.names,
                              list.count, report, NULL, err);
}

int artifacts_pack(const ArtifactsRequest *request, const RecipeArtifact *artifacts,
                   size_t n_artifacts, Report *report, Error *err)
{
    for (size_t i = 0; i < n_artifacts; i++) {
        int r = pack(request, &artifacts[i], report, err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}
