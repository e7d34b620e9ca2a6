/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/index.h"

#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_PATH_SIZE (2 * TEXT_IDENTIFIER_MAX + sizeof("/calls/"))

/* RUN/calls, or RUN/calls/ID. */
static void path_in_run(char path[static RUN_PATH_SIZE], const char *run, const char *id)
{
    (void)snprintf(path, RUN_PATH_SIZE, "%s/calls%s%s", run, id ? "/" : "", id ? id : "");
}

static int make_dir(int dir_fd, const char *path)
{
    return mkdirat(dir_fd, path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int index_add(const Index *index, const char *id, const char *key, const char *run)
{
    char path[RUN_PATH_SIZE];
    _cleanup_fd_ int fd = -1;
    int r;

    run = run ? run : id;
    if (symlinkat(id, index->keys_fd, key) < 0 && errno != EEXIST) {
        return -errno;
    }
    path_in_run(path, run, NULL);
    r = make_dir(index->runs_fd, run);
    r = r == 0 ? make_dir(index->runs_fd, path) : r;
    if (r < 0) {
        return r;
    }
    path_in_run(path, run, id);
    fd = openat(index->runs_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : 0;
}

int index_find(const Index *index, const char *key, char *id, size_t size)
{
    ssize_t n = readlinkat(index->keys_fd, key, id, size - 1);

    if (n < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    id[n] = '\0';
    return 1;
}

int index_remove(const Index *index, const char *id, const char *key, const char *run)
{
    char target[TEXT_IDENTIFIER_MAX + 1], path[RUN_PATH_SIZE];

    run = run ? run : id;
    if (index_find(index, key, target, sizeof(target)) > 0 && strcmp(target, id) == 0) {
        (void)unlinkat(index->keys_fd, key, 0);
    }
    path_in_run(path, run, id);
    (void)unlinkat(index->runs_fd, path, 0);
    path_in_run(path, run, NULL);
    if (unlinkat(index->runs_fd, path, AT_REMOVEDIR) < 0) {
        return 0;
    }
    (void)unlinkat(index->runs_fd, run, AT_REMOVEDIR); /* only where nothing else is in it */
    return 1;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int index_list_run(const Index *index, const char *run, char ***ret, size_t *ret_n)
{
    char path[RUN_PATH_SIZE];
    struct dirent **entries;
    char **ids;
    size_t n_ids = 0;
    int n;

    path_in_run(path, run, NULL);
    n = scandirat(index->runs_fd, path, &entries, is_visible, by_name);
    if (n < 0 && errno != ENOENT) {
        return -errno;
    }
    ids = calloc((size_t)MAX(n, 0) + 1, sizeof(*ids));
    for (int i = 0; i < n; i++) {
        if (ids && (ids[n_ids] = strdup(entries[i]->d_name))) {
            n_ids++;
        }
        free(entries[i]);
    }
    if (n >= 0) {
        free(entries);
    }
    if (!ids || n_ids < (size_t)MAX(n, 0)) {
        for (size_t i = 0; ids && i < n_ids; i++) {
            free(ids[i]);
        }
        free(ids);
        return -ENOMEM;
    }
    *ret = ids;
    *ret_n = n_ids;
    return 0;
}
