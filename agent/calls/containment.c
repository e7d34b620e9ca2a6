/* SPDX-License-Identifier: MIT */
#include "agent/calls/containment.h"

#include "protocol/base/buffer.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* /proc files tell no size; a host with ten thousand mounts has some 2 MB. */
#define PROC_FILE_MAX ((size_t)8 << 20)

#define MARK "SLIPWAY_CALL="

/* ---- where it is ------------------------------------------------------------------------------
 */

/* Field `index` (from 0) of a line with one space between fields. *ret_len 0 where there is none.
 */
static const char *field(const char *line, size_t n, unsigned index, size_t *ret_len)
{
    const char *end = line + n, *p = line;

    for (; index > 0; index--) {
        p = memchr(p, ' ', (size_t)(end - p));
        if (!p) {
            *ret_len = 0;
            return NULL;
        }
        p++;
    }
    *ret_len = (size_t)(end - p);
    end = memchr(p, ' ', *ret_len);
    *ret_len = end ? (size_t)(end - p) : *ret_len;
    return p;
}

/* mountinfo writes space, tab, line feed and backslash as \ooo (proc(5)). */
static char *unescape(const char *text, size_t n)
{
    char *out = malloc(n + 1), *p = out;

    for (size_t i = 0; out && i < n; i++) {
        if (text[i] == '\\' && n - i >= 4) {
            *p++ = (char)((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            *p++ = text[i];
        }
    }
    if (out) {
        *p = '\0';
    }
    return out;
}

/* 36 35 0:31 ROOT MOUNTPOINT OPTIONS TAGS… - cgroup2 SOURCE OPTIONS. 1: *ret is MOUNTPOINT with the
 * part of `own` that is below ROOT. */
static int try_mount(const char *line, size_t n, const char *own, char **ret)
{
    size_t root_len, point_len;
    const char *root = field(line, n, 3, &root_len), *point = field(line, n, 4, &point_len);
    const char *type = memmem(line, n, " - cgroup2 ", strlen(" - cgroup2 "));
    _cleanup_free_ char *below = NULL, *mount = NULL;

    if (!type || root_len == 0 || point_len == 0) {
        return 0;
    }
    below = unescape(root, root_len);
    mount = unescape(point, point_len);
    if (!below || !mount) {
        return -ENOMEM;
    }
    if (strcmp(below, "/") == 0) {
        below[0] = '\0';
    }
    n = strlen(below);
    if (strncmp(own, below, n) != 0 || (own[n] != '/' && own[n] != '\0')) {
        return 0; /* another part of the hierarchy is mounted there */
    }
    own += n;
    if (asprintf(ret, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own) < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    return 1;
}

/* The line of version 2 is "0::PATH" (cgroups(7)). */
static char *find_own(const char *cgroups)
{
    for (const char *line = cgroups; *line;) {
        size_t n = strcspn(line, "\n");

        if (n > 3 && strncmp(line, "0::/", 4) == 0) {
            return strndup(line + 3, n - 3);
        }
        line += n + (line[n] == '\n');
    }
    return NULL;
}

int containment_locate(const char *mountinfo, const char *cgroups, char **ret)
{
    _cleanup_free_ char *own = find_own(cgroups);
    char *found = NULL;
    int r = 0;

    for (const char *line = mountinfo; own && r == 0 && *line;) {
        size_t n = strcspn(line, "\n");

        r = try_mount(line, n, own, &found);
        line += n + (line[n] == '\n');
    }
    if (r < 0) {
        return r;
    }
    *ret = found;
    return 0;
}

/* To move a process there, its cgroup.procs and that of the common ancestor have to be writable. */
static bool may_use(const char *directory)
{
    _cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0 &&
           faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) == 0;
}

int containment_init(Containment *containment)
{
    _cleanup_buffer_ Buffer mounts = BUFFER_INIT(PROC_FILE_MAX);
    _cleanup_buffer_ Buffer cgroups = BUFFER_INIT(PROC_FILE_MAX);
    char *directory = NULL;
    int r;

    *containment = (Containment){0};
    if (file_read(AT_FDCWD, "/proc/self/mountinfo", &mounts, NULL) < 0 ||
        file_read(AT_FDCWD, "/proc/self/cgroup", &cgroups, NULL) < 0) {
        return 0;
    }
    r = containment_locate(buffer_text(&mounts), buffer_text(&cgroups), &directory);
    if (r < 0) {
        return r;
    }
    if (directory && !may_use(directory)) {
        free(directory);
        directory = NULL;
    }
    containment->directory = directory;
    return 0;
}

void containment_done(Containment *containment)
{
    free(containment->directory);
    *containment = (Containment){0};
}

const char *containment_mode(const Containment *containment)
{
    return containment->directory ? "cgroup" : "subreaper";
}

int containment_path(const Containment *containment, const char *call, char **ret)
{
    if (!containment->directory) {
        *ret = NULL;
        return 0;
    }
    if (asprintf(ret, "%s/slipway-%s", containment->directory, call) < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    return 0;
}

/* ---- what is left -----------------------------------------------------------------------------
 */

static bool is_marked(int proc_fd, const char *mark, size_t mark_len)
{
    _cleanup_buffer_ Buffer environment = BUFFER_INIT(PROC_FILE_MAX);

    if (file_read(proc_fd, "environ", &environment, NULL) < 0) {
        return false; /* gone, or another user's */
    }
    for (size_t i = 0; i < environment.len;) {
        const char *entry = environment.data + i;
        size_t n = strlen(entry);

        if (n == mark_len && memcmp(entry, mark, n) == 0) {
            return true;
        }
        i += n + 1;
    }
    return false;
}

static bool is_zombie(int proc_fd)
{
    char text[512];
    _cleanup_fd_ int fd = openat(proc_fd, "stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : fd_read_full(fd, text, sizeof(text) - 1);
    const char *state;

    if (n <= 0) {
        return true;
    }
    text[n] = '\0';
    state = strrchr(text, ')');
    return state && (state[2] == 'Z' || state[2] == 'X');
}

/* The pidfd is opened before the second look, so that a number that was given to another process
 * meanwhile is never killed. */
static bool kill_marked(int proc_fd, const char *name, const char *mark)
{
    _cleanup_fd_ int dir = openat(proc_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_fd_ int pidfd = -1;
    int64_t pid;

    if (dir < 0 || text_parse_int(name, 2, INT32_MAX, &pid) < 0 || pid == getpid() ||
        !is_marked(dir, mark, strlen(mark)) || is_zombie(dir)) {
        return false;
    }
    pidfd = pidfd_open((pid_t)pid, 0);
    if (pidfd < 0 || !is_marked(dir, mark, strlen(mark))) {
        return false;
    }
    (void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    return true;
}

static int sweep_processes(const char *call)
{
    _cleanup_free_ char *mark = NULL;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int n = 0;

    if (asprintf(&mark, MARK "%s", call) < 0) {
        mark = NULL;
    }
    while (proc && mark && (entry = readdir(proc))) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') {
            n += kill_marked(dirfd(proc), entry->d_name, mark);
        }
    }
    if (proc) {
        (void)closedir(proc);
    }
    return n;
}

static int count_lines(int dir_fd, const char *name)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(PROC_FILE_MAX);
    int n = 0;

    if (file_read(dir_fd, name, &text, NULL) < 0) {
        return 0;
    }
    for (size_t i = 0; i < text.len; i++) {
        n += text.data[i] == '\n';
    }
    return n;
}

/* Kernels before 5.14 have no cgroup.kill; the environment finds those processes too. */
static int sweep_cgroup(const char *directory)
{
    _cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_fd_ int kill_fd = -1;
    int n;

    if (fd < 0) {
        return 0;
    }
    n = count_lines(fd, "cgroup.procs");
    kill_fd = openat(fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (kill_fd >= 0 && fd_write_all(kill_fd, "1", 1) < 0) {
        log_debug("'%s' cannot be killed as a whole", directory);
    }
    if (n == 0 && rmdir(directory) < 0 && errno == EBUSY) {
        return 1; /* one that is about to be gone */
    }
    return n;
}

int containment_sweep(const Containment *containment, const char *call)
{
    _cleanup_free_ char *directory = NULL;
    int in_cgroup = 0, marked;

    if (containment_path(containment, call, &directory) == 0 && directory) {
        in_cgroup = sweep_cgroup(directory);
    }
    marked = sweep_processes(call);
    return MAX(in_cgroup, marked);
}
