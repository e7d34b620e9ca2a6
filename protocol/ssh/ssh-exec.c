/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-exec.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PIECE_SIZE ((size_t)128 << 10)
/* What of a command's stderr goes into a sentence. */
#define REASON_MAX 1000

/* ---- running ----------------------------------------------------------------------------------
 */

/* One command while it runs. */
typedef struct Run {
    SshSession *session;
    const SshExec *exec;
    SshChannel *channel;
    char *piece;
    size_t piece_len; /* of its input; what is left of it begins at `piece_start` */
    size_t piece_start;
    char *data; /* of its output */
    int64_t deadline_ms;
    bool is_input_over;
} Run;

/* 1: something went on its way. */
static int give_input(Run *run, Error *err)
{
    ssize_t n;

    if (run->is_input_over) {
        return 0;
    }
    if (run->piece_start == run->piece_len) {
        n = run->exec->input ? run->exec->input(run->piece, PIECE_SIZE, run->exec->userdata) : 0;
        if (n < 0) {
            return err && err->text ? (int)n : error_set_errno(err, (int)n, "reading the input");
        }
        run->piece_start = 0;
        run->piece_len = (size_t)n;
    }
    if (run->piece_len == 0) {
        run->is_input_over = true;
        return ssh_channel_end_input(run->channel, err);
    }
    n = ssh_channel_write(run->channel, run->piece + run->piece_start,
                          run->piece_len - run->piece_start, err);
    if (n == -EPIPE) { /* it reads no more; how it ended says whether that is wrong */
        error_done(err);
        run->is_input_over = true;
        return 0;
    }
    if (n == -EAGAIN) {
        return 0;
    }
    if (n < 0) {
        return (int)n;
    }
    run->piece_start += (size_t)n;
    return 1;
}

/* 1: something came. */
static int take_output(Run *run, SshStream stream, Error *err)
{
    ssize_t n = ssh_channel_read(run->channel, stream, run->data, PIECE_SIZE, err);
    int r = 0;

    if (n <= 0) {
        return n == -EAGAIN ? 0 : (int)n;
    }
    if (run->exec->output) {
        r = run->exec->output(stream, run->data, (size_t)n, run->exec->userdata);
    }
    return r < 0 ? error_set_errno(err, r, "taking what the command says") : 1;
}

static int wait_for_more(Run *run, Error *err)
{
    bool wants_write = !run->is_input_over;
    struct pollfd fds[SSH_CHANNEL_WATCH_MAX];
    size_t n = ssh_channel_watch(run->channel, wants_write, fds);
    int64_t timeout = ssh_session_get_timeout_ms(run->session);

    if (run->deadline_ms > 0) {
        int64_t left = run->deadline_ms - clock_monotonic_ms();

        if (left <= 0) {
            return error_set(err, SSH_TIMED_OUT, "the command on '%s' took more than %lld s",
                             ssh_session_get_name(run->session),
                             (long long)run->exec->timeout_ms / 1000);
        }
        timeout = timeout < 0 ? left : MIN(timeout, left);
    }
    (void)poll(fds, n, (int)MIN(timeout, (int64_t)INT32_MAX));
    return ssh_session_process(run->session, err);
}

static int run_to_end(Run *run, SshStatus *ret, Error *err)
{
    int r;

    while ((r = ssh_channel_get_status(run->channel, ret, err)) == 0) {
        int out = take_output(run, SSH_STDOUT, err);
        int errors = out < 0 ? out : take_output(run, SSH_STDERR, err);
        int in = errors < 0 ? errors : give_input(run, err);

        if (in < 0) {
            return in;
        }
        r = ssh_channel_flush(run->channel, err);
        if (r == 0 && !out && !errors && !in) {
            r = ssh_channel_get_status(run->channel, ret, err);
            if (r != 0) {
                break;
            }
            r = wait_for_more(run, err);
        }
        if (r < 0) {
            return r;
        }
    }
    return MIN(r, 0);
}

int ssh_exec(SshSession *session, const SshExec *exec, SshStatus *ret, Error *err)
{
    _cleanup_(ssh_channel_freep) SshChannel *channel = NULL;
    _cleanup_free_ char *piece = malloc(PIECE_SIZE), *data = malloc(PIECE_SIZE);
    Run run = {
        .session = session,
        .exec = exec,
        .piece = piece,
        .data = data,
        .deadline_ms = exec->timeout_ms > 0 ? clock_monotonic_ms() + exec->timeout_ms : 0,
    };
    int r;

    if (!piece || !data) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = ssh_channel_open(session, exec->command, &channel, err);
    run.channel = channel;
    return r < 0 ? r : run_to_end(&run, ret, err);
}

/* ---- keeping what it says ---------------------------------------------------------------------
 */

typedef struct Capture {
    const char *input;
    Buffer *streams[2];
} Capture;

static ssize_t give_text(char *data, size_t n, void *userdata)
{
    Capture *c = userdata;
    size_t len = c->input ? MIN(strlen(c->input), n) : 0;

    if (len > 0) {
        memcpy(data, c->input, len);
        c->input += len;
    }
    return (ssize_t)len;
}

static int keep(SshStream stream, const char *data, size_t n, void *userdata)
{
    Capture *c = userdata;

    return c->streams[stream] ? buffer_append(c->streams[stream], data, n) : 0;
}

