/* SPDX-License-Identifier: MIT */
#include "agent/shim/stream.h"

#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Large enough that system calls cost nothing, small enough for the processor's cache. */
#define STREAM_READ_SIZE ((size_t)128 << 10)

/* Bytes of a character's beginning that is held where no secret is. */
#define CHARACTER_TAIL_MAX 3

int stream_shared_init(StreamShared *shared, Journal *journal, const Mask *mask)
{
    size_t size = STREAM_READ_SIZE + mask->longest + CHARACTER_TAIL_MAX;

    *shared = (StreamShared){
        .journal = journal,
        .mask = mask,
        .data = malloc(size),
        .space = malloc(size),
        .size = size,
    };
    return shared->data && shared->space ? 0 : -ENOMEM;
}

void stream_shared_done(StreamShared *shared)
{
    if (shared->data) {
        explicit_bzero(shared->data, shared->size);
    }
    free(shared->data);
    free(shared->space);
    *shared = (StreamShared){0};
}

void stream_init(Stream *stream, int fd, const char *name)
{
    *stream = (Stream){
        .fd = fd,
        .name = name,
        .has_ended = fd < 0,
        .quiet_at = -1,
        .held = BUFFER_INIT(0),
        .line = BUFFER_INIT(STREAM_REPORT_MAX),
    };
}

static void end_report(Stream *stream, StreamShared *shared)
{
    static const char note[] = "slipway: dropped a report that is longer than 262144 bytes\n";

    _Static_assert(STREAM_REPORT_MAX == 262144, "the note says it");
    if (stream->is_dropping) {
        journal_log(shared->journal, "stderr", note, sizeof(note) - 1);
    } else if (stream->line.len > 0) {
        journal_report(shared->journal, stream->line.data, stream->line.len);
    }
    stream->is_dropping = false;
    buffer_clear(&stream->line);
}

static void take_reports(Stream *stream, StreamShared *shared, const char *text, size_t n)
{
    while (n > 0) {
        const char *lf = memchr(text, '\n', n);
        size_t len = lf ? (size_t)(lf - text) : n;

        if (!stream->is_dropping && buffer_append(&stream->line, text, len) < 0) {
            stream->is_dropping = true;
        }
        if (lf) {
            end_report(stream, shared);
            len++;
        }
        text += len;
        n -= len;
    }
}

static void take(Stream *stream, StreamShared *shared, const char *text, size_t n)
{
    if (n == 0) {
        return;
    }
    if (stream->name) {
        journal_log(shared->journal, stream->name, text, n);
    } else {
        take_reports(stream, shared, text, n);
    }
}

/* Masks the `n` bytes in shared->data and passes on what may go; the rest is held. */
static void pass_on(Stream *stream, StreamShared *shared, size_t n, bool is_final)
{
    MaskResult result =
        mask_apply(shared->mask, &stream->state, shared->data, n, is_final, shared->space);
    const char *held = shared->data + n - result.held;
    size_t n_held = result.held;

    if (n_held == 0 && !is_final) {
        n_held = text_utf8_incomplete_tail(result.text, result.len);
        result.len -= n_held;
        held = result.text + result.len;
    }
    take(stream, shared, result.text, result.len);
    buffer_clear(&stream->held);
    if (buffer_append(&stream->held, held, n_held) < 0) {
        /* Out of memory: bytes that may be a secret's are better lost than shown. */
        stream->state = (MaskState){0};
    }
}

int stream_pump(Stream *stream, StreamShared *shared, int64_t now_ms)
{
    size_t n_held = stream->held.len;
    ssize_t got;

    if (stream->has_ended) {
        return 0;
    }
    got = read(stream->fd, shared->data + n_held, STREAM_READ_SIZE);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (got <= 0) { /* EIO: the last process has let go of the terminal */
        stream->has_ended = true;
        stream_finish(stream, shared);
        return 0;
    }
    if (n_held > 0) {
        memcpy(shared->data, stream->held.data, n_held);
    }
    pass_on(stream, shared, n_held + (size_t)got, false);
    /* A report is read when its line is whole; it can wait. */
    stream->quiet_at = stream->name && stream->held.len > stream->state.done &&
                               stream->held.len - stream->state.done < MASK_SECRET_MIN
                           ? now_ms + STREAM_QUIET_MS
                           : -1;
    return 1;
}

/* Up to three bytes give no secret away. They are out then, but still held: if they were the
 * beginning of one, the rest of it is masked. More than that waits for what follows. */
void stream_show_held(Stream *stream, StreamShared *shared)
{
    stream->quiet_at = -1;
    take(stream, shared, stream->held.data + stream->state.done,
         stream->held.len - stream->state.done);
    stream->state = (MaskState){.done = stream->held.len};
}

void stream_finish(Stream *stream, StreamShared *shared)
{
    size_t n = stream->held.len;

    stream->quiet_at = -1;
    if (n > 0) {
        memcpy(shared->data, stream->held.data, n);
        pass_on(stream, shared, n, true);
    }
    if (!stream->name) {
        end_report(stream, shared);
    }
}

void stream_done(Stream *stream)
{
    if (stream->held.data) {
        explicit_bzero(stream->held.data, stream->held.allocated);
    }
    buffer_done(&stream->held);
    buffer_done(&stream->line);
    stream->fd = fd_close(stream->fd);
}
