/* SPDX-License-Identifier: MIT */
#include "plugin/client/transport.h"

#include "protocol/base/buffer.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/ssh/ssh-address.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define SYSTEM_SOCKET "/run/slipway/agent.sock"
#define SYSTEM_STATE "/var/lib/slipway"
#define AGENT_PROGRAM "slipway-agent"
#define SSH_PROGRAM "slipway-ssh"
/* What slipway-ssh says at most; a reason of several lines is far below. */
#define REASON_MAX ((size_t)16 << 10)
/* slipway-ssh's descriptor for it. */
#define STATUS_FD 3

/* ---- starting an agent ------------------------------------------------------------------------
 */

/* The agent has a process group of its own: Ctrl-C in the terminal is for the client, which then
 * tells the agent what to cancel. It starts with the signals as a shell would give them. */
static int spawn_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int r = posix_spawnattr_init(attributes);

    if (r != 0) {
        return -r;
    }
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_setsigmask(attributes, &none);
    (void)posix_spawnattr_setsigdefault(attributes, &all);
    (void)posix_spawnattr_setpgroup(attributes, 0);
    (void)posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                                   POSIX_SPAWN_SETSIGMASK);
    return 0;
}

/* `status_fd` (-1: none) becomes descriptor 3. */
static int spawn_with_socket(char *const *argv, int fd, int status_fd, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int r = posix_spawn_file_actions_init(&actions);

    if (r != 0) {
        return -r;
    }
    r = -spawn_attributes(&attributes);
    if (r != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
    }
    r = posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
    r = r == 0 ? posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO) : r;
    if (r == 0 && status_fd >= 0) {
        r = posix_spawn_file_actions_adddup2(&actions, status_fd, STATUS_FD);
    }
    r = r == 0 ? posix_spawnp(ret, argv[0], &actions, &attributes, argv, environ) : r;
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return -r;
}

/* A program of ours beside this one, as in an unpacked archive, or (in a build tree, or installed)
 * in one of `places` from there; else `otherwise`. The caller's. */
static char *find_program(const char *name, const char *const *places, const char *otherwise)
{
    char self[PATH_MAX], *path;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n > 0) {
        self[n] = '\0';
        (void)dirname(self);
        for (; *places; places++) {
            if (asprintf(&path, "%s/%s%s", self, *places, name) < 0) {
                return NULL;
            }
            if (access(path, X_OK) == 0) {
                return path;
            }
            free(path);
        }
    }
    return strdup(otherwise);
}

/* Else by name from PATH. */
static char *find_agent(void)
{
    static const char *const places[] = {"", "../agent/", "../../agent/", NULL};

    return find_program(AGENT_PROGRAM, places, AGENT_PROGRAM);
}

/* Else where it was installed. */
static char *find_ssh(void)
{
    static const char *const places[] = {"", "../ssh/", "../../../plugin/ssh/",
                                         "../libexec/slipway/", NULL};

    return find_program(SSH_PROGRAM, places, SLIPWAY_LIBEXEC "/" SSH_PROGRAM);
}

/* Starts a program on the other end of a socket, which becomes the transport's. */
static int start(Transport *t, char *const *argv, int status_fd, Error *err)
{
    _cleanup_fd_ int ours = -1, theirs = -1;
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return error_set_errno(err, -errno, "making a socket for the agent");
    }
    ours = pair[0];
    theirs = pair[1];
    r = spawn_with_socket(argv, theirs, status_fd, &t->pid);
    if (r < 0) {
        t->pid = 0;
        return error_set_errno(err, r, "starting '%s %s'", argv[0], argv[1]);
    }
    r = fd_set_nonblock(ours, true);
    if (r < 0) {
        return error_set_errno(err, r, "the agent's socket");
    }
    t->fd = TAKE_FD(ours);
    return 0;
}

