/* SPDX-License-Identifier: MIT */
/* The way that libssh2 cannot go, gone by the program ssh: one process for each channel. It reads
 * the user's configuration itself; said to it are only what the address names, and what must hold
 * whatever is configured: host keys are checked, no terminal there, nothing forwarded. */
#include "protocol/ssh/ssh-backend.h"

#include "protocol/base/buffer.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Its exit status for failures of its own; a command that ends with it cannot be told from that. */
#define SSH_OWN_FAILURE 255
/* What it said last, for the reason of a failure. */
#define TAIL_MAX ((size_t)4096)
/* From the end of its input to a signal. */
#define END_MS 2000
#define ARGUMENTS_MAX 40

typedef struct ProgramSession {
    SshSession base;
    char *arguments[ARGUMENTS_MAX]; /* all but the command; owned */
    size_t n_arguments;
    bool may_prompt;
} ProgramSession;

typedef struct ProgramChannel {
    SshChannel base;
    pid_t pid; /* 0: ended and waited for */
    int pidfd;
    int in_fd;  /* -1: ended */
    int out_fd; /* -1: ended */
    int err_fd; /* -1: ended */
    int status; /* of waitpid(2) */
    Buffer tail;
    int terminal_fd; /* while it may ask; -1 */
    pid_t terminal_owner;
} ProgramChannel;

static const SshBackend backend;

/* ---- opening ----------------------------------------------------------------------------------
 */

static SshSession *program_free(SshSession *session)
{
    ProgramSession *s = CONTAINER_OF(session, ProgramSession, base);

    for (size_t i = 0; i < s->n_arguments; i++) {
        free(s->arguments[i]);
    }
    free(s->base.name);
    free(s);
    return NULL;
}
DEFINE_CLEANUP(SshSession, program_free)

static int add(ProgramSession *s, const char *format, ...) _printf_(2, 3);
static int add(ProgramSession *s, const char *format, ...)
{
    va_list arguments;
    int r;

    if (s->n_arguments + 2 > ARGUMENTS_MAX) { /* the command and the end come after */
        return -E2BIG;
    }
    va_start(arguments, format);
    r = vasprintf(&s->arguments[s->n_arguments], format, arguments);
    va_end(arguments);
    if (r < 0) {
        return -ENOMEM;
    }
    s->n_arguments++;
    return 0;
}

static int add_arguments(ProgramSession *s, const SshAddress *address, const SshConfig *c)
{
    int r = add(s, "ssh");

    r = r == 0 ? add(s, "-T") : r;
    r = r == 0 ? add(s, "-oBatchMode=%s", s->may_prompt ? "no" : "yes") : r;
    r = r == 0 ? add(s, "-oStrictHostKeyChecking=yes") : r;
    r = r == 0 ? add(s, "-oClearAllForwardings=yes") : r;
    r = r == 0 ? add(s, "-oForwardAgent=no") : r;
    r = r == 0 ? add(s, "-oPermitLocalCommand=no") : r;
    r = r == 0 ? add(s, "-oRemoteCommand=none") : r;
    r = r == 0 ? add(s, "-oLogLevel=ERROR") : r;
    r = r == 0 ? add(s, "-oConnectTimeout=%lld", (long long)c->connect_timeout_ms / 1000) : r;
    r = r == 0 ? add(s, "-oServerAliveInterval=%lld", (long long)c->alive_interval_ms / 1000) : r;
    r = r == 0 ? add(s, "-oServerAliveCountMax=%lld", (long long)c->alive_count) : r;
    r = r == 0 && c->path ? add(s, "-F%s", c->path) : r;
    r = r == 0 && address->port ? add(s, "-p%u", address->port) : r;
    r = r == 0 && address->user ? add(s, "-l%s", address->user) : r;
    r = r == 0 ? add(s, "--") : r;
    return r == 0 ? add(s, "%s", address->host) : r;
}

