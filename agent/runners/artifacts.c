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
    ArtifactsProgress progress;
    int root_fd;
    char *const *names;
    size_t n_names;
    int64_t time;
} Packing;

void artifacts_on_progress(int64_t done_bytes, void *progress)
{
    ArtifactsProgress *told = progress;
    int64_t now_ms = clock_monotonic_ms();

    if (now_ms - told->told_ms >= PROGRESS_MS) {
        told->told_ms = now_ms;
        /* Progress that is lost is no reason to fail. */
        (void)!report_progress(told->report, &(ReportProgress){.phase = "pack",
                                                               .message = told->name,
                                                               .done = done_bytes,
                                                               .total = -1,
                                                               .unit = "bytes"});
    }
}

int artifacts_open_directory(const char *call_directory, int *ret_fd, Error *err)
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

int artifacts_write_file(const char *call_directory, const char *file, ArtifactsWriter write,
                         void *userdata, ArchiveSummary *ret, Error *err)
{
    _cleanup_free_ char *aside = NULL;
    _cleanup_fd_ int dir_fd = -1, fd = -1;
    int r = artifacts_open_directory(call_directory, &dir_fd, err);

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
    r = write(fd, userdata, ret, err);
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

static int write_archive(int fd, void *userdata, ArchiveSummary *ret, Error *err)
{
    Packing *packing = userdata;

    return archive_pack(packing->root_fd, packing->names, packing->n_names, packing->time, fd,
                        artifacts_on_progress, &packing->progress, ret, err);
}

int artifacts_pack_one(const ArtifactsRequest *request, int root_fd, const char *name,
                       char *const *names, size_t n_names, Report *report, int64_t *ret_size_bytes,
                       Error *err)
{
    _cleanup_free_ char *file = NULL;
    Packing packing = {.progress = {report, name, clock_monotonic_ms()},
                       .root_fd = root_fd,
                       .names = names,
                       .n_names = n_names,
                       .time = request->time};
    ArchiveSummary summary;
    int r;

    if (asprintf(&file, "%s.tar.zst", name) < 0) {
        file = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = artifacts_write_file(request->call_directory, file, write_archive, &packing, &summary, err);
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
