/* SPDX-License-Identifier: MIT */
/* One stream of the runner's: what it writes comes out masked, into the log or, of the reports, as
 * lines into the journal. */
#pragma once

#include "agent/shim/journal.h"
#include "agent/shim/mask.h"
#include "protocol/base/buffer.h"

#include <stdbool.h>

/* A longer report is dropped, and the log says so. */
#define STREAM_REPORT_MAX ((size_t)256 << 10)

/* How long a few bytes that may be the beginning of a secret, or of a character, wait for more. */
#define STREAM_QUIET_MS 50

/* What the streams share: they are read one after the other. */
typedef struct StreamShared {
    Journal *journal;
    const Mask *mask;
    char *data; /* what was held, and what was read behind it */
    char *space;
    size_t size;
} StreamShared;

typedef struct Stream {
    int fd;           /* -1: there is none */
    const char *name; /* of the log's stream; NULL: reports */
    bool has_ended;
    MaskState state;
    Buffer held;
    int64_t quiet_at; /* when what is held is shown, as far as it may be; -1: never */
    Buffer line;      /* the report so far */
    bool is_dropping; /* the rest of a report that is too long */
} Stream;

/* -ENOMEM. Both are borrowed. */
int stream_shared_init(StreamShared *shared, Journal *journal, const Mask *mask) _must_check_;
void stream_shared_done(StreamShared *shared); /* zeroes */

/* Takes the descriptor, which must not block. */
void stream_init(Stream *stream, int fd, const char *name);

/* Reads once. 1: there was something; 0: nothing for now, or the end (`has_ended`). A journal that
 * fails is for the journal to tell; reading goes on, so that the runner is not held up. */
int stream_pump(Stream *stream, StreamShared *shared, int64_t now_ms) _must_check_;

/* Once `quiet_at` has come. */
void stream_show_held(Stream *stream, StreamShared *shared);

/* No more will be read: lets out what is held. */
void stream_finish(Stream *stream, StreamShared *shared);

void stream_done(Stream *stream); /* zeroes */