int ssh_program_open(const SshAddress *address, const SshConfig *config, bool may_prompt,
                     SshSession **ret, Error *err)
{
    _cleanup_(program_freep) SshSession *session = NULL;
    ProgramSession *s = calloc(1, sizeof(*s));
    int r;

    if (!s) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    s->base.backend = &backend;
    s->may_prompt = may_prompt;
    session = &s->base;
    r = config->port == SSH_PORT
            ? asprintf(&s->base.name, "%s@%s", config->user, config->alias)
            : asprintf(&s->base.name, "%s@%s:%u", config->user, config->alias, config->port);
    if (r < 0) {
        s->base.name = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = add_arguments(s, address, config);
    if (r < 0) {
        return error_set_errno(err, r, "the command line of ssh");
    }
    *ret = TAKE_PTR(session);
    return 0;
}

/* It keeps itself alive. */
static int program_get_timeout_ms(const SshSession *session)
{
    return -1;
}

static int program_process(SshSession *session, Error *err)
{
    return 0;
}

/* ---- the terminal -----------------------------------------------------------------------------
 * A password is asked for at the terminal, from which only its foreground process group may read.
 * We may not be that: whoever started us keeps Ctrl-C to himself. So we are it until the host
 * has answered. */

static void set_terminal_owner(int fd, pid_t group)
{
    sigset_t ttou, before;

    (void)sigemptyset(&ttou);
    (void)sigaddset(&ttou, SIGTTOU);
    (void)sigprocmask(SIG_BLOCK, &ttou, &before);
    (void)tcsetpgrp(fd, group);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

static void borrow_terminal(ProgramChannel *c)
{
    c->terminal_fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    c->terminal_owner = c->terminal_fd >= 0 ? tcgetpgrp(c->terminal_fd) : -1;
    if (c->terminal_owner > 0 && c->terminal_owner != getpgrp()) {
        set_terminal_owner(c->terminal_fd, getpgrp());
    }
}

static void give_terminal_back(ProgramChannel *c)
{
    if (c->terminal_fd >= 0 && c->terminal_owner > 0 && c->terminal_owner != getpgrp()) {
        set_terminal_owner(c->terminal_fd, c->terminal_owner);
    }
    c->terminal_fd = fd_close(c->terminal_fd);
}

/* ---- starting ---------------------------------------------------------------------------------
 */

static int spawn(char *const *argv, const int fds[3], pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int r = posix_spawn_file_actions_init(&actions);

    if (r != 0) {
        return -r;
    }
    r = posix_spawnattr_init(&attributes);
    if (r != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
    }
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    for (int i = 0; r == 0 && i < 3; i++) {
        r = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    }
    r = r == 0 ? posix_spawnp(ret, argv[0], &actions, &attributes, argv, environ) : r;
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return -r;
}

/* ret[0] is ours and does not block, ret[1] the child's. */
static int make_pipe(bool is_input, int ret[2])
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0) {
        return -errno;
    }
    ret[0] = pair[is_input ? 1 : 0];
    ret[1] = pair[is_input ? 0 : 1];
    return fd_set_nonblock(ret[0], true);
}

static SshChannel *program_free_channel(SshChannel *channel);
DEFINE_CLEANUP(SshChannel, program_free_channel)