int ssh_exec_capture(SshSession *session, const char *command, const char *input,
                     int64_t timeout_ms, Buffer *out, Buffer *errors, SshStatus *ret, Error *err)
{
    Capture capture = {.input = input, .streams = {[SSH_STDOUT] = out, [SSH_STDERR] = errors}};
    SshExec exec = {
        .command = command,
        .input = give_text,
        .output = keep,
        .userdata = &capture,
        .timeout_ms = timeout_ms,
    };

    return ssh_exec(session, &exec, ret, err);
}

/* The command's own words are in the sentence, cut where they are long. */
static int check_status(const SshSession *session, const char *what, const SshStatus *status,
                        Buffer *errors, Error *err)
{
    const char *text;

    if (!status->is_signalled && status->exit_code == 0) {
        return 0;
    }
    while (errors->len > 0 && strchr("\r\n ", errors->data[errors->len - 1])) {
        buffer_truncate(errors, errors->len - 1);
    }
    text = buffer_text(errors);
    text += errors->len > REASON_MAX ? errors->len - REASON_MAX : 0;
    if (status->is_signalled) {
        return error_set(err, -EREMOTEIO, "%s on '%s' was ended by SIG%s%s%s", what,
                         ssh_session_get_name(session), status->signal, *text ? ": " : "", text);
    }
    return error_set(err, -EREMOTEIO, "%s on '%s' ended with exit status %d%s%s", what,
                     ssh_session_get_name(session), status->exit_code, *text ? ": " : "", text);
}

/* stderr of which only the end is kept: what went wrong stands last. */
typedef struct Transfer {
    int fd;
    off_t offset;
    Buffer errors;
} Transfer;

static int keep_end(Buffer *errors, const char *data, size_t n)
{
    size_t skipped = n > REASON_MAX ? n - REASON_MAX : 0;

    if (errors->len > 2 * REASON_MAX) {
        buffer_consume(errors, errors->len - REASON_MAX);
    }
    return buffer_append(errors, data + skipped, n - skipped);
}

int ssh_exec_check(SshSession *session, const char *command, const char *input, int64_t timeout_ms,
                   Buffer *out, Error *err)
{
    _cleanup_buffer_ Buffer errors = {0};
    SshStatus status;
    int r = ssh_exec_capture(session, command, input, timeout_ms, out, &errors, &status, err);

    return r < 0 ? r : check_status(session, command, &status, &errors, err);
}

/* ---- files ------------------------------------------------------------------------------------
 */

int ssh_quote(Buffer *command, const char *word)
{
    int r = buffer_append(command, "'", 1);

    for (; r == 0 && *word; word++) {
        r = *word == '\'' ? buffer_append_text(command, "'\\''") : buffer_append(command, word, 1);
    }
    return r == 0 ? buffer_append(command, "'", 1) : r;
}

static ssize_t give_file(char *data, size_t n, void *userdata)
{
    Transfer *t = userdata;
    ssize_t got = fd_pread_full(t->fd, data, n, t->offset);

    t->offset += got > 0 ? got : 0;
    return got;
}

static int take_file(SshStream stream, const char *data, size_t n, void *userdata)
{
    Transfer *t = userdata;

    return stream == SSH_STDERR ? keep_end(&t->errors, data, n)
           : t->fd >= 0         ? fd_write_all(t->fd, data, n)
                                : 0;
}

static int drop_file(SshStream stream, const char *data, size_t n, void *userdata)
{
    Transfer *t = userdata;

    return stream == SSH_STDERR ? keep_end(&t->errors, data, n) : 0;
}

int ssh_exec_upload(SshSession *session, int fd, const char *path, mode_t mode, int64_t timeout_ms,
                    Error *err)
{
    _cleanup_buffer_ Buffer quoted = {0}, command = {0};
    Transfer transfer = {.fd = fd};
    SshExec exec = {
        .input = give_file, .output = drop_file, .userdata = &transfer, .timeout_ms = timeout_ms};
    SshStatus status;
    int r = ssh_quote(&quoted, path);

    r = r == 0 ? buffer_append_format(&command,
                                      "f=%s && umask 077 && cat > \"$f.part\" && chmod %04o "
                                      "\"$f.part\" && mv -f \"$f.part\" \"$f\"",
                                      buffer_text(&quoted), (unsigned)(mode & 07777))
               : r;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    exec.command = buffer_text(&command);
    r = ssh_exec(session, &exec, &status, err);
    r = r == 0 ? check_status(session, "writing a file", &status, &transfer.errors, err) : r;
    buffer_done(&transfer.errors);
    return r < 0 ? error_wrap(err, "sending '%s'", path) : 0;
}

int ssh_exec_download(SshSession *session, const char *path, int fd, int64_t timeout_ms, Error *err)
{
    _cleanup_buffer_ Buffer command = {0};
    Transfer transfer = {.fd = fd};
    SshExec exec = {.output = take_file, .userdata = &transfer, .timeout_ms = timeout_ms};
    SshStatus status;
    int r = buffer_append_text(&command, "cat < ");

    r = r == 0 ? ssh_quote(&command, path) : r;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    exec.command = buffer_text(&command);
    r = ssh_exec(session, &exec, &status, err);
    r = r == 0 ? check_status(session, "reading a file", &status, &transfer.errors, err) : r;
    buffer_done(&transfer.errors);
    return r < 0 ? error_wrap(err, "fetching '%s'", path) : 0;
}
