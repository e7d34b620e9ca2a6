/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/keeper/keeper.h"

#include "agent/engine-local/keeper/process.h"
#include "agent/engine-local/keeper/service-log.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Engines that are connected: one, and a second while a restarted one comes. */
#define CONTROLLERS_MAX 4
#define COMMAND_BYTES_MAX 64
#define ENVIRONMENT_BYTES_MAX ((size_t)4 << 20)
#define STATUS_BYTES_MAX ((size_t)8 << 10)
#define GRACE_MS_MAX ((int64_t)86400 * 1000)
/* When a person or the host ends the keeper itself with SIGTERM. */
#define OWN_GRACE_MS 5000
/* What a pipe holds, in reads of ours: what its last writers left in it. */
#define LAST_READS_MAX 64
/* A process that was forked while the others were killed is caught by the next sweep. */
#define SWEEP_MS_FIRST 5
#define SWEEP_MS_MAX 200

typedef struct Controller {
    int fd;
    size_t n;
    char command[COMMAND_BYTES_MAX];
} Controller;

typedef struct Keeper {
    const KeeperOptions *options;
    pid_t service;
    int wait_status;
    bool is_ended; /* the service's own process */
    bool is_all_ended;
    int64_t kill_at_ms; /* -1: nobody wants it to end */
    int64_t sweep_ms;
    int signal_fd;
    int output_fd;
    ServiceLog log;
    Controller controllers[CONTROLLERS_MAX];
} Keeper;

/* ---- the status file --------------------------------------------------------------------------
 */

static const char *const end_names[_KEEPER_END_MAX] = {
    [KEEPER_EXITED] = "exited",
    [KEEPER_KILLED] = "killed",
    [KEEPER_FAILED] = "failed",
};

void keeper_status_done(KeeperStatus *status)
{
    free(status->text);
    *status = (KeeperStatus){0};
}

void keeper_status_read(int instance_fd, KeeperStatus *ret)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(STATUS_BYTES_MAX);

    *ret = (KeeperStatus){.end = KEEPER_LOST};
    if (file_read(instance_fd, KEEPER_FILE_STATUS, &text, NULL) < 0) {
        return;
    }
    for (KeeperEnd end = KEEPER_EXITED; end < KEEPER_LOST; end++) {
        size_t n = strlen(end_names[end]);

        if (text_has_prefix(buffer_text(&text), end_names[end]) && text.data[n] == ' ') {
            *ret = (KeeperStatus){.end = end, .value = atoi(text.data + n)};
            ret->text = strdup(text.data + n + 1);
            return;
        }
    }
}