static int open_stdio(Transport *t, const char *command, Error *err)
{
    _cleanup_free_ char *program = NULL;
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};

    if (!*command) {
        program = find_agent();
        if (!program) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        argv[0] = program;
        argv[1] = (char *)"--stdio";
        argv[2] = NULL;
    }
    return start(t, argv, -1, err);
}

/* ---- over SSH ---------------------------------------------------------------------------------
 * By a program of its own (plugin/ssh/main.c). What is wrong with the address is told here and now,
 * what is wrong with the way to the host when slipway-ssh hangs up. */

static int open_ssh(Transport *t, const char *address, Error *err)
{
    _cleanup_ssh_address_ SshAddress parsed = {0};
    _cleanup_free_ char *program = find_ssh();
    _cleanup_fd_ int ours = -1, theirs = -1;
    char *argv[] = {program, (char *)address, NULL};
    int pair[2], r = ssh_address_parse(address, &parsed, err);

    if (r < 0) {
        return r;
    }
    if (!program || pipe2(pair, O_CLOEXEC) < 0) {
        return error_set_errno(err, program ? -errno : -ENOMEM, "making a pipe for " SSH_PROGRAM);
    }
    ours = pair[0];
    theirs = pair[1];
    r = fd_set_nonblock(ours, true);
    r = r < 0 ? error_set_errno(err, r, "a pipe") : start(t, argv, theirs, err);
    if (r == 0) {
        t->status_fd = TAKE_FD(ours);
    }
    return r;
}

/* What is there. Its end may not be: of a program that exits, the socket is closed first. */
static size_t read_status(int fd, char *text, size_t size)
{
    size_t len = 0;
    ssize_t n;

    do {
        n = read(fd, text + len, size - len);
        len += (size_t)MAX(n, (ssize_t)0);
    } while ((n > 0 && len < size) || (n < 0 && errno == EINTR));
    return len;
}

char *transport_take_reason(Transport *t, bool *ret_is_final)
{
    _cleanup_free_ char *text = malloc(REASON_MAX);
    size_t n = text && t->status_fd >= 0 ? read_status(t->status_fd, text, REASON_MAX - 1) : 0;
    char *space;

    if (n == 0) {
        return NULL;
    }
    text[n] = '\0';
    space = strchr(text, ' ');
    *ret_is_final = text_has_prefix(text, "final ");
    return space ? strdup(space + 1) : NULL;
}

int transport_get_patience_ms(const Transport *t, int usual_ms)
{
    return t->status_fd >= 0 ? TRANSPORT_SSH_PATIENCE_MS : usual_ms;
}

/* ---- sockets ----------------------------------------------------------------------------------
 */

static int open_unix(Transport *t, const char *path, Error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_fd_ int fd = -1;
    int r;

    if (!*path || strlen(path) >= sizeof(address.sun_path)) {
        return error_set(err, -EINVAL, "'%s' is %s for the path of a unix socket", path,
                         *path ? "too long" : "too short");
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_set_errno(err, -errno, "making a socket");
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        return error_set_errno(err, -errno, "unix:%s", path);
    }
    r = fd_set_nonblock(fd, true);
    if (r < 0) {
        return error_set_errno(err, r, "unix:%s", path);
    }
    t->fd = TAKE_FD(fd);
    return 0;
}

static int open_address(Transport *t, const char *address, Error *err)
{
    int r;

    if (text_has_prefix(address, "unix:")) {
        r = open_unix(t, address + strlen("unix:"), err);
    } else if (text_has_prefix(address, "stdio:")) {
        r = open_stdio(t, address + strlen("stdio:"), err);
    } else if (text_has_prefix(address, "ssh:")) {
        r = open_ssh(t, address, err);
    } else {
        return error_set(err, -EINVAL,
                         "'%s' is no agent's address: it is unix:PATH, ssh://[USER@]HOST[:PORT], "
                         "stdio: or stdio:COMMAND",
                         address);
    }
    return r;
}

/* ---- the default address ----------------------------------------------------------------------
 */

