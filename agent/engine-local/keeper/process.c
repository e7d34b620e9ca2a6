/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/keeper/process.h"

#include "protocol/base/buffer.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More processes than a host has; beyond it a sweep fails rather than grow. */
#define PROCESSES_MAX 65536
/* Environments are at most what execve takes for one string or, in practice, far less. */
#define ENVIRONMENT_BYTES_MAX ((size_t)2 << 20)

typedef struct Process {
    pid_t pid;
    pid_t parent;
    unsigned long long start_time; /* ticks since boot: with the pid, it names one process */
    bool is_dead;
    bool is_ours;
} Process;

typedef struct ProcessList {
    Process *at;
    size_t n;
    size_t allocated;
} ProcessList;

static void process_list_done(ProcessList *list)
{
    free(list->at);
}

/* proc(5): the name may hold anything, so the fields are counted from its last parenthesis. */
static int read_stat(pid_t pid, Process *ret)
{
    char path[32], text[1024], state;
    _cleanup_fd_ int fd = -1;
    const char *fields;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -errno : fd_read_full(fd, text, sizeof(text) - 1);
    if (n < 0) {
        return (int)n;
    }
    text[n] = '\0';
    fields = strrchr(text, ')');
    *ret = (Process){.pid = pid};
    if (!fields || sscanf(fields,
                          ") %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                          "%*s %llu",
                          &state, &ret->parent, &ret->start_time) != 3) {
        return -EBADMSG;
    }
    ret->is_dead = state == 'Z' || state == 'X';
    return 0;
}

static int add(ProcessList *list, const Process *process)
{
    if (list->n == PROCESSES_MAX) {
        return -E2BIG;
    }
    if (list->n == list->allocated) {
        size_t wanted = MAX(list->allocated * 2, (size_t)256);
        Process *grown = realloc(list->at, wanted * sizeof(*grown));

        if (!grown) {
            return -ENOMEM;
        }
        list->at = grown;
        list->allocated = wanted;
    }
    list->at[list->n++] = *process;
    return 0;
}

static int list_all(ProcessList *list)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    int r = 0;

    if (!dir) {
        return -errno;
    }
    while (r == 0 && (entry = readdir(dir))) {
        Process process;

        if (isdigit((unsigned char)entry->d_name[0]) &&
            read_stat((pid_t)atoi(entry->d_name), &process) == 0) { /* else it ended meanwhile */
            r = add(list, &process);
        }
    }
    (void)closedir(dir);
    return r;
}

/* 1 if it was signalled, 0 if it is gone. */
static int signal_one(const Process *process, int signal)
{
    _cleanup_fd_ int fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    Process again;

    if (fd < 0 || read_stat(process->pid, &again) < 0 || again.is_dead ||
        again.start_time != process->start_time) {
        return 0;
    }
    return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) == 0;
}

static int signal_ours(const ProcessList *list, int signal)
{
    int n = 0;

    for (size_t i = 0; i < list->n; i++) {
        if (list->at[i].is_ours && !list->at[i].is_dead) {
            n += signal_one(&list->at[i], signal);
        }
    }
    return n;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t left = ((const Process *)a)->pid, right = ((const Process *)b)->pid;

    return (left > right) - (left < right);
}

static bool is_ours(const ProcessList *list, pid_t pid)
{
    const Process key = {.pid = pid};
    const Process *found = bsearch(&key, list->at, list->n, sizeof(key), compare_pids);

    return found && found->is_ours;
}

int process_signal_descendants(int signal)
{
    _cleanup_(process_list_done) ProcessList list = {0};
    bool has_grown = true;
    int r = list_all(&list);

    if (r < 0) {
        return r;
    }
    qsort(list.at, list.n, sizeof(*list.at), compare_pids);
    while (has_grown) { /* once for each generation */
        has_grown = false;
        for (size_t i = 0; i < list.n; i++) {
            Process *process = &list.at[i];
            bool is_child = process->parent == getpid();

            if (!process->is_ours && (is_child || is_ours(&list, process->parent))) {
                process->is_ours = has_grown = true;
            }
        }
    }
    return signal_ours(&list, signal);
}

static bool has_entry(pid_t pid, const char *marker)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(ENVIRONMENT_BYTES_MAX);
    size_t n = strlen(marker);
    char path[40];

    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    if (file_read(AT_FDCWD, path, &text, NULL) < 0) {
        return false; /* gone, or another user's: not one that we started */
    }
    for (const char *at = buffer_text(&text); at < text.data + text.len; at += strlen(at) + 1) {
        if (strncmp(at, marker, n) == 0 && at[n] == '\0') {
            return true;
        }
    }
    return false;
}

int process_signal_marked(const char *marker, int signal)
{
    _cleanup_(process_list_done) ProcessList list = {0};
    int r = list_all(&list);

    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < list.n; i++) {
        Process *process = &list.at[i];

        process->is_ours =
            process->pid != getpid() && !process->is_dead && has_entry(process->pid, marker);
    }
    return signal_ours(&list, signal);
}
