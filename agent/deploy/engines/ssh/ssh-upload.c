/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/ssh/ssh-upload.h"

#include "protocol/artifact/archive.h"
#include "protocol/artifact/file-list.h"
#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Most of what there is to gain, at the speed of a network. */
#define LEVEL 2
#define TEMPORARY_DIRECTORY "/tmp"

void ssh_upload_done(SshUpload *upload)
{
    upload->fd = fd_close(upload->fd);
    free(upload->root);
    *upload = SSH_UPLOAD_INIT;
}

/* ---- the stream -------------------------------------------------------------------------------
 */

/* Beside the release where that can be, since there is room for it. */
static int open_unnamed(int root_fd, int *ret, Error *err)
{
    int fd = openat(root_fd, "..", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        fd = open(TEMPORARY_DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot make a temporary file");
    }
    *ret = fd;
    return 0;
}

/* GNU tar, as busybox knows nothing of pax; each file with its own time, so that the same release
 * is the same stream. */
static int pack(int root_fd, int fd, char sha256[static DIGEST_HEX_SIZE], Error *err)
{
    static const char *const all[] = {"**"};
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    FileList files = {.refuses_special = true, .may_match_nothing = true};
    ArchiveSummary summary;
    int r = file_list_match(root_fd, all, ARRAY_SIZE(all), &files, err);

    r = r < 0 ? r : archive_writer_new(ARCHIVE_GNUTAR_GZIP, LEVEL, fd, -1, &writer, err);
    for (size_t i = 0; r == 0 && i < files.count; i++) {
        r = archive_writer_add(writer, root_fd, files.names[i], files.names[i], (mode_t)-1, err);
    }
    r = r < 0 ? r : archive_writer_finish(writer, &summary, err);
    file_list_done(&files);
    if (r == 0) {
        memcpy(sha256, summary.sha256, DIGEST_HEX_SIZE);
    }
    return r;
}

static int make(SshUpload *upload, const char *root, Error *err)
{
    _cleanup_fd_ int root_fd = -1, fd = -1;
    char *copy = NULL;
    int r;

    if (upload->fd >= 0 && strcmp(upload->root, root) == 0) {
        return 0;
    }
    ssh_upload_done(upload);
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) {
        return error_set_errno(err, -errno, "cannot open the release's files, '%s'", root);
    }
    r = open_unnamed(root_fd, &fd, err);
    r = r < 0 ? r : pack(root_fd, fd, upload->sha256, err);
    if (r < 0) {
        return error_wrap(err, "packing '%s' for the hosts", root);
    }
    copy = strdup(root);
    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    upload->root = copy;
    upload->fd = TAKE_FD(fd);
    return 0;
}

/* ---- bringing it ------------------------------------------------------------------------------
 */

static int append_specification(const SshService *service, Buffer *out)
{
    int r = json_format(service->json, out);

    return r < 0 ? r : buffer_append(out, "\n", 1);
}

static size_t count_lines(const char *text)
{
    size_t n = 0;

    for (; (text = strchr(text, '\n')); text++) {
        n++;
    }
    return n;
}

/* All that is small, as one text. */
static int put(SshRemote *remote, const SshService *service, const char *deployment, Error *err)
{
    static int (*const parts[])(const SshService *service, Buffer *out) = {
        ssh_service_append_env,
        ssh_service_append_control,
        append_specification,
    };
    char counts[ARRAY_SIZE(parts)][24];
    const char *arguments[ARRAY_SIZE(parts)];
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    SshRemoteVerb verb = {
        .name = "put",
        .base = service->base,
        .deployment = deployment,
        .arguments = arguments,
        .n_arguments = ARRAY_SIZE(arguments),
    };

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        size_t from = text.len;

        if (parts[i](service, &text) < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        (void)snprintf(counts[i], sizeof(counts[i]), "%zu", count_lines(buffer_text(&text) + from));
        arguments[i] = counts[i];
    }
    verb.input = buffer_text(&text);
    return ssh_remote_do(remote, &verb, NULL, err);
}

static int bring_root(SshUpload *upload, SshRemote *remote, const SshService *service,
                      const char *deployment, Error *err)
{
    const char *sha256 = upload->sha256;
    SshRemoteVerb verb = {
        .name = "reuse",
        .base = service->base,
        .deployment = deployment,
        .arguments = &sha256,
        .n_arguments = 1,
        .timeout_ms = SSH_REMOTE_LONG_MS,
    };
    int r = SSH_REMOTE_ABSENT;

    if (remote->status.current) { /* otherwise there is no release at all */
        r = ssh_remote_do(remote, &verb, NULL, err);
    }
    if (r != SSH_REMOTE_ABSENT) {
        return r;
    }
    error_done(err);
    verb.name = "receive";
    verb.input_fd = upload->fd;
    return ssh_remote_do(remote, &verb, NULL, err);
}

int ssh_upload_stage(SshUpload *upload, SshRemote *remote, const SshService *service,
                     const char *deployment, Error *err)
{
    int r;

    if (remote->status.state != SSH_STATE_ABSENT && remote->status.state != SSH_STATE_BEGUN) {
        return 0;
    }
    r = make(upload, service->root, err);
    r = r != 0 ? r : put(remote, service, deployment, err);
    return r != 0 ? r : bring_root(upload, remote, service, deployment, err);
}
