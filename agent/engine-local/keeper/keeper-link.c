/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/keeper/keeper-link.h"

#include "agent/engine-local/keeper/process.h"
#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 4
/* What is killed is looked for until nothing is found, this often. */
#define SWEEPS_MAX 20
#define SWEEP_NS 5000000

/* ---- the socket -----------------------------------------------------------------------------
 */

/* A unix socket's path is short, a state directory's may be long: through the held directory. */
static void socket_address(int instance_fd, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/" KEEPER_LINK_SOCKET,
                   instance_fd);
}

static int listen_socket(int instance_fd)
{
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    socket_address(instance_fd, &address);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, BACKLOG) < 0) {
        return -errno;
    }
    return TAKE_FD(fd);
}

int keeper_link_connect(int instance_fd)
{
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address;

    socket_address(instance_fd, &address);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        return -errno;
    }
    return TAKE_FD(fd);
}

/* ---- starting one -----------------------------------------------------------------------------
 */

/* A session of its own, no signal blocked or ignored, stdin empty, stdout and stderr where ours go.
 */
static int set_attributes(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions)
{
    sigset_t none, all;
    int r;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    r = posix_spawnattr_setsigmask(attributes, &none);
    r = r ? r : posix_spawnattr_setsigdefault(attributes, &all);
    r = r ? r
          : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
                                                     POSIX_SPAWN_SETSIGMASK);
    r = r ? r : posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    return r ? r : posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
}

/* The one place of this program where another is started. posix_spawn tells an exec that fails. */
static int spawn(const char *program, char *const *argv, int instance_fd, int control_fd,
                 int logs_fd)
{
    const int from[] = {instance_fd, control_fd, logs_fd};
    const int to[] = {KEEPER_FD_INSTANCE, KEEPER_FD_CONTROL, KEEPER_FD_LOGS};
    int held[ARRAY_SIZE(from)] = {-1, -1, -1};
    char *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid;
    int r;

    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    r = set_attributes(&attributes, &actions);
    /* First out of the way of their new numbers, so that none overwrites another. */
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(from); i++) {
        held[i] = fcntl(from[i], F_DUPFD_CLOEXEC, KEEPER_FD_LOGS + 1);
        r = held[i] < 0 ? errno : posix_spawn_file_actions_adddup2(&actions, held[i], to[i]);
    }
    r = r ? r : posix_spawn(&pid, program, &actions, &attributes, argv, environment);
    for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
        (void)fd_close(held[i]);
    }
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -r;
}

int keeper_link_start(const KeeperStart *start, Error *err)
{
    const KeeperOptions *options = &start->options;
    _cleanup_free_ const char **argv = NULL;
    _cleanup_fd_ int control_fd = -1, link_fd = -1;
    char log_bytes[24], files_max[24];
    size_t n = 0, n_command = 0;
    int r;

    (void)snprintf(log_bytes, sizeof(log_bytes), "%lld", (long long)options->log_bytes);
    (void)snprintf(files_max, sizeof(files_max), "%lld", (long long)options->files_max);
    const char *const own[] = {
        "slipway-keeper", "--log",   options->log_name, "--log-bytes",      log_bytes,
        "--files-max",    files_max, "--directory",     options->directory, "--",
    };
    while (options->command[n_command]) {
        n_command++;
    }
    argv = calloc(ARRAY_SIZE(own) + n_command + 1, sizeof(*argv));
    if (!argv) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (; n < ARRAY_SIZE(own); n++) {
        argv[n] = own[n];
    }
    for (size_t i = 0; i < n_command; i++) {
        argv[n++] = options->command[i];
    }
    control_fd = listen_socket(start->instance_fd);
    if (control_fd < 0) {
        return error_set_errno(err, control_fd, "cannot make a control socket");
    }
    /* Before there is anybody to accept it: a keeper whose service cannot be started is gone sooner
     * than it could be connected to. */
    link_fd = keeper_link_connect(start->instance_fd);
    if (link_fd < 0) {
        return error_set_errno(err, link_fd, "cannot connect to a control socket");
    }
    r = spawn(start->program, (char *const *)argv, start->instance_fd, control_fd, start->logs_fd);
    return r < 0 ? error_set_errno(err, r, "cannot start '%s'", start->program) : TAKE_FD(link_fd);
}

/* ---- the link ---------------------------------------------------------------------------------
 */

int keeper_link_stop(int fd, int64_t grace_ms)
{
    char line[32];
    int n = snprintf(line, sizeof(line), "stop %lld\n", (long long)grace_ms);

    return send(fd, line, (size_t)n, MSG_NOSIGNAL) == n ? 0 : -EPIPE;
}

void keeper_link_end(int instance_fd, int64_t grace_ms)
{
    _cleanup_fd_ int fd = keeper_link_connect(instance_fd);
    char data[64];

    if (fd >= 0 && keeper_link_stop(fd, grace_ms) == 0 && fd_set_nonblock(fd, false) == 0) {
        while (recv(fd, data, sizeof(data), 0) > 0) {
            continue;
        }
    }
}

void keeper_link_end_leftovers(const char *instance)
{
    const struct timespec moment = {.tv_nsec = SWEEP_NS};
    _cleanup_free_ char *marker = NULL;

    if (asprintf(&marker, KEEPER_LINK_MARKER "=%s", instance) < 0) {
        marker = NULL;
        return;
    }
    for (int i = 0; i < SWEEPS_MAX && process_signal_marked(marker, SIGKILL) > 0; i++) {
        (void)nanosleep(&moment, NULL);
    }
}
