/* SPDX-License-Identifier: MIT */
#include "agent/source/built.h"

#include "agent/source/workspace.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MARK_FILE "built"
/* A commit of SHA-256, and then some. */
#define MARK_BYTES_MAX ((size_t)128)

static int write_mark(const char *workspace, const char *text, Error *err)
{
    _cleanup_workspace_ Workspace place = WORKSPACE_INIT;
    int r = workspace_open(workspace, &place, err);

    return r < 0 ? r : file_replace(place.parent_fd, MARK_FILE, text, strlen(text), 0644, err);
}

int built_begin(const char *workspace, Error *err)
{
    return write_mark(workspace, "", err);
}

int built_finish(const char *workspace, const char *commit, Error *err)
{
    _cleanup_workspace_ Workspace place = WORKSPACE_INIT;
    int r;

    if (commit) {
        return write_mark(workspace, commit, err);
    }
    r = workspace_open(workspace, &place, err);
    if (r == 0 && unlinkat(place.parent_fd, MARK_FILE, 0) < 0 && errno != ENOENT) {
        r = error_set_errno(err, -errno, "cannot remove the mark of the build");
    }
    return r;
}

int built_check(const char *workspace, const char *commit, Error *err)
{
    _cleanup_workspace_ Workspace place = WORKSPACE_INIT;
    _cleanup_buffer_ Buffer mark = BUFFER_INIT(MARK_BYTES_MAX);
    int r = workspace_open(workspace, &place, err);

    if (r < 0 || !commit || !file_exists(place.parent_fd, MARK_FILE)) {
        return r;
    }
    r = file_read(place.parent_fd, MARK_FILE, &mark, err);
    if (r < 0 || strcmp(buffer_text(&mark), commit) == 0) {
        return r;
    }
    return mark.len == 0
               ? error_set(err, -ESTALE,
                           "the last build in this run did not succeed, so what is here is of no "
                           "commit; call build first")
               : error_set(err, -ESTALE,
                           "what is here was built from commit %.12s, and the source is %.12s; "
                           "call build with that source first",
                           buffer_text(&mark), commit);
}
