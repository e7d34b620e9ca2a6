/* SPDX-License-Identifier: MIT */
#include "agent/shim/spawn.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* Wide enough that few lines of a build wrap. */
#define TERMINAL_ROWS 40
#define TERMINAL_COLUMNS 132

#define REPORTS_FD 3

/* The child's ends, all close-on-exec. */
typedef struct ChildEnds {
    int out_fd;
    int err_fd;
    int reports_fd;
    int sync_fd;
} ChildEnds;

static void child_ends_done(ChildEnds *ends)
{
    ends->out_fd = fd_close(ends->out_fd);
    ends->err_fd = fd_close(ends->err_fd);
    ends->reports_fd = fd_close(ends->reports_fd);
    ends->sync_fd = fd_close(ends->sync_fd);
}

void spawn_done(Spawn *spawn)
{
    spawn->out_fd = fd_close(spawn->out_fd);
    spawn->err_fd = fd_close(spawn->err_fd);
    spawn->reports_fd = fd_close(spawn->reports_fd);
    spawn->sync_fd = fd_close(spawn->sync_fd);
}

static int make_pipe(int *ret_read, int *ret_write)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    *ret_read = fds[0];
    *ret_write = fds[1];
    return fd_set_nonblock(fds[0], true);
}

/* Nobody types and nobody looks: no echo, and lines end as they do in a pipe. */
static int make_terminal(int *ret_master, int *ret_slave)
{
    struct winsize size = {.ws_row = TERMINAL_ROWS, .ws_col = TERMINAL_COLUMNS};
    struct termios mode;

    *ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*ret_master < 0 || grantpt(*ret_master) < 0 || unlockpt(*ret_master) < 0) {
        return -errno;
    }
    *ret_slave = ioctl(*ret_master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*ret_slave < 0 || tcgetattr(*ret_slave, &mode) < 0) {
        return -errno;
    }
    mode.c_lflag &= ~(tcflag_t)ECHO;
    mode.c_oflag &= ~(tcflag_t)ONLCR;
    if (tcsetattr(*ret_slave, TCSANOW, &mode) < 0 || ioctl(*ret_slave, TIOCSWINSZ, &size) < 0) {
        return -errno;
    }
    return fd_set_nonblock(*ret_master, true);
}

static int make_ends(Spawn *spawn, ChildEnds *ends, bool is_terminal)
{
    int sync[2], r;

    if (is_terminal) {
        r = make_terminal(&spawn->out_fd, &ends->out_fd);
    } else {
        r = make_pipe(&spawn->out_fd, &ends->out_fd);
        (void)fcntl(spawn->out_fd, F_SETPIPE_SZ, SPAWN_PIPE_SIZE);
        r = r == 0 ? make_pipe(&spawn->err_fd, &ends->err_fd) : r;
    }
    r = r == 0 ? make_pipe(&spawn->reports_fd, &ends->reports_fd) : r;
    if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync) < 0) {
        r = -errno;
    }
    if (r == 0) {
        spawn->sync_fd = sync[0];
        ends->sync_fd = sync[1];
    }
    return r;
}

static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        (void)sigaction(number, &action, NULL); /* not for SIGKILL, SIGSTOP and libc's own */
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int take_session(int terminal_fd)
{
    if (setsid() < 0 || ioctl(terminal_fd, TIOCSCTTY, 0) < 0) {
        return -errno;
    }
    return 0;
}

/* Runs between fork and exec. Everything but 0 to 3 is close-on-exec from birth. */
static _noreturn_ void become(Spawn *spawn, const ChildEnds *ends, bool is_terminal,
                              char *const argv[])
{
    char go;
    int r;

    spawn_done(spawn); /* or it would wait for itself where the shim is gone */
    reset_signals();
    if (fd_read_full(ends->sync_fd, &go, 1) != 1) {
        _exit(127);
    }
    /* Without a shim nobody would know how it ends, or would end it. */
    r = prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
    if (r == 0 && is_terminal) {
        r = take_session(ends->out_fd);
    } else if (r == 0 && setpgid(0, 0) < 0) {
        r = -errno;
    }
    if (r == 0 && (dup2(ends->out_fd, STDOUT_FILENO) < 0 ||
                   dup2(is_terminal ? ends->out_fd : ends->err_fd, STDERR_FILENO) < 0 ||
                   dup2(ends->reports_fd, REPORTS_FD) < 0)) {
        r = -errno;
    }
    if (r == 0) {
        (void)execve(argv[0], argv, environ);
        r = -errno;
    }
    (void)!write(ends->sync_fd, &r, sizeof(r));
    _exit(127);
}

int spawn_prepare(Spawn *spawn, Cgroup *cgroup, bool is_terminal, char *const argv[], Error *err)
{
    _cleanup_(child_ends_done) ChildEnds ends = {-1, -1, -1, -1};
    int r;

    r = make_ends(spawn, &ends, is_terminal);
    if (r < 0) {
        return error_set_errno(err, r, "cannot make the %s of '%s'",
                               is_terminal ? "terminal" : "pipes", argv[0]);
    }
    spawn->pid = cgroup_fork(cgroup);
    if (spawn->pid < 0) {
        return error_set_errno(err, spawn->pid, "cannot start a process for '%s'", argv[0]);
    }
    if (spawn->pid == 0) {
        become(spawn, &ends, is_terminal, argv);
    }
    return 0;
}

static const char *explain(int r, const char *program)
{
    switch (r) {
    case -ENOENT:
        return access(program, F_OK) == 0 ? "it is there, but not its interpreter"
                                          : "there is no such file";
    case -EACCES:
        return access(program, F_OK) == 0 ? "it is not executable" : "permission denied";
    case -ENOEXEC:
        return "its format is not executable (a script begins with #!)";
    default:
        return strerror(-r);
    }
}

int spawn_release(Spawn *spawn, const char *program, Error *err)
{
    _cleanup_fd_ int sync_fd = TAKE_FD(spawn->sync_fd);
    int failure = 0;
    ssize_t got;
    int r;

    r = fd_write_all(sync_fd, "", 1);
    if (r < 0) {
        return error_set_errno(err, r, "cannot start '%s'", program);
    }
    got = fd_read_full(sync_fd, &failure, sizeof(failure)); /* the end: it was executed */
    if (got == 0) {
        return 0;
    }
    failure = got == (ssize_t)sizeof(failure) ? failure : -EIO;
    return error_set(err, failure, "cannot start '%s': %s", program, explain(failure, program));
}
