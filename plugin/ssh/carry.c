/* SPDX-License-Identifier: MIT */
#include "plugin/ssh/carry.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define PIECE_SIZE ((size_t)256 << 10)
/* Once nobody reads any more: for what was said to the command to arrive, and for its end. */
#define UNREAD_MS 3000

/* Bytes on their way: nothing more is taken before they are gone. */
typedef struct Piece {
    char *data;
    size_t start;
    size_t end;
} Piece;

typedef struct Run {
    Carry *carry;
    Piece up;
    Piece down;
    bool is_input_over;      /* told to the command */
    int64_t unread_until_ms; /* nobody reads what it says; 0: somebody does */
} Run;

static bool is_empty(const Piece *piece)
{
    return piece->start == piece->end;
}

/* ---- up ---------------------------------------------------------------------------------------
 */

/* 1: something went on its way. */
static int take_input(Run *run, Error *err)
{
    ssize_t n;

    if (run->is_input_over || !is_empty(&run->up)) {
        return 0;
    }
    n = read(run->carry->in_fd, run->up.data, PIECE_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n <= 0) { /* also a reset: whoever hung up says no more */
        run->is_input_over = true;
        return ssh_channel_end_input(run->carry->channel, err);
    }
    run->up.start = 0;
    run->up.end = (size_t)n;
    return 1;
}

static int send_up(Run *run, Error *err)
{
    ssize_t n;

    if (is_empty(&run->up)) {
        return 0;
    }
    n = ssh_channel_write(run->carry->channel, run->up.data + run->up.start,
                          run->up.end - run->up.start, err);
    if (n == -EAGAIN) {
        return 0;
    }
    if (n == -EPIPE) { /* the command's end tells why */
        error_done(err);
        run->up.start = run->up.end;
        run->is_input_over = true;
        return 0;
    }
    if (n < 0) {
        return (int)n;
    }
    run->up.start += (size_t)n;
    return 1;
}

/* ---- down -------------------------------------------------------------------------------------
 */

static void forget_reader(Run *run)
{
    if (run->unread_until_ms == 0) {
        run->unread_until_ms = clock_monotonic_ms() + UNREAD_MS;
    }
    run->down.start = run->down.end;
}

static int send_down(Run *run)
{
    ssize_t n;

    if (is_empty(&run->down)) {
        return 0;
    }
    n = run->unread_until_ms > 0 ? (ssize_t)(run->down.end - run->down.start)
                                 : write(run->carry->out_fd, run->down.data + run->down.start,
                                         run->down.end - run->down.start);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            forget_reader(run);
        }
        return 0;
    }
    run->down.start += (size_t)n;
    return 1;
}

/* For people; a terminal that is gone is no reason to end. */
static void pass_on(Carry *carry, const char *data, size_t n)
{
    if (carry->err_fd >= 0 && fd_write_all(carry->err_fd, data, n) < 0) {
        carry->err_fd = -1;
    }
}

static int take_output(Run *run, Error *err)
{
    ssize_t n;

    if (!is_empty(&run->down)) {
        return 0;
    }
    n = ssh_channel_read(run->carry->channel, SSH_STDOUT, run->down.data, PIECE_SIZE, err);
    if (n <= 0) {
        return n == -EAGAIN ? 0 : (int)n;
    }
    run->down.start = 0;
    run->down.end = (size_t)n;
    if (!run->carry->has_spoken) {
        run->carry->has_spoken = true;
        pass_on(run->carry, buffer_text(&run->carry->early_errors), run->carry->early_errors.len);
        buffer_clear(&run->carry->early_errors);
    }
    return 1;
}

