/* SPDX-License-Identifier: MIT */
#include "agent/shim/control.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void control_init(Control *control, int listen_fd)
{
    *control = (Control){.listen_fd = listen_fd};
    for (size_t k = 0; k < CONTROL_CONNECTIONS_MAX; k++) {
        control->connections[k].fd = -1;
    }
}

static void hang_up(ControlConnection *connection)
{
    (void)fd_close(connection->fd);
    *connection = (ControlConnection){.fd = -1};
}

static ControlConnection *find_free(Control *control)
{
    for (size_t k = 0; k < CONTROL_CONNECTIONS_MAX; k++) {
        if (control->connections[k].fd < 0) {
            return &control->connections[k];
        }
    }
    return NULL;
}

void control_prepare(Control *control, struct pollfd *fds)
{
    fds[0] = (struct pollfd){
        .fd = find_free(control) ? control->listen_fd : -1,
        .events = POLLIN,
    };
    for (size_t k = 0; k < CONTROL_CONNECTIONS_MAX; k++) {
        const ControlConnection *c = &control->connections[k];

        fds[k + 1] = (struct pollfd){
            .fd = c->fd,
            .events = (short)(POLLIN | (c->out_len > 0 ? POLLOUT : 0)),
        };
    }
}

static bool take_lines(ControlConnection *c)
{
    bool is_cancel = false;
    char *lf;

    while ((lf = memchr(c->in, '\n', c->in_len))) {
        size_t len = (size_t)(lf - c->in);

        is_cancel = is_cancel || (len == strlen("cancel") && memcmp(c->in, "cancel", len) == 0);
        c->in_len -= len + 1;
        memmove(c->in, lf + 1, c->in_len);
    }
    return is_cancel;
}

static bool receive(ControlConnection *c)
{
    ssize_t got = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);
    bool is_cancel;

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (got <= 0) {
        hang_up(c);
        return false;
    }
    c->in_len += (size_t)got;
    is_cancel = take_lines(c);
    if (c->in_len == sizeof(c->in)) { /* no line of ours is that long */
        hang_up(c);
    }
    return is_cancel;
}

static void send_rest(ControlConnection *c)
{
    ssize_t sent = send(c->fd, c->out, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0) {
        /* Who has hung up may have said something before: reading finds out, not this. */
        c->out_len = errno == EAGAIN || errno == EINTR ? c->out_len : 0;
        return;
    }
    c->out_len -= (size_t)sent;
    memmove(c->out, c->out + sent, c->out_len);
}

bool control_handle(Control *control, const struct pollfd *fds)
{
    bool is_cancel = false;

    for (size_t k = 0; k < CONTROL_CONNECTIONS_MAX; k++) {
        ControlConnection *c = &control->connections[k];

        if (fds[k + 1].fd < 0 || fds[k + 1].revents == 0) {
            continue;
        }
        is_cancel = receive(c) || is_cancel;
        if (c->out_len > 0) {
            send_rest(c);
        }
    }
    if (fds[0].fd >= 0 && fds[0].revents) {
        ControlConnection *c = find_free(control);
        int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (c && fd >= 0) {
            c->fd = TAKE_FD(fd);
        }
        (void)fd_close(fd);
    }
    return is_cancel;
}

void control_tell(Control *control, uint64_t seq)
{
    for (size_t k = 0; k < CONTROL_CONNECTIONS_MAX; k++) {
        ControlConnection *c = &control->connections[k];

        if (c->fd >= 0 && c->out_len == 0 && c->told < seq) {
            c->out_len = (size_t)snprintf(c->out, sizeof(c->out), "seq %" PRIu64 "\n", seq);
            c->told = seq;
            send_rest(c);
        }
    }
}

void control_done(Control *control)
{
    for (size_t k = 0; k < CONTROL_CONNECTIONS_MAX; k++) {
        hang_up(&control->connections[k]);
    }
    control->listen_fd = fd_close(control->listen_fd);
}
