/* SPDX-License-Identifier: MIT */
#include "agent/shim/tree.h"

#include "protocol/base/fd.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Looks at the whole tree before it is killed though new processes still appear. */
#define TREE_STOP_ROUNDS 16

int tree_adopt(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

/* proc_pid_stat(5). The name may hold anything, so what follows starts at the last parenthesis. */
static int read_process(int proc_fd, const char *name, TreeProcess *ret)
{
    char path[32], text[1024], state;
    _cleanup_fd_ int fd = -1;
    TreeProcess process = {.pid = (pid_t)atoi(name)};
    const char *rest;
    ssize_t got;
    long threads;

    (void)snprintf(path, sizeof(path), "%s/stat", name);
    fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : fd_read_full(fd, text, sizeof(text) - 1);
    if (got <= 0) {
        return -ESRCH;
    }
    text[got] = '\0';
    rest = strrchr(text, ')');
    if (!rest || sscanf(rest,
                        ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld "
                        "%*d %llu",
                        &state, &process.parent, &threads, &process.started) != 4) {
        return -EPROTO;
    }
    /* A program whose first thread has ended looks like a zombie while the others go on. */
    process.is_alive = (state != 'Z' && state != 'X') || threads > 1;
    *ret = process;
    return 0;
}

static int compare_pids(const void *a, const void *b)
{
    const TreeProcess *x = a, *y = b;

    return (x->pid > y->pid) - (x->pid < y->pid);
}

static TreeProcess *find(const TreeList *list, pid_t pid)
{
    TreeProcess key = {.pid = pid};

    return list->n == 0 ? NULL : bsearch(&key, list->processes, list->n, sizeof(key), compare_pids);
}

static int list_all(TreeList *list, int proc_fd)
{
    size_t allocated = 0;
    int copy = dup(proc_fd);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    int r = dir ? 0 : -errno;

    if (!dir) {
        (void)fd_close(copy);
        return r;
    }
    while (r == 0 && (entry = readdir(dir))) {
        if (!isdigit((unsigned char)entry->d_name[0])) {
            continue;
        }
        if (list->n == allocated) {
            size_t more = allocated ? allocated * 2 : 256;
            TreeProcess *p = reallocarray(list->processes, more, sizeof(*p));

            if (!p) {
                r = -ENOMEM;
                break;
            }
            list->processes = p;
            allocated = more;
        }
        if (read_process(proc_fd, entry->d_name, &list->processes[list->n]) == 0) {
            list->n++;
        }
    }
    (void)closedir(dir);
    return r;
}

/* Marks until nothing changes: pids wrap around, so a child may come before its parent. */
static void keep_descendants(TreeList *list, pid_t root)
{
    size_t kept = 0;
    bool is_changed = true;

    while (is_changed) {
        is_changed = false;
        for (size_t k = 0; k < list->n; k++) {
            TreeProcess *p = &list->processes[k];
            const TreeProcess *parent = p->is_ours ? NULL : find(list, p->parent);

            if (!p->is_ours && (p->parent == root || (parent && parent->is_ours))) {
                p->is_ours = is_changed = true;
            }
        }
    }
    for (size_t k = 0; k < list->n; k++) {
        if (list->processes[k].is_ours) {
            list->processes[kept++] = list->processes[k];
        }
    }
    list->n = kept;
}

int tree_list(pid_t root, TreeList *ret)
{
    _cleanup_tree_list_ TreeList list = {0};
    _cleanup_fd_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = proc_fd < 0 ? -errno : list_all(&list, proc_fd);

    if (r < 0) {
        return r;
    }
    if (list.n > 0) {
        qsort(list.processes, list.n, sizeof(list.processes[0]), compare_pids);
    }
    keep_descendants(&list, root);
    *ret = list;
    list = (TreeList){0};
    return 0;
}

void tree_list_done(TreeList *list)
{
    free(list->processes);
    *list = (TreeList){0};
}

int tree_count(void)
{
    _cleanup_tree_list_ TreeList list = {0};
    int n = 0;

    if (tree_list(getpid(), &list) < 0) {
        return 1; /* not provably nothing */
    }
    for (size_t k = 0; k < list.n; k++) {
        n += list.processes[k].is_alive;
    }
    return n;
}

/* The pid may have gone to another process since it was looked at. A pidfd stays with one, so it is
 * opened first and the process looked at again. */
static void send_signal(const TreeProcess *process, int signal_number)
{
    _cleanup_fd_ int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    _cleanup_fd_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    TreeProcess now;
    char name[16];

    (void)snprintf(name, sizeof(name), "%d", (int)process->pid);
    if (read_process(proc_fd, name, &now) < 0 || now.started != process->started) {
        return;
    }
    if (pidfd < 0 || syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0) < 0) {
        if (pidfd < 0 && errno != ESRCH) { /* before Linux 5.3, or out of descriptors */
            (void)kill(process->pid, signal_number);
        }
    }
}

static void send_all(const TreeList *list, int signal_number)
{
    for (size_t k = 0; k < list->n; k++) {
        if (list->processes[k].is_alive) {
            send_signal(&list->processes[k], signal_number);
        }
    }
}

void tree_terminate(void)
{
    _cleanup_tree_list_ TreeList list = {0};

    if (tree_list(getpid(), &list) == 0) {
        send_all(&list, SIGTERM);
        send_all(&list, SIGCONT);
    }
}

static bool has_new(const TreeList *list, const TreeList *before)
{
    for (size_t k = 0; k < list->n; k++) {
        const TreeProcess *known = find(before, list->processes[k].pid);

        if (!known || known->started != list->processes[k].started) {
            return true;
        }
    }
    return false;
}

void tree_kill(void)
{
    _cleanup_tree_list_ TreeList list = {0};

    for (int round = 0; round < TREE_STOP_ROUNDS; round++) {
        TreeList now;

        if (tree_list(getpid(), &now) < 0) {
            break;
        }
        if (!has_new(&now, &list)) {
            tree_list_done(&now);
            break;
        }
        tree_list_done(&list);
        list = now;
        send_all(&list, SIGSTOP);
    }
    send_all(&list, SIGKILL);
}

bool tree_reap(pid_t pid, int *ret_status, bool *ret_has_ended)
{
    for (;;) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);

        if (ended < 0 && errno == EINTR) {
            continue;
        }
        if (ended <= 0) {
            return ended == 0;
        }
        if (ended == pid) {
            *ret_status = status;
            *ret_has_ended = true;
        }
    }
}
