/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/open-artifact.h"

#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

static int open_new(OpenArtifact *a, Calls *calls, const char *name, Error *err)
{
    const char *slash = strchr(name, '/');
    _cleanup_free_ char *id = slash ? strndup(name, (size_t)(slash - name)) : NULL;
    Call *call = id ? calls_find(calls, id) : NULL;

    if (!call) {
        return error_set(err, -ENOENT, "there is no call '%s'", id ? id : name);
    }
    return call_open_artifact(call, slash + 1, &a->fd, &a->size, err);
}

int open_artifact_switch(OpenArtifact *a, Calls *calls, const char *name, Error *err)
{
    OpenArtifact fresh = OPEN_ARTIFACT_EMPTY;
    int r;

    if (a->name && strcmp(a->name, name) == 0) {
        return 0;
    }
    r = open_new(&fresh, calls, name, err);
    if (r < 0) {
        return r;
    }
    fresh.name = strdup(name);
    fresh.piece = a->piece ? TAKE_PTR(a->piece) : malloc(OPEN_ARTIFACT_PIECE_MAX);
    open_artifact_done(a);
    if (!fresh.name || !fresh.piece) {
        open_artifact_done(&fresh);
        return error_set(err, -ENOMEM, "out of memory");
    }
    *a = fresh;
    return 0;
}

int open_artifact_append(const OpenArtifact *a, int64_t offset, size_t length, Buffer *out,
                         bool *ret_is_last, Error *err)
{
    ssize_t n;
    int r;

    if (offset > a->size) {
        return error_set(err, -EILSEQ, "artifact '%s' has %lld bytes; there is no offset %lld",
                         a->name, (long long)a->size, (long long)offset);
    }
    length = (size_t)MIN((int64_t)MIN(length, OPEN_ARTIFACT_PIECE_MAX), a->size - offset);
    n = fd_pread_full(a->fd, a->piece, length, offset);
    if (n < 0) {
        return error_set(err, -EIO, "reading artifact '%s': %s", a->name, strerror((int)-n));
    }
    if ((size_t)n < length) {
        return error_set(err, -EIO,
                         "artifact '%s' became shorter: it ends after %lld of %lld bytes", a->name,
                         (long long)(offset + n), (long long)a->size);
    }
    r = text_append_base64(out, a->piece, length);
    if (r < 0) {
        return error_set_errno(err, r, "a piece of artifact '%s'", a->name);
    }
    *ret_is_last = offset + n == a->size;
    return 0;
}

void open_artifact_done(OpenArtifact *a)
{
    a->fd = fd_close(a->fd);
    free(a->name);
    free(a->piece);
    *a = OPEN_ARTIFACT_EMPTY;
}
