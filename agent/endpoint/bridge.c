/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/bridge.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FLOW_SIZE ((size_t)128 << 10)

/* One direction. While it holds bytes it does not read, so a reader that stops is felt by the
 * writer. */
typedef struct Flow {
    int from;
    int to;
    char *data;
    size_t start;
    size_t end;
    bool is_over; /* `from` has ended */
} Flow;

static bool is_empty(const Flow *flow)
{
    return flow->start == flow->end;
}

/* -errno of `from`. */
static int take_in(Flow *flow)
{
    ssize_t n = read(flow->from, flow->data, FLOW_SIZE);

    if (n < 0) {
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    }
    flow->start = 0;
    flow->end = (size_t)n;
    flow->is_over = n == 0;
    return 0;
}

/* -errno of `to`. */
static int give_out(Flow *flow)
{
    ssize_t n = write(flow->to, flow->data + flow->start, flow->end - flow->start);

    if (n < 0) {
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    }
    flow->start += (size_t)n;
    return 0;
}

/* A hang-up is how conversations end. */
static bool is_hang_up(int r)
{
    return r == -EPIPE || r == -ECONNRESET;
}

static int move(Flow *flow, short from_events, short to_events)
{
    int r = 0;

    if (from_events) {
        r = take_in(flow);
        flow->is_over = flow->is_over || is_hang_up(r);
        r = is_hang_up(r) ? 0 : r;
        to_events = POLLOUT; /* most likely, and write() tells */
    }
    return r == 0 && !is_empty(flow) && to_events ? give_out(flow) : r;
}

/* The agent that hangs up may have said why before: its last bytes still go down. */
static int move_up(Flow *up, short from_events, short to_events, bool *was_told)
{
    int r = move(up, from_events, to_events);

    if (is_hang_up(r)) {
        up->is_over = true;
        up->start = up->end = 0;
        r = 0;
    }
    if (up->is_over && is_empty(up) && !*was_told) {
        (void)shutdown(up->to, SHUT_WR);
        *was_told = true;
    }
    return r;
}

static short wanted_input(const Flow *flow)
{
    return is_empty(flow) && !flow->is_over ? POLLIN : 0;
}

static short wanted_output(const Flow *flow)
{
    return is_empty(flow) ? 0 : POLLOUT;
}

/* poll() always tells of a hang-up, and would for ever where nothing else is waited for; it skips a
 * negative descriptor. */
static struct pollfd watch(int fd, short events)
{
    return (struct pollfd){.fd = events ? fd : -1, .events = events};
}

static int carry(Flow *up, Flow *down)
{
    bool was_told = false;
    int r = 0;

    while (r == 0 && !(down->is_over && is_empty(down))) {
        struct pollfd input = watch(up->from, wanted_input(up));
        struct pollfd agent = watch(up->to, (short)(wanted_output(up) | wanted_input(down)));
        /* Always watched: where nobody reads any more, there is nothing left to do. */
        struct pollfd output = {.fd = down->to, .events = wanted_output(down)};
        struct pollfd fds[] = {input, agent, output};

        if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
            r = errno == EINTR ? 0 : -errno;
            continue;
        }
        if (fds[2].revents & (POLLERR | POLLNVAL)) {
            break;
        }
        r = move_up(up, fds[0].revents, fds[1].revents & POLLOUT, &was_told);
        if (r == 0) {
            r = move(down, wanted_input(down) ? fds[1].revents & ~POLLOUT : 0,
                     fds[2].revents & POLLOUT);
        }
    }
    return is_hang_up(r) ? 0 : r;
}

int bridge_run_take(int in_fd, int out_fd, int socket, Error *err)
{
    _cleanup_fd_ int owned = socket;
    _cleanup_free_ char *up_data = malloc(FLOW_SIZE), *down_data = malloc(FLOW_SIZE);
    Flow up = {.from = in_fd, .to = owned, .data = up_data};
    Flow down = {.from = owned, .to = out_fd, .data = down_data};
    int r = up_data && down_data ? fd_set_nonblock(owned, true) : -ENOMEM;

    /* A terminal stays as the shell has it. */
    if (r == 0 && !isatty(out_fd)) {
        r = fd_set_nonblock(out_fd, true);
    }
    r = r == 0 ? carry(&up, &down) : r;
    return r < 0 ? error_set_errno(err, r, "carrying bytes to the agent") : 0;
}
