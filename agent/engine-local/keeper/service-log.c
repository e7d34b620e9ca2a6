/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/keeper/service-log.h"

#include "protocol/base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_SUFFIX ".log"
#define PRUNED_MAX 256

static char *older_name(const char *name)
{
    char *older = NULL;

    return asprintf(&older, "%s.1", name) < 0 ? NULL : older;
}

static int open_file(ServiceLog *log)
{
    struct stat st;

    log->fd = openat(log->dir_fd, log->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                     0600);
    if (log->fd < 0 || fstat(log->fd, &st) < 0) {
        return -errno;
    }
    log->size = st.st_size;
    return 0;
}

int service_log_open(ServiceLog *log, int dir_fd, const char *name, off_t limit)
{
    *log = (ServiceLog){.dir_fd = dir_fd, .name = name, .fd = -1, .limit = limit};
    return open_file(log);
}

void service_log_done(ServiceLog *log)
{
    log->fd = fd_close(log->fd);
}

static int rotate(ServiceLog *log)
{
    _cleanup_free_ char *older = older_name(log->name);

    if (!older) {
        return -ENOMEM;
    }
    if (renameat(log->dir_fd, log->name, log->dir_fd, older) < 0 && errno != ENOENT) {
        return -errno;
    }
    log->fd = fd_close(log->fd);
    return open_file(log);
}

int service_log_write(ServiceLog *log, const char *data, size_t n)
{
    while (n > 0) {
        size_t room = log->size < log->limit ? (size_t)(log->limit - log->size) : 0;
        size_t part = MIN(n, room);
        int r = part == 0 ? rotate(log) : fd_write_all(log->fd, data, part);

        if (r < 0) {
            return r;
        }
        log->size += (off_t)part;
        data += part;
        n -= part;
    }
    return 0;
}

/* The end of one file; a NUL in it becomes a space, so that what follows is not lost as text. */
static int read_end(int dir_fd, const char *name, size_t n, Buffer *out)
{
    _cleanup_fd_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    ssize_t got;
    int r;

    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    r = buffer_reserve(out, n);
    if (r < 0) {
        return r;
    }
    got = fd_pread_full(fd, out->data + out->len, n, MAX(st.st_size - (off_t)n, (off_t)0));
    if (got < 0) {
        return (int)got;
    }
    for (ssize_t i = 0; i < got; i++) {
        char *byte = &out->data[out->len + (size_t)i];

        *byte = *byte ? *byte : ' ';
    }
    out->len += (size_t)got;
    out->data[out->len] = '\0';
    return 0;
}

/* Where the last `n_lines` lines begin; a last line without its line feed is one, too. */
static const char *find_tail(const Buffer *text, size_t n_lines)
{
    const char *begin = text->data, *at = begin + text->len;

    if (at > begin && at[-1] == '\n') {
        at--;
    }
    for (size_t n = 0; at > begin; at--) {
        if (at[-1] == '\n' && ++n == n_lines) {
            break;
        }
    }
    return at;
}

int service_log_tail(int dir_fd, const char *name, size_t n_lines, Buffer *out)
{
    size_t wanted = n_lines * (SERVICE_LOG_LINE_MAX + 1);
    _cleanup_buffer_ Buffer text = BUFFER_INIT(2 * wanted);
    _cleanup_free_ char *older = older_name(name);
    const char *at;
    int r;

    r = older ? read_end(dir_fd, older, wanted, &text) : -ENOMEM;
    if (r == 0) {
        r = read_end(dir_fd, name, wanted, &text);
    }
    if (r < 0 || text.len == 0 || n_lines == 0) {
        return r;
    }
    for (at = find_tail(&text, n_lines); r == 0 && *at;) {
        size_t n = strcspn(at, "\n"),
               skip = n > SERVICE_LOG_LINE_MAX ? n - SERVICE_LOG_LINE_MAX : 0;

        r = buffer_append(out, at + skip, n - skip);
        if (r == 0) {
            r = buffer_append(out, "\n", 1);
        }
        at += n + (at[n] == '\n');
    }
    return r;
}

static void remove_both(int dir_fd, const char *name)
{
    _cleanup_free_ char *older = older_name(name);

    (void)unlinkat(dir_fd, name, 0);
    if (older) {
        (void)unlinkat(dir_fd, older, 0);
    }
}

static bool is_log(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);

    return n > strlen(LOG_SUFFIX) &&
           strcmp(entry->d_name + n - strlen(LOG_SUFFIX), LOG_SUFFIX) == 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)b, *(char *const *)a);
}

/* Beyond PRUNED_MAX at once, the next pruning goes on. */
void service_log_prune(int dir_fd, size_t n_kept)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    char *names[PRUNED_MAX];
    struct dirent *entry;
    size_t n = 0;

    if (!dir) {
        (void)fd_close(fd);
        return;
    }
    while (n < ARRAY_SIZE(names) && (entry = readdir(dir))) {
        if (is_log(entry)) {
            names[n] = strdup(entry->d_name);
            n += names[n] != NULL;
        }
    }
    (void)closedir(dir);
    qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 0; i < n; i++) {
        if (i >= n_kept) {
            remove_both(dir_fd, names[i]);
        }
        free(names[i]);
    }
}
