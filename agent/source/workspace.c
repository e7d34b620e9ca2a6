/* SPDX-License-Identifier: MIT */
#include "agent/source/workspace.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOTE_FILE "source.json"
#define NOTE_BYTES_MAX ((size_t)64 << 10)

void workspace_done(Workspace *workspace)
{
    (void)fd_close(workspace->fd);
    (void)fd_close(workspace->parent_fd);
    *workspace = WORKSPACE_INIT;
}

int workspace_open(const char *path, Workspace *ret, Error *err)
{
    _cleanup_workspace_ Workspace workspace = WORKSPACE_INIT;

    workspace.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (workspace.fd < 0) {
        return error_set_errno(err, -errno, "cannot open the workspace '%s'", path);
    }
    workspace.parent_fd = openat(workspace.fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (workspace.parent_fd < 0) {
        return error_set_errno(err, -errno, "cannot open the directory of the workspace '%s'",
                               path);
    }
    *ret = workspace;
    workspace = WORKSPACE_INIT;
    return 0;
}

/* ---- source.json ------------------------------------------------------------------------------
 */

int workspace_read_note(const Workspace *workspace, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(NOTE_BYTES_MAX);
    _cleanup_json_ Json *note = NULL;
    int r;

    if (!file_exists(workspace->parent_fd, NOTE_FILE)) {
        *ret = NULL;
        return 0;
    }
    r = file_read(workspace->parent_fd, NOTE_FILE, &text, err);
    if (r < 0) {
        return r;
    }
    if (json_parse(buffer_text(&text), text.len, &note, NULL) < 0 ||
        json_type_of(note) != JSON_OBJECT) {
        (void)json_unref(note); /* not what we wrote: as good as half */
        note = json_new_object();
    }
    *ret = TAKE_PTR(note);
    return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int workspace_write_note(const Workspace *workspace, const Json *note, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(NOTE_BYTES_MAX);
    int r = json_format_pretty(note, &text);

    r = r == 0 ? buffer_append(&text, "\n", 1) : r;
    if (r < 0) {
        return error_set_errno(err, r, "cannot write '" NOTE_FILE "'");
    }
    return file_replace(workspace->parent_fd, NOTE_FILE, text.data, text.len, 0644, err);
}

int workspace_forget(const Workspace *workspace, Error *err)
{
    return file_replace(workspace->parent_fd, NOTE_FILE, "{}\n", 3, 0644, err);
}

/* ---- content ----------------------------------------------------------------------------------
 */

typedef int (*EntryFunction)(int dir_fd, const char *name, void *userdata, Error *err);

/* Stops at the first answer that is not 0, and gives it. */
static int for_each_entry(int dir_fd, EntryFunction function, void *userdata, Error *err)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (!dir) {
        r = error_set_errno(err, -errno, "cannot read the workspace");
        (void)fd_close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            r = function(dir_fd, entry->d_name, userdata, err);
        }
    }
    (void)closedir(dir);
    return r;
}

static int remove_entry(int dir_fd, const char *name, void *userdata, Error *err)
{
    return file_remove_tree(dir_fd, name, err);
}

int workspace_clear(const Workspace *workspace, Error *err)
{
    int r = for_each_entry(workspace->fd, remove_entry, NULL, err);

    return r < 0 ? error_wrap(err, "cannot empty the workspace") : 0;
}

static int stop_at_any(int dir_fd, const char *name, void *userdata, Error *err)
{
    return 1;
}

int workspace_is_empty(const Workspace *workspace, Error *err)
{
    int r = for_each_entry(workspace->fd, stop_at_any, NULL, err);

    return r < 0 ? r : !r;
}

static int move_entry(int dir_fd, const char *name, void *userdata, Error *err)
{
    const Workspace *workspace = userdata;

    if (renameat(dir_fd, name, workspace->fd, name) < 0) {
        return error_set_errno(err, -errno, "cannot move '%s' into the workspace", name);
    }
    return 0;
}

int workspace_move_in(const Workspace *workspace, const char *name, Error *err)
{
    _cleanup_fd_ int from_fd =
        openat(workspace->parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r;

    if (from_fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s'", name);
    }
    r = for_each_entry(from_fd, move_entry, (void *)workspace, err);
    if (r == 0 && unlinkat(workspace->parent_fd, name, AT_REMOVEDIR) < 0) {
        r = error_set_errno(err, -errno, "cannot remove '%s'", name);
    }
    return r;
}
