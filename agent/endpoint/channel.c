/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/channel.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* An idle connection keeps no more than this of its buffer. */
#define CHANNEL_IDLE_SIZE ((size_t)16 << 10)

/* ---- descriptors ------------------------------------------------------------------------------
 */

/* O_NONBLOCK belongs to the open file, which a terminal or pipe may share with the shell that
 * started us. Opening it anew through /proc gives one of our own; where that may not be, theirs has
 * to do. */
static int make_own(int fd, int access)
{
    char path[sizeof("/proc/self/fd/2147483647")];
    struct stat st;
    int own;

    if (fstat(fd, &st) < 0 || S_ISSOCK(st.st_mode) || S_ISREG(st.st_mode)) {
        return fd;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    own = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0) {
        return fd;
    }
    (void)fd_close(fd);
    return own;
}

static bool is_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static ChannelSide *output_side(Channel *c)
{
    return c->output.fd >= 0 ? &c->output : &c->input;
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

static void on_input(uv_poll_t *handle, int status, int events)
{
    Channel *c = handle->data;

    /* libuv stops a handle on POLLERR and says EBADF; reading or writing tells what it is. */
    if (status < 0) {
        c->input.poll_events = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    if ((events & UV_WRITABLE) && c->output.fd < 0 && c->wants_output) {
        c->events->writable(c->userdata);
    }
    if ((events & UV_READABLE) && !c->is_closing && c->wants_input) {
        c->events->readable(c->userdata);
    }
}

static void on_output(uv_poll_t *handle, int status, int events)
{
    Channel *c = handle->data;

    if (status < 0) {
        c->output.poll_events = 0;
    }
    if (c->wants_output) {
        c->events->writable(c->userdata);
    }
}

static void on_eager(uv_idle_t *handle)
{
    Channel *c = handle->data;

    if (c->wants_output && !output_side(c)->is_polled) {
        c->events->writable(c->userdata);
    }
    if (!c->is_closing && c->wants_input && !c->input.is_polled) {
        c->events->readable(c->userdata);
    }
}

static int open_side(Channel *c, ChannelSide *side, uv_loop_t *loop, Error *err)
{
    int r;

    side->is_socket = is_socket(side->fd);
    r = uv_poll_init(loop, &side->poll, side->fd);
    if (r == UV_EPERM) {
        return 0;
    }
    if (r < 0) {
        return error_set_errno(err, r, "watching descriptor %d", side->fd);
    }
    side->poll.data = c;
    side->is_polled = true;
    c->n_handles++;
    return 0;
}

int channel_open_take(Channel *c, uv_loop_t *loop, int in_fd, int out_fd,
                      const ChannelEvents *events, void *userdata, Error *err)
{
    bool is_one = in_fd == out_fd;
    int r;

    *c = (Channel){
        .input.fd = make_own(in_fd, O_RDONLY),
        .output.fd = is_one ? -1 : make_own(out_fd, O_WRONLY),
        .out = BUFFER_INIT(2 * (CHANNEL_WINDOW + CHANNEL_LINE_MAX)),
        .events = events,
        .userdata = userdata,
    };
    (void)uv_idle_init(loop, &c->eager); /* cannot fail */
    c->eager.data = c;
    c->n_handles = 1;
    r = open_side(c, &c->input, loop, err);
    return r == 0 && !is_one ? open_side(c, &c->output, loop, err) : r;
}

static void watch_side(ChannelSide *side, int events, uv_poll_cb callback)
{
    if (!side->is_polled || events == side->poll_events) {
        return;
    }
    if (events) {
        (void)uv_poll_start(&side->poll, events, callback); /* fails only while closing */
    } else {
        (void)uv_poll_stop(&side->poll);
    }
    side->poll_events = events;
}

void channel_want(Channel *c, bool input, bool output)
{
    bool is_eager = (input && !c->input.is_polled) || (output && !output_side(c)->is_polled);
    int output_events = output ? UV_WRITABLE : 0, input_events = input ? UV_READABLE : 0;

    if (c->is_closing) {
        return;
    }
    c->wants_input = input;
    c->wants_output = output;
    if (c->output.fd < 0) {
        watch_side(&c->input, input_events | output_events, on_input);
    } else {
        watch_side(&c->input, input_events, on_input);
        watch_side(&c->output, output_events, on_output);
    }
    if (is_eager) {
        (void)uv_idle_start(&c->eager, on_eager);
    } else {
        (void)uv_idle_stop(&c->eager);
    }
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

ssize_t channel_read(Channel *c, char *data, size_t n)
{
    ssize_t got;

    do {
        got = read(c->input.fd, data, n);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static ssize_t send_some(const ChannelSide *side, const char *data, size_t n)
{
    ssize_t sent;

    do {
        sent = side->is_socket ? send(side->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT)
                               : write(side->fd, data, n);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

int channel_flush(Channel *c)
{
    while (channel_backlog(c) > 0) {
        ssize_t n = send_some(output_side(c), c->out.data + c->sent, channel_backlog(c));

        if (n == -EAGAIN) {
            /* Moved only when less stays than went, so that a byte is moved once at most. */
            if (c->sent >= channel_backlog(c)) {
                buffer_consume(&c->out, c->sent);
                c->sent = 0;
            }
            return 0;
        }
        if (n < 0) {
            return (int)n;
        }
        c->sent += (size_t)n;
    }
    buffer_clear(&c->out);
    c->sent = 0;
    return 1;
}

size_t channel_backlog(const Channel *c)
{
    return c->out.len - c->sent;
}

void channel_trim(Channel *c)
{
    if (c->out.len == 0 && c->out.allocated > CHANNEL_IDLE_SIZE) {
        buffer_done(&c->out);
    }
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static void on_closed(uv_handle_t *handle)
{
    Channel *c = handle->data;

    if (--c->n_handles > 0) {
        return;
    }
    buffer_done(&c->out);
    c->input.fd = fd_close(c->input.fd);
    c->output.fd = fd_close(c->output.fd);
    c->events->closed(c->userdata);
}

void channel_close(Channel *c)
{
    if (c->is_closing) {
        return;
    }
    c->is_closing = true;
    c->wants_input = c->wants_output = false;
    uv_close((uv_handle_t *)&c->eager, on_closed);
    if (c->input.is_polled) {
        uv_close((uv_handle_t *)&c->input.poll, on_closed);
    }
    if (c->output.is_polled) {
        uv_close((uv_handle_t *)&c->output.poll, on_closed);
    }
}