/* Written aside and renamed, not synced: after a power cut there is no process to tell about. */
static int status_write(KeeperEnd end, int value, const char *text)
{
    _cleanup_buffer_ Buffer line = BUFFER_INIT(STATUS_BYTES_MAX);
    _cleanup_fd_ int fd = -1;
    int r;

    r = text ? buffer_append_format(&line, "%s %s", end_names[end], text)
             : buffer_append_format(&line, "%s %d", end_names[end], value);
    if (r < 0) {
        return r;
    }
    fd = openat(KEEPER_FD_INSTANCE, KEEPER_FILE_STATUS ".tmp",
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : fd_write_all(fd, line.data, line.len);
    if (r == 0 && renameat(KEEPER_FD_INSTANCE, KEEPER_FILE_STATUS ".tmp", KEEPER_FD_INSTANCE,
                           KEEPER_FILE_STATUS) < 0) {
        r = -errno;
    }
    return r;
}

/* ---- starting the service ---------------------------------------------------------------------
 */

/* What the child says over the close-on-exec pipe when it cannot become the service. */
typedef struct StartFailure {
    int code;
    bool is_directory;
} StartFailure;

/* `text` stays alive: the pointers are into it. */
static char **split_environment(Buffer *text)
{
    char **environment, *at = text->data;
    size_t n = 0;

    for (size_t i = 0; i < text->len; i++) {
        n += text->data[i] == '\0';
    }
    environment = calloc(n + 1, sizeof(*environment));
    for (size_t i = 0; environment && i < n; i++, at += strlen(at) + 1) {
        environment[i] = at;
    }
    return environment;
}

_noreturn_ static void become_service(const KeeperOptions *options, char **environment,
                                      int output_fd, int failure_fd)
{
    struct rlimit files;
    StartFailure failure = {0};
    sigset_t none;

    (void)setsid();
    /* If the keeper is ended by force, its service goes with it rather than run unseen. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (options->files_max > 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = MIN((rlim_t)options->files_max, files.rlim_max);
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (chdir(options->directory) < 0) {
        failure = (StartFailure){.code = errno, .is_directory = true};
    } else if (dup2(output_fd, STDOUT_FILENO) < 0 || dup2(output_fd, STDERR_FILENO) < 0) {
        failure.code = errno;
    } else {
        environ = environment;
        (void)execvp(options->command[0], options->command);
        failure.code = errno;
    }
    _exit(fd_write_all(failure_fd, &failure, sizeof(failure)) < 0 ? 126 : 127);
}

static int explain_failure(const KeeperOptions *options, const StartFailure *failure, Error *err)
{
    if (failure->is_directory) {
        return error_set_errno(err, -failure->code, "cannot enter the working directory '%s'",
                               options->directory);
    }
    return error_set_errno(err, -failure->code, "cannot start '%s'", options->command[0]);
}

static int start_service(Keeper *keeper, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(ENVIRONMENT_BYTES_MAX);
    _cleanup_free_ char **environment = NULL;
    _cleanup_fd_ int output_fd = -1, failure_fd = -1, failure_write_fd = -1;
    StartFailure failure;
    int fds[2], r;

    r = file_read(KEEPER_FD_INSTANCE, KEEPER_FILE_ENVIRONMENT, &text, err);
    if (r < 0) {
        return r;
    }
    environment = split_environment(&text);
    if (!environment) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return error_set_errno(err, -errno, "cannot make a pipe");
    }
    keeper->output_fd = fds[0];
    output_fd = fds[1];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return error_set_errno(err, -errno, "cannot make a pipe");
    }
    failure_fd = fds[0];
    failure_write_fd = fds[1];
    keeper->service = fork();
    if (keeper->service == 0) {
        become_service(keeper->options, environment, output_fd, failure_write_fd);
    }
    if (keeper->service < 0) {
        return error_set_errno(err, -errno, "cannot start '%s'", keeper->options->command[0]);
    }
    failure_write_fd = fd_close(failure_write_fd);
    if (fd_read_full(failure_fd, &failure, sizeof(failure)) == (ssize_t)sizeof(failure)) {
        (void)waitpid(keeper->service, NULL, 0);
        return explain_failure(keeper->options, &failure, err);
    }
    return fd_set_nonblock(keeper->output_fd, true);
}

/* ---- while it runs ----------------------------------------------------------------------------
 */

/* Bounded: what comes faster than it is read waits in the pipe, and the service with it. */
static void take_output(Keeper *keeper)
{
    char data[16384];
    ssize_t n = read(keeper->output_fd, data, sizeof(data));

    if (n > 0) {
        (void)!service_log_write(&keeper->log, data, (size_t)n); /* nobody to tell; it goes on */
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        keeper->output_fd = fd_close(keeper->output_fd);
    }
}

static void sweep(Keeper *keeper, int signal)
{
    (void)!process_signal_descendants(signal);
}

static void begin_end(Keeper *keeper, int64_t grace_ms)
{
    int64_t at = clock_monotonic_ms() + grace_ms;

    if (keeper->kill_at_ms < 0 && grace_ms > 0) {
        sweep(keeper, SIGTERM);
    }
    if (keeper->kill_at_ms < 0 || at < keeper->kill_at_ms) {
        keeper->kill_at_ms = at;
    }
    keeper->sweep_ms = SWEEP_MS_FIRST;
}

static void reap(Keeper *keeper)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == keeper->service) {
            keeper->wait_status = status;
            keeper->is_ended = true;
        }
    }
    keeper->is_all_ended = pid < 0 && errno == ECHILD;
    if (keeper->is_ended && keeper->kill_at_ms < 0) {
        begin_end(keeper, 0); /* what it left behind is of no use without it */
    }
}

static void take_signals(Keeper *keeper)
{
    struct signalfd_siginfo info;

    while (read(keeper->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap(keeper);
        } else { /* somebody ends the keeper: nothing of it is left behind */
            begin_end(keeper, info.ssi_signo == SIGTERM ? OWN_GRACE_MS : 0);
        }
    }
}

static void accept_controller(Keeper *keeper)
{
    int fd = accept4(KEEPER_FD_CONTROL, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    char hello[32];
    int n = snprintf(hello, sizeof(hello), "pid %d\n", (int)keeper->service);

    for (size_t i = 0; fd >= 0 && i < CONTROLLERS_MAX; i++) {
        if (keeper->controllers[i].fd < 0) {
            keeper->controllers[i] = (Controller){.fd = fd};
            (void)send(fd, hello, (size_t)n, MSG_NOSIGNAL); /* an empty buffer takes it */
            return;
        }
    }
    (void)fd_close(fd);
}

static void obey(Keeper *keeper, const char *command)
{
    int64_t grace_ms;

    if (text_has_prefix(command, "stop ") &&
        text_parse_int(command + strlen("stop "), 0, GRACE_MS_MAX, &grace_ms) == 0) {
        begin_end(keeper, grace_ms);
    }
}

static void take_commands(Keeper *keeper, Controller *controller)
{
    ssize_t got = recv(controller->fd, controller->command + controller->n,
                       sizeof(controller->command) - controller->n, 0);
    char *end;

    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            controller->fd = fd_close(controller->fd);
        }
        return;
    }
    controller->n += (size_t)got;
    while ((end = memchr(controller->command, '\n', controller->n))) {
        size_t n = (size_t)(end - controller->command) + 1;

        *end = '\0';
        obey(keeper, controller->command);
        controller->n -= n;
        memmove(controller->command, end + 1, controller->n);
    }
    if (controller->n == sizeof(controller->command)) { /* no engine of ours talks like that */
        controller->fd = fd_close(controller->fd);
    }
}