/* STATE/agent.sock of the agent that this user would start. */
static char *user_socket(void)
{
    const char *state = getenv("SLIPWAY_STATE"), *home = getenv("HOME");
    const char *xdg = getenv("XDG_STATE_HOME");
    char *path = NULL;
    int r = -1;

    if (state && *state) {
        r = asprintf(&path, "%s/agent.sock", state);
    } else if (geteuid() == 0) {
        r = asprintf(&path, "%s/agent.sock", SYSTEM_STATE);
    } else if (xdg && *xdg == '/') {
        r = asprintf(&path, "%s/slipway/agent.sock", xdg);
    } else if (home && *home == '/') {
        r = asprintf(&path, "%s/.local/state/slipway/agent.sock", home);
    }
    return r < 0 ? NULL : path;
}

/* A socket that nobody listens on (its agent is gone) is no reason to give up: the next place is
 * tried, and the failure is told only if none answers. */
static int open_default(Transport *t, Error *err)
{
    _cleanup_buffer_ Buffer tried = {0};
    _cleanup_free_ char *user = user_socket();
    const char *paths[] = {SYSTEM_SOCKET, user};
    _cleanup_error_ Error problem = {0};
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        _cleanup_error_ Error reason = {0};
        bool is_there = paths[i] && file_exists(AT_FDCWD, paths[i]);

        if (is_there && open_unix(t, paths[i], &reason) == 0) {
            if (asprintf(&t->address, "unix:%s", paths[i]) < 0) {
                t->address = NULL;
                return error_set(err, -ENOMEM, "out of memory");
            }
            return 0;
        }
        if (paths[i] && buffer_append_format(&tried, "\n  tried unix:%s: %s", paths[i],
                                             is_there ? error_text(&reason) : "not there") < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
    }
    r = open_stdio(t, "", &problem);
    if (r < 0) {
        return error_set(err, r, "%s%s", error_text(&problem), buffer_text(&tried));
    }
    t->address = strdup("stdio:");
    return t->address ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int transport_open(Transport *t, const char *address, Error *err)
{
    const char *chosen = address ? address : getenv("SLIPWAY_AGENT");
    int r;

    if (!chosen || !*chosen) {
        return open_default(t, err);
    }
    r = open_address(t, chosen, err);
    if (r < 0) {
        return address ? r : error_wrap(err, "$SLIPWAY_AGENT");
    }
    t->address = strdup(chosen);
    return t->address ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int transport_reopen(Transport *t, Error *err)
{
    if (!t->address) {
        return error_set(err, -ENOTSUP, "this connection cannot be made again");
    }
    return open_address(t, t->address, err);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static bool wait_for_exit(pid_t pid, int timeout_ms)
{
    _cleanup_fd_ int pidfd = pidfd_open(pid, 0);
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    int64_t deadline = clock_monotonic_ms() + timeout_ms;

    while (pidfd >= 0) {
        int64_t left = deadline - clock_monotonic_ms();
        int r = poll(&wait, 1, left > 0 ? (int)left : 0);

        if (r > 0) {
            break;
        }
        if (r == 0 || errno != EINTR) {
            return false;
        }
    }
    return waitpid(pid, NULL, 0) == pid || errno == ECHILD;
}

void transport_close(Transport *t)
{
    static const int signals[] = {SIGTERM, SIGKILL};

    t->fd = fd_close(t->fd);
    t->status_fd = fd_close(t->status_fd);
    if (t->pid <= 0) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        if (wait_for_exit(t->pid, TRANSPORT_EXIT_MS)) {
            t->pid = 0;
            return;
        }
        (void)kill(-t->pid, signals[i]); /* its group: the command line may be more than one */
    }
    (void)waitpid(t->pid, NULL, 0);
    t->pid = 0;
}

void transport_done(Transport *t)
{
    transport_close(t);
    free(t->address);
    *t = TRANSPORT_EMPTY;
}
