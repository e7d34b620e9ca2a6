/* SPDX-License-Identifier: MIT */
#include "agent/source/process.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define READ_STEP ((size_t)16 << 10)

/* After the program has ended, something that it left behind may hold its pipes open; this long we
 * look for what is already in them. */
#define DRAIN_MS 50

typedef enum ChildStage {
    STAGE_DIRECTORY,
    STAGE_DESCRIPTORS,
    STAGE_CONFINE,
    STAGE_EXEC,
} ChildStage;

/* What a child that could not become the program says over the close-on-exec pipe. */
typedef struct ChildFailure {
    ChildStage stage;
    int code;
} ChildFailure;

typedef struct Pipe {
    int fd; /* our end */
    int child_fd;
} Pipe;

typedef struct Running {
    const ProcessOptions *options;
    pid_t pid;
    int pid_fd;
    Pipe failure, out, complaints;
    bool is_overflowing;
} Running;

static int pipe_open(Pipe *p)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    p->fd = fds[0];
    p->child_fd = fds[1];
    return 0;
}

static void pipe_close(Pipe *p)
{
    p->fd = fd_close(p->fd);
    p->child_fd = fd_close(p->child_fd);
}

static void running_done(Running *running)
{
    pipe_close(&running->failure);
    pipe_close(&running->out);
    pipe_close(&running->complaints);
    running->pid_fd = fd_close(running->pid_fd);
}

/* ---- the child --------------------------------------------------------------------------------
 */

static void reset_signals(void)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int i = 1; i < NSIG; i++) {
        (void)sigaction(i, &by_default, NULL); /* EINVAL for those that cannot be set */
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int set_descriptors(const Running *running)
{
    int input_fd = running->options->input_fd;

    input_fd = input_fd > 0 ? input_fd : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input_fd < 0 || dup2(input_fd, STDIN_FILENO) < 0 ||
        (running->out.child_fd >= 0 && dup2(running->out.child_fd, STDOUT_FILENO) < 0) ||
        (running->complaints.child_fd >= 0 &&
         dup2(running->complaints.child_fd, STDERR_FILENO) < 0)) {
        return -errno;
    }
    /* Everything else of ours is close-on-exec; what we inherited without it goes the same way. */
    (void)syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    return 0;
}

static _noreturn_ void become(const Running *running)
{
    const ProcessOptions *options = running->options;
    ChildFailure failure = {.stage = STAGE_DIRECTORY};

    reset_signals();
    if (options->is_detached) {
        (void)setsid();
    } else {
        (void)setpgid(0, 0);
    }
    if (options->directory && chdir(options->directory) < 0) {
        failure.code = -errno;
    } else {
        failure.stage = STAGE_DESCRIPTORS;
        failure.code = set_descriptors(running);
    }
    if (failure.code == 0 && options->confine) {
        failure.stage = STAGE_CONFINE;
        failure.code = confine_enter(options->confine);
    }
    if (failure.code == 0) {
        failure.stage = STAGE_EXEC;
        if (options->env) {
            environ = (char **)options->env; /* execvp looks for the program in its PATH */
        }
        (void)execvp(options->argv[0], (char *const *)options->argv);
        failure.code = -errno;
    }
    if (write(running->failure.child_fd, &failure, sizeof(failure)) < 0) {
        _exit(126);
    }
    _exit(127);
}

/* ---- starting ---------------------------------------------------------------------------------
 */