static void sweep_when_due(Keeper *keeper)
{
    if (keeper->kill_at_ms >= 0 && clock_monotonic_ms() >= keeper->kill_at_ms) {
        sweep(keeper, SIGKILL);
        keeper->sweep_ms = MIN(keeper->sweep_ms * 2, (int64_t)SWEEP_MS_MAX);
        keeper->kill_at_ms = clock_monotonic_ms() + keeper->sweep_ms;
    }
}

static void step(Keeper *keeper)
{
    enum { SIGNALS, CONTROL, OUTPUT, CONTROLLERS, ALL = CONTROLLERS + CONTROLLERS_MAX };
    struct pollfd fds[ALL] = {
        [SIGNALS] = {.fd = keeper->signal_fd, .events = POLLIN},
        [CONTROL] = {.fd = KEEPER_FD_CONTROL, .events = POLLIN},
        [OUTPUT] = {.fd = keeper->output_fd, .events = POLLIN},
    };
    int64_t wait_ms = -1;

    for (size_t i = 0; i < CONTROLLERS_MAX; i++) {
        fds[CONTROLLERS + i] = (struct pollfd){.fd = keeper->controllers[i].fd, .events = POLLIN};
    }
    if (keeper->kill_at_ms >= 0) {
        wait_ms = MAX(keeper->kill_at_ms - clock_monotonic_ms(), (int64_t)0);
    }
    if (poll(fds, ALL, (int)MIN(wait_ms, GRACE_MS_MAX)) < 0) {
        return;
    }
    if (fds[OUTPUT].revents) {
        take_output(keeper);
    }
    if (fds[CONTROL].revents) {
        accept_controller(keeper);
    }
    for (size_t i = 0; i < CONTROLLERS_MAX; i++) {
        if (fds[CONTROLLERS + i].revents && fds[CONTROLLERS + i].fd == keeper->controllers[i].fd) {
            take_commands(keeper, &keeper->controllers[i]);
        }
    }
    if (fds[SIGNALS].revents) {
        take_signals(keeper);
    }
    sweep_when_due(keeper);
}

/* ---- from start to end ------------------------------------------------------------------------
 */

static int prepare(Keeper *keeper, Error *err)
{
    sigset_t signals;
    int r;

    for (size_t i = 0; i < CONTROLLERS_MAX; i++) {
        keeper->controllers[i].fd = -1;
    }
    (void)close_range(KEEPER_FD_INSTANCE, ~0U, CLOSE_RANGE_CLOEXEC); /* none is the service's */
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &signals, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        return error_set_errno(err, -errno, "cannot become the reaper of a service");
    }
    keeper->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (keeper->signal_fd < 0) {
        return error_set_errno(err, -errno, "cannot watch for signals");
    }
    r = fd_set_nonblock(KEEPER_FD_CONTROL, true);
    if (r == 0) {
        r = service_log_open(&keeper->log, KEEPER_FD_LOGS, keeper->options->log_name,
                             keeper->options->log_bytes);
    }
    return r < 0 ? error_set_errno(err, r, "cannot open the log '%s'", keeper->options->log_name)
                 : 0;
}

static int write_end(const Keeper *keeper)
{
    if (WIFSIGNALED(keeper->wait_status)) {
        return status_write(KEEPER_KILLED, WTERMSIG(keeper->wait_status), NULL);
    }
    return status_write(KEEPER_EXITED, WEXITSTATUS(keeper->wait_status), NULL);
}

int keeper_run(const KeeperOptions *options, Error *err)
{
    Keeper keeper = {.options = options, .kill_at_ms = -1, .signal_fd = -1, .output_fd = -1};
    _cleanup_error_ Error failure = {0};
    int r;

    keeper.log.fd = -1;
    r = prepare(&keeper, &failure);
    if (r == 0) {
        r = start_service(&keeper, &failure);
    }
    if (r <
        0) { /* the engine tells it to whoever deploys: that the keeper did its part is success */
        r = status_write(KEEPER_FAILED, 0, error_text(&failure));
    } else {
        while (!keeper.is_all_ended) {
            step(&keeper);
        }
        for (int i = 0; i < LAST_READS_MAX && keeper.output_fd >= 0; i++) {
            take_output(&keeper);
        }
        r = write_end(&keeper);
    }
    service_log_done(&keeper.log);
    (void)fd_close(keeper.output_fd);
    (void)fd_close(keeper.signal_fd);
    return r < 0 ? error_set_errno(err, r, "cannot write the status") : 0;
}