static int program_open_channel(SshSession *session, const char *command, SshChannel **ret,
                                Error *err)
{
    ProgramSession *s = CONTAINER_OF(session, ProgramSession, base);
    _cleanup_(program_free_channelp) SshChannel *channel = NULL;
    ProgramChannel *c = calloc(1, sizeof(*c));
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}, r = 0;

    if (!c) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *c = (ProgramChannel){
        .base = {.backend = &backend, .session = session},
        .pidfd = -1,
        .terminal_fd = -1,
        .tail = BUFFER_INIT(2 * TAIL_MAX),
    };
    for (int i = 0; r == 0 && i < 3; i++) {
        r = make_pipe(i == 0, pipes[i]);
    }
    c->in_fd = pipes[0][0];
    c->out_fd = pipes[1][0];
    c->err_fd = pipes[2][0];
    channel = &c->base;
    if (r == 0 && s->may_prompt) {
        borrow_terminal(c);
    }
    s->arguments[s->n_arguments] = (char *)command;
    s->arguments[s->n_arguments + 1] = NULL;
    r = r == 0 ? spawn(s->arguments, (int[]){pipes[0][1], pipes[1][1], pipes[2][1]}, &c->pid) : r;
    s->arguments[s->n_arguments] = NULL;
    for (int i = 0; i < 3; i++) {
        (void)fd_close(pipes[i][1]);
    }
    if (r < 0) {
        c->pid = 0;
        return error_set_errno(err, r, "starting the program ssh");
    }
    c->pidfd = pidfd_open(c->pid, 0);
    *ret = TAKE_PTR(channel);
    return 0;
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static bool wait_for_exit(ProgramChannel *c, int timeout_ms)
{
    struct pollfd wait = {.fd = c->pidfd, .events = POLLIN};
    int64_t deadline = clock_monotonic_ms() + timeout_ms, left = timeout_ms;
    int n;

    do {
        n = c->pidfd >= 0 ? poll(&wait, 1, (int)MAX(left, (int64_t)0)) : 1;
        left = deadline - clock_monotonic_ms();
    } while (n < 0 && errno == EINTR);
    if (n > 0 && waitpid(c->pid, &c->status, 0) == c->pid) {
        c->pid = 0;
    }
    return c->pid == 0;
}

static SshChannel *program_free_channel(SshChannel *channel)
{
    ProgramChannel *c = CONTAINER_OF(channel, ProgramChannel, base);
    bool is_given_up = c->out_fd >= 0 || c->err_fd >= 0;

    c->in_fd = fd_close(c->in_fd);
    c->out_fd = fd_close(c->out_fd);
    c->err_fd = fd_close(c->err_fd);
    if (c->pid > 0 && !wait_for_exit(c, is_given_up ? 0 : END_MS)) {
        (void)kill(c->pid, SIGTERM);
        if (!wait_for_exit(c, END_MS)) {
            (void)kill(c->pid, SIGKILL);
            (void)waitpid(c->pid, NULL, 0);
        }
    }
    give_terminal_back(c);
    c->pidfd = fd_close(c->pidfd);
    buffer_done(&c->tail);
    free(c);
    return NULL;
}

/* What ssh prints (OpenSSH 6 to 10), and what it means. The first that is found counts. */
static const struct {
    const char *text;
    int code;
} meanings[] = {
    {"Temporary failure in name resolution", -EHOSTUNREACH},
    {"Could not resolve hostname", SSH_NAME_NOT_FOUND},
    {"HOST IDENTIFICATION HAS CHANGED", SSH_HOST_CHANGED},
    {"REVOKED HOST KEY", SSH_HOST_CHANGED},
    {"Host key verification failed", SSH_HOST_UNKNOWN},
    {"Permission denied", SSH_NO_KEY_ACCEPTED},
    {"Too many authentication failures", SSH_NO_KEY_ACCEPTED},
    {"Bad owner or permissions", -EINVAL},
    {"Bad configuration option", -EINVAL},
    {"Connection refused", SSH_REFUSED},
    {"timed out", SSH_TIMED_OUT},
};

