/* SPDX-License-Identifier: MIT */
/* A pair of descriptors in the loop, and the bytes that wait to go out on it.
 *
 * Input and output may be one socket, two pipes, a terminal or plain files. What is written goes
 * into `out` first; its owner looks at channel_backlog() and stops making more when a window is
 * full, so that a slow reader never grows the agent.
 *
 * The loop's handles are closed asynchronously: channel_close(), then `closed` is called, and only
 * then may the memory go. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

/* How much output may wait before its source has to wait, too. */
#define CHANNEL_WINDOW ((size_t)256 << 10)
/* The longest line that the agent sends (protocol/README.md, "Framing"). */
#define CHANNEL_LINE_MAX ((size_t)16 << 20)

typedef struct ChannelEvents {
    void (*readable)(void *userdata);
    void (*writable)(void *userdata);
    void (*closed)(void *userdata);
} ChannelEvents;

typedef struct ChannelSide {
    int fd;
    uv_poll_t poll;
    bool is_polled;  /* false for a plain file, which is always ready and which epoll refuses */
    bool is_socket;  /* takes MSG_NOSIGNAL */
    int poll_events; /* what the loop waits for now */
} ChannelSide;

typedef struct Channel {
    ChannelSide input;
    ChannelSide output; /* fd -1 where the input is a socket that is both */
    uv_idle_t eager;    /* calls for the sides that are not polled */
    bool wants_input;
    bool wants_output;
    bool is_closing;
    unsigned n_handles;
    Buffer out;
    size_t sent; /* bytes of `out` that are gone */
    const ChannelEvents *events;
    void *userdata;
} Channel;

/* Takes both descriptors (equal for a socket), also on failure. They become non-blocking. After a
 * failure the handles have still to be closed with channel_close(). */
int channel_open_take(Channel *c, uv_loop_t *loop, int in_fd, int out_fd,
                      const ChannelEvents *events, void *userdata, Error *err) _must_check_;

/* Which of readable() and writable() may be called; both off at first. */
void channel_want(Channel *c, bool input, bool output);

/* Bytes read, 0 at the end of the input, -EAGAIN when there is nothing now, else -errno. */
ssize_t channel_read(Channel *c, char *data, size_t n) _must_check_;

/* Sends what the kernel takes. 1: nothing waits any more, 0: some does, -errno. */
int channel_flush(Channel *c) _must_check_;

/* Bytes in `out` that wait to be sent. */
size_t channel_backlog(const Channel *c);

/* Gives memory back that an idle connection does not need. */
void channel_trim(Channel *c);

/* Hangs up at once, dropping what waits; `closed` comes later from the loop. May be repeated. */
void channel_close(Channel *c);