/* What a command says before it works is the reason where it never does. */
static int take_errors(Run *run, Error *err)
{
    Buffer *early = &run->carry->early_errors;
    char data[CARRY_EARLY_MAX];
    ssize_t n = ssh_channel_read(run->carry->channel, SSH_STDERR, data, sizeof(data), err);

    if (n <= 0) {
        return n == -EAGAIN ? 0 : (int)n;
    }
    if (run->carry->has_spoken) {
        pass_on(run->carry, data, (size_t)n);
        return 1;
    }
    if (early->len + (size_t)n > CARRY_EARLY_MAX) {
        buffer_consume(early, early->len + (size_t)n - CARRY_EARLY_MAX);
    }
    return buffer_append(early, data, (size_t)n) < 0 ? error_set(err, -ENOMEM, "out of memory") : 1;
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

/* While bytes wait for our reader, the command is not listened to: its own writer feels that. */
static size_t watch(const Run *run, struct pollfd fds[static SSH_CHANNEL_WATCH_MAX + 2])
{
    bool is_full = !is_empty(&run->down);
    size_t n = ssh_channel_watch(run->carry->channel, !is_empty(&run->up), fds);

    for (size_t i = 0; is_full && i < n; i++) {
        fds[i].events &= (short)~POLLIN;
    }
    if (!run->is_input_over && is_empty(&run->up)) {
        fds[n++] = (struct pollfd){.fd = run->carry->in_fd, .events = POLLIN};
    }
    /* Always: that nobody reads any more is told without being asked for. Once is enough. */
    fds[n++] = (struct pollfd){.fd = run->unread_until_ms > 0 ? -1 : run->carry->out_fd,
                               .events = is_full ? POLLOUT : 0};
    return n;
}

static int wait_for_more(Run *run, Error *err)
{
    struct pollfd fds[SSH_CHANNEL_WATCH_MAX + 2];
    size_t n = watch(run, fds);
    int64_t timeout = ssh_session_get_timeout_ms(run->carry->session);
    int64_t left = run->carry->first_byte_by_ms - clock_monotonic_ms();

    if (run->carry->first_byte_by_ms > 0 && !run->carry->has_spoken) {
        if (left <= 0) {
            return error_set(err, SSH_TIMED_OUT, "the command on '%s' says nothing",
                             ssh_session_get_name(run->carry->session));
        }
        timeout = timeout < 0 ? left : MIN(timeout, left);
    }
    if (run->unread_until_ms > 0) {
        timeout = MAX(run->unread_until_ms - clock_monotonic_ms(), (int64_t)0);
    }
    if (poll(fds, n, (int)timeout) > 0 && (fds[n - 1].revents & (POLLERR | POLLHUP | POLLNVAL))) {
        forget_reader(run);
    }
    return ssh_session_process(run->carry->session, err);
}

/* 1: something moved. */
static int move(Run *run, Error *err)
{
    int (*const steps[])(Run * run, Error * err) = {take_output, take_errors, take_input, send_up};
    bool has_moved = false;

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        int r = steps[i](run, err);

        if (r < 0) {
            return r;
        }
        has_moved |= r > 0;
    }
    return has_moved | (send_down(run) > 0);
}

static int carry_all(Run *run, SshStatus *ret, Error *err)
{
    int r = 0;

    while (r == 0 && (run->unread_until_ms == 0 || clock_monotonic_ms() < run->unread_until_ms)) {
        r = move(run, err);
        if (r > 0) {
            r = ssh_channel_flush(run->carry->channel, err);
            continue;
        }
        if (r == 0 && is_empty(&run->down)) {
            r = ssh_channel_get_status(run->carry->channel, ret, err);
        }
        if (r == 0) {
            r = wait_for_more(run, err);
        }
    }
    return r;
}

int carry_run(Carry *carry, SshStatus *ret, Error *err)
{
    _cleanup_free_ char *up = malloc(PIECE_SIZE), *down = malloc(PIECE_SIZE);
    Run run = {.carry = carry, .up.data = up, .down.data = down};
    int r = up && down ? fd_set_nonblock(carry->in_fd, true) : -ENOMEM;

    r = r == 0 ? fd_set_nonblock(carry->out_fd, true) : r;
    return r < 0 ? error_set_errno(err, r, "carrying bytes") : carry_all(&run, ret, err);
}

void carry_done(Carry *carry)
{
    buffer_done(&carry->early_errors);
}