/* A script is "not found" too when the interpreter of its first line is missing. */
static int explain_exec(const ProcessOptions *options, int code, Error *err)
{
    const char *name = options->argv[0];
    _cleanup_free_ char *path = NULL;
    struct stat st;

    if (asprintf(&path, "%s/%s", options->directory ? options->directory : ".", name) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (code == -ENOENT && strchr(name, '/') && stat(name[0] == '/' ? name : path, &st) == 0) {
        return error_set(err, code,
                         "'%s' cannot be started: the interpreter in its first line is not on this "
                         "host",
                         name);
    }
    if (code == -ENOENT) {
        return error_set(err, code, "command not found: %s", name);
    }
    if (code == -EACCES && stat(name[0] == '/' ? name : path, &st) == 0 && S_ISREG(st.st_mode)) {
        return error_set(err, code,
                         "'%s' is not executable (in git: git update-index --chmod=+x FILE)", name);
    }
    return error_set_errno(err, code, "cannot start '%s'", name);
}

static int explain(const ProcessOptions *options, const ChildFailure *failure, Error *err)
{
    switch (failure->stage) {
    case STAGE_DIRECTORY:
        return error_set_errno(err, failure->code, "directory '%s'", options->directory);
    case STAGE_CONFINE:
        return error_set_errno(err, failure->code,
                               "cannot keep '%s' out of the agent's state directory",
                               options->argv[0]);
    case STAGE_EXEC:
        return explain_exec(options, failure->code, err);
    case STAGE_DESCRIPTORS:
        break;
    }
    return error_set_errno(err, failure->code, "cannot start '%s'", options->argv[0]);
}

/* The child has either become the program (end of file) or says why it could not. */
static int wait_for_exec(Running *running, Error *err)
{
    ChildFailure failure;
    ssize_t n;

    running->failure.child_fd = fd_close(running->failure.child_fd);
    n = fd_read_full(running->failure.fd, &failure, sizeof(failure));
    if (n != sizeof(failure)) {
        return 0;
    }
    while (waitpid(running->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return explain(running->options, &failure, err);
}

static int start(Running *running, Error *err)
{
    const ProcessOptions *options = running->options;
    int r = pipe_open(&running->failure);

    if (r == 0 && options->output) {
        r = pipe_open(&running->out);
    }
    if (r == 0 && options->complaints) {
        r = pipe_open(&running->complaints);
    }
    if (r == 0) {
        running->pid = fork();
        r = running->pid < 0 ? -errno : 0;
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot start '%s'", options->argv[0]);
    }
    if (running->pid == 0) {
        become(running);
    }
    if (!options->is_detached) {
        (void)setpgid(running->pid, running->pid); /* as the child does; whoever is first */
    }
    running->out.child_fd = fd_close(running->out.child_fd);
    running->complaints.child_fd = fd_close(running->complaints.child_fd);
    r = wait_for_exec(running, err);
    if (r < 0) {
        return r;
    }
    running->pid_fd = (int)syscall(SYS_pidfd_open, running->pid, 0U);
    if (running->pid_fd < 0) {
        r = error_set_errno(err, -errno, "pidfd_open");
        (void)kill(-running->pid, SIGKILL);
        while (waitpid(running->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return r;
    }
    return 0;
}

/* ---- following --------------------------------------------------------------------------------
 */

static void take_output(Running *running, const char *data, size_t n)
{
    if (buffer_append(running->options->output, data, n) < 0) {
        running->is_overflowing = true;
    }
}

/* To the log, and into the buffer, of which the end counts. */
static void take_complaint(Running *running, const char *data, size_t n)
{
    Buffer *kept = running->options->complaints;

    (void)!fd_write_all(STDERR_FILENO, data, n);
    if (n > PROCESS_COMPLAINTS_MAX) {
        data += n - PROCESS_COMPLAINTS_MAX;
        n = PROCESS_COMPLAINTS_MAX;
    }
    if (kept->len + n > PROCESS_COMPLAINTS_MAX) {
        buffer_consume(kept, kept->len + n - PROCESS_COMPLAINTS_MAX);
    }
    (void)!buffer_append(kept, data, n); /* a complaint that is lost to -ENOMEM is in the log */
}

static void read_pipe(Running *running, Pipe *from, void (*take)(Running *, const char *, size_t))
{
    char data[READ_STEP];
    ssize_t n = read(from->fd, data, sizeof(data));

    if (n > 0) {
        take(running, data, (size_t)n);
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        pipe_close(from);
    }
}

/* Waits for what comes first. Returns true when the program has ended. */
static bool follow_once(Running *running, int wait_ms, bool *ret_is_idle)
{
    struct pollfd fds[] = {
        {.fd = running->pid_fd, .events = POLLIN},
        {.fd = running->out.fd, .events = POLLIN},
        {.fd = running->complaints.fd, .events = POLLIN},
    };
    int n = poll(fds, ARRAY_SIZE(fds), wait_ms);

    *ret_is_idle = n == 0;
    if (n <= 0) {
        return false;
    }
    if (fds[1].revents) {
        read_pipe(running, &running->out, take_output);
    }
    if (fds[2].revents) {
        read_pipe(running, &running->complaints, take_complaint);
    }
    return fds[0].revents != 0;
}

static void drain(Running *running)
{
    int64_t until_ms = clock_monotonic_ms() + DRAIN_MS;
    bool is_idle = false;

    running->pid_fd = fd_close(running->pid_fd);
    while (!is_idle && (running->out.fd >= 0 || running->complaints.fd >= 0)) {
        int64_t left_ms = until_ms - clock_monotonic_ms();

        (void)follow_once(running, (int)MAX(left_ms, 0), &is_idle);
    }
}

static void follow(Running *running, ProcessExit *how)
{
    const ProcessOptions *options = running->options;
    int64_t deadline_ms = options->timeout_ms > 0 ? clock_monotonic_ms() + options->timeout_ms : -1;
    int signal = SIGTERM;
    bool is_idle;

    for (;;) {
        int64_t left_ms = deadline_ms < 0 ? -1 : MAX(deadline_ms - clock_monotonic_ms(), 0);

        if (follow_once(running, (int)MIN(left_ms, (int64_t)INT32_MAX), &is_idle)) {
            return;
        }
        if (deadline_ms >= 0 && clock_monotonic_ms() >= deadline_ms) {
            how->is_timed_out = true;
            (void)kill(-running->pid, signal);
            deadline_ms = signal == SIGTERM ? clock_monotonic_ms() + MAX(options->grace_ms, 0) : -1;
            signal = SIGKILL;
        }
    }
}

int process_run(const ProcessOptions *options, ProcessExit *ret, Error *err)
{
    _cleanup_(running_done) Running running = {.options = options,
                                               .pid_fd = -1,
                                               .failure = {-1, -1},
                                               .out = {-1, -1},
                                               .complaints = {-1, -1}};
    ProcessExit how = {.exit_code = -1};
    int status, r = start(&running, err);

    if (r < 0) {
        return r;
    }
    follow(&running, &how);
    while (waitpid(running.pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return error_set_errno(err, -errno, "waiting for '%s'", options->argv[0]);
        }
    }
    drain(&running);
    if (running.is_overflowing) {
        return error_set(err, -ENOBUFS, "'%s' wrote more than the %zu bytes that it may",
                         options->argv[0], options->output->limit);
    }
    how.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    how.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    *ret = how;
    return 0;
}

bool process_exit_is_success(const ProcessExit *how)
{
    return how->exit_code == 0 && !how->is_timed_out;
}

int process_exit_describe(const ProcessExit *how, int64_t timeout_ms, Buffer *text)
{
    if (how->is_timed_out) {
        return buffer_append_format(text, "ran longer than its %g seconds and was ended",
                                    (double)timeout_ms / 1000);
    }
    if (how->signal) {
        return buffer_append_format(text, "was ended by signal %d (%s)", how->signal,
                                    strsignal(how->signal));
    }
    return buffer_append_format(text, "exited with status %d", how->exit_code);
}