static int explain(ProgramChannel *c, Error *err)
{
    const char *text = buffer_text(&c->tail);
    int code = SSH_BROKEN;

    while (c->tail.len > 0 && strchr("\r\n", c->tail.data[c->tail.len - 1])) {
        buffer_truncate(&c->tail, c->tail.len - 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        if (strstr(text, meanings[i].text)) {
            code = meanings[i].code;
            break;
        }
    }
    return error_set(err, code, "the program ssh to '%s': %s", c->base.session->name,
                     c->tail.len > 0 ? buffer_text(&c->tail) : "it gave up without a word");
}

static int program_get_status(SshChannel *channel, SshStatus *ret, Error *err)
{
    ProgramChannel *c = CONTAINER_OF(channel, ProgramChannel, base);

    if (c->out_fd >= 0 || c->err_fd >= 0 || (c->pid > 0 && !wait_for_exit(c, 0))) {
        return 0;
    }
    give_terminal_back(c);
    if (WIFSIGNALED(c->status)) {
        return error_set(err, SSH_BROKEN, "the program ssh to '%s' was ended by signal %d",
                         channel->session->name, WTERMSIG(c->status));
    }
    if (WEXITSTATUS(c->status) == SSH_OWN_FAILURE) {
        return explain(c, err);
    }
    *ret = (SshStatus){.exit_code = WEXITSTATUS(c->status)};
    return 1;
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

static int keep_tail(ProgramChannel *c, const char *data, size_t n)
{
    if (n > TAIL_MAX) {
        data += n - TAIL_MAX;
        n = TAIL_MAX;
    }
    if (c->tail.len + n > TAIL_MAX) {
        buffer_consume(&c->tail, c->tail.len + n - TAIL_MAX);
    }
    return buffer_append(&c->tail, data, n);
}

static ssize_t program_read(SshChannel *channel, SshStream stream, void *data, size_t n, Error *err)
{
    ProgramChannel *c = CONTAINER_OF(channel, ProgramChannel, base);
    int *fd = stream == SSH_STDERR ? &c->err_fd : &c->out_fd;
    ssize_t got;

    if (*fd < 0) {
        return 0;
    }
    do {
        got = read(*fd, data, n);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == EAGAIN ? -EAGAIN : error_set_errno(err, -errno, "reading from ssh");
    }
    if (got == 0) {
        *fd = fd_close(*fd);
    } else if (stream == SSH_STDERR) {
        int r = keep_tail(c, data, (size_t)got);

        return r < 0 ? error_set(err, r, "out of memory") : got;
    } else {
        give_terminal_back(c);
    }
    return got;
}

static ssize_t program_write(SshChannel *channel, const void *data, size_t n, Error *err)
{
    ProgramChannel *c = CONTAINER_OF(channel, ProgramChannel, base);
    ssize_t taken;

    do {
        taken = c->in_fd < 0 ? 0 : write(c->in_fd, data, n);
    } while (taken < 0 && errno == EINTR);
    if (taken < 0 && errno == EAGAIN) {
        return -EAGAIN;
    }
    if (taken <= 0) {
        return error_set(err, -EPIPE, "the command on '%s' reads no more", channel->session->name);
    }
    return taken;
}

static int program_end_input(SshChannel *channel, Error *err)
{
    ProgramChannel *c = CONTAINER_OF(channel, ProgramChannel, base);

    c->in_fd = fd_close(c->in_fd);
    return 0;
}

static size_t program_watch(const SshChannel *channel, bool wants_write,
                            struct pollfd fds[static SSH_CHANNEL_WATCH_MAX])
{
    const ProgramChannel *c = CONTAINER_OF(channel, ProgramChannel, base);
    size_t n = 0;

    if (wants_write && c->in_fd >= 0) {
        fds[n++] = (struct pollfd){.fd = c->in_fd, .events = POLLOUT};
    }
    if (c->out_fd >= 0) {
        fds[n++] = (struct pollfd){.fd = c->out_fd, .events = POLLIN};
    }
    if (c->err_fd >= 0) {
        fds[n++] = (struct pollfd){.fd = c->err_fd, .events = POLLIN};
    }
    if (n == 0 && c->pid > 0) { /* there is nothing but its end to wait for */
        fds[n++] = (struct pollfd){.fd = c->pidfd, .events = POLLIN};
    }
    return n;
}

static int program_flush(SshChannel *channel, Error *err)
{
    return 0;
}

static const SshBackend backend = {
    .is_program = true,
    .free = program_free,
    .get_timeout_ms = program_get_timeout_ms,
    .process = program_process,
    .open_channel = program_open_channel,
    .free_channel = program_free_channel,
    .read = program_read,
    .write = program_write,
    .end_input = program_end_input,
    .get_status = program_get_status,
    .watch = program_watch,
    .flush = program_flush,
};
