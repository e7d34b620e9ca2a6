/* SPDX-License-Identifier: MIT */
#include "agent/shim/cgroup.h"

#include "protocol/base/fd.h"
#include "protocol/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Groups within groups: more than a container engine within a step makes. */
#define CGROUP_DEPTH_MAX 32

int cgroup_open(Cgroup *cgroup, const char *path, Error *err)
{
    _cleanup_free_ char *copy = strdup(path);
    _cleanup_fd_ int dir_fd = -1;
    struct statfs fs;
    int r;

    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (mkdir(path, 0755) < 0) {
        return error_set_errno(err, -errno, "cannot make the cgroup '%s'", path);
    }
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || fstatfs(dir_fd, &fs) < 0) {
        r = error_set_errno(err, -errno, "cannot open the cgroup '%s'", path);
    } else if (fs.f_type != CGROUP2_SUPER_MAGIC) {
        r = error_set(err, -EINVAL, "'%s' is not in a cgroup v2 hierarchy", path);
    } else {
        *cgroup = (Cgroup){.path = TAKE_PTR(copy), .dir_fd = TAKE_FD(dir_fd)};
        return 0;
    }
    (void)rmdir(path);
    return r;
}

static int write_file(const Cgroup *cgroup, const char *name, const char *text)
{
    _cleanup_fd_ int fd = openat(cgroup->dir_fd, name, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

static int add(const Cgroup *cgroup, pid_t pid)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    return write_file(cgroup, "cgroup.procs", text);
}

/* Born there. To move a process in later, the kernel waits until all processors have passed a quiet
 * point: some ten milliseconds, more than all the rest of a small call. Since Linux 5.7. */
static pid_t fork_into(const Cgroup *cgroup)
{
    struct clone_args arguments = {
        .flags = CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)cgroup->dir_fd,
    };

    return (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
}

pid_t cgroup_fork(Cgroup *cgroup)
{
    pid_t pid = cgroup_is_open(cgroup) ? fork_into(cgroup) : -1;
    int r;

    if (pid >= 0) {
        return pid;
    }
    pid = fork();
    if (pid < 0) {
        return -errno;
    }
    r = pid > 0 && cgroup_is_open(cgroup) ? add(cgroup, pid) : 0;
    if (r < 0) {
        log_warning("cannot use the cgroup '%s': %s, going on without", cgroup->path, strerror(-r));
        cgroup_remove(cgroup);
    }
    return pid;
}

int cgroup_kill(const Cgroup *cgroup)
{
    return write_file(cgroup, "cgroup.kill", "1");
}

bool cgroup_is_populated(const Cgroup *cgroup)
{
    _cleanup_fd_ int fd = openat(cgroup->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    char text[256];
    ssize_t got = fd < 0 ? -1 : fd_read_full(fd, text, sizeof(text) - 1);

    if (got < 0) {
        return true;
    }
    text[got] = '\0';
    return !strstr(text, "populated 0");
}

/* Only a group without groups in it can be removed. Its other entries are the kernel's files. */
static void remove_below(int dir_fd, unsigned depth)
{
    int copy = dup(dir_fd);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;

    if (!dir) {
        (void)fd_close(copy);
        return;
    }
    while (depth < CGROUP_DEPTH_MAX && (entry = readdir(dir))) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            _cleanup_fd_ int below =
                openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

            if (below >= 0) {
                remove_below(below, depth + 1);
                (void)unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR);
            }
        }
    }
    (void)closedir(dir);
}

void cgroup_remove(Cgroup *cgroup)
{
    if (cgroup->path) {
        remove_below(cgroup->dir_fd, 0);
        (void)rmdir(cgroup->path);
    }
    cgroup_done(cgroup);
}

void cgroup_done(Cgroup *cgroup)
{
    free(cgroup->path);
    (void)fd_close(cgroup->dir_fd);
    *cgroup = CGROUP_INIT;
}
