/* SPDX-License-Identifier: MIT */
/* Packs what a step declares into artifacts/ of the call and reports each. */
#pragma once

#include "agent/runners/report.h"
#include "agent/source/recipe.h"

typedef struct ArtifactsRequest {
    int workspace_fd;
    const char *call_directory;
    int64_t time; /* of every file in the archives, so that the same files give the same bytes */
    bool is_after_failure; /* then what is missing is no mistake, and goes unsaid */
} ArtifactsRequest;

/* -ENOENT: a pattern that matches nothing. */
int artifacts_pack(const ArtifactsRequest *request, const RecipeArtifact *artifacts,
                   size_t n_artifacts, Report *report, Error *err) _must_check_;

/* Packs `names` of `root_fd` as the artifact NAME.tar.zst; also for the package. */
int artifacts_pack_one(const ArtifactsRequest *request, int root_fd, const char *name,
                       char *const *names, size_t n_names, Report *report, int64_t *ret_size_bytes,
                       Error *err) _must_check_;

/* Writes artifacts/FILE of the call by `write`: aside, synced, renamed, so that whoever sees it
 * sees all of it. */
typedef int (*ArtifactsWriter)(int fd, void *userdata, ArchiveSummary *ret, Error *err);
int artifacts_write_file(const char *call_directory, const char *file, ArtifactsWriter write,
                         void *userdata, ArchiveSummary *ret, Error *err) _must_check_;

/* Reports how far the packing of an artifact is, now and then: an ArchiveProgress. */
typedef struct ArtifactsProgress {
    Report *report;
    const char *name;
    int64_t told_ms; /* CLOCK_MONOTONIC, when something was told last */
} ArtifactsProgress;
void artifacts_on_progress(int64_t done_bytes, void *progress);

/* artifacts/ of the call, made where it is missing. */
int artifacts_open_directory(const char *call_directory, int *ret_fd, Error *err) _must_check_;
