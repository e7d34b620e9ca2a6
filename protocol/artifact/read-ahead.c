/* SPDX-License-Identifier: MIT */
/* A ring of chunks of files: the thread fills one while the taker empties another. */
#include "protocol/artifact/read-ahead.h"

#include "protocol/base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_FILES 16
#define CHUNKS 4

typedef struct Chunk {
    ReadAheadFile files[CHUNK_FILES];
    char bytes[CHUNK_FILES][READ_AHEAD_FILE_MAX + 1];
    size_t n_files;
} Chunk;

struct ReadAhead {
    int root_fd;
    char *const *names;
    size_t n_names;
    pthread_t thread;
    bool has_thread;
    size_t at; /* the next file of the chunk that is emptied */

    pthread_mutex_t mutex;  /* of what follows */
    pthread_cond_t changed; /* any of it */
    size_t filled, emptied; /* counts of chunks */
    bool is_over;

    Chunk chunks[CHUNKS];
};

/* ---- one file ---------------------------------------------------------------------------------
 */

static void read_content(char *buffer, ReadAheadFile *file)
{
    size_t wanted = (size_t)file->st.st_size + 1;
    ssize_t got;

    file->is_read = true;
    file->data = buffer;
    do {
        got = read(file->fd, buffer + file->n, wanted - file->n);
        file->n += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && file->n < (size_t)file->st.st_size) || (got < 0 && errno == EINTR));
    file->read_problem = got < 0 ? -errno : 0;
    file->fd = fd_close(file->fd);
}

/* Nearly all are regular files, so it is opened before anything is asked about it; what cannot be
 * opened (a link, a socket, a directory that may not be read) is asked about by its name. */
void read_ahead_open(int root_fd, const char *name, char *buffer, ReadAheadFile *ret)
{
    int r;

    *ret = (ReadAheadFile){
        .fd = openat(root_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
    ret->open_problem = ret->fd < 0 ? -errno : 0;
    r = ret->fd < 0 ? fstatat(root_fd, name, &ret->st, AT_SYMLINK_NOFOLLOW)
                    : fstat(ret->fd, &ret->st);
    ret->stat_problem = r < 0 ? -errno : 0;
    if (buffer && r == 0 && ret->fd >= 0 && S_ISREG(ret->st.st_mode) &&
        ret->st.st_size <= (off_t)READ_AHEAD_FILE_MAX) {
        read_content(buffer, ret);
    }
}

/* ---- the thread -------------------------------------------------------------------------------
 */

static void fill(const ReadAhead *a, size_t first, Chunk *chunk)
{
    chunk->n_files = MIN((size_t)CHUNK_FILES, a->n_names - first);
    for (size_t i = 0; i < chunk->n_files; i++) {
        read_ahead_open(a->root_fd, a->names[first + i], chunk->bytes[i], &chunk->files[i]);
    }
}

static void *work(void *userdata)
{
    ReadAhead *a = userdata;
    size_t first = 0;

    (void)pthread_mutex_lock(&a->mutex);
    while (first < a->n_names) {
        Chunk *chunk = &a->chunks[a->filled % CHUNKS];

        while (a->filled - a->emptied == CHUNKS && !a->is_over) {
            (void)pthread_cond_wait(&a->changed, &a->mutex);
        }
        if (a->is_over) {
            break;
        }
        (void)pthread_mutex_unlock(&a->mutex);
        fill(a, first, chunk);
        first += chunk->n_files;
        (void)pthread_mutex_lock(&a->mutex);
        a->filled++;
        (void)pthread_cond_signal(&a->changed);
    }
    (void)pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* ---- the taker --------------------------------------------------------------------------------
 */

/* The chunk that is taken from, once it is filled; the one before is the thread's again. */
static Chunk *current(ReadAhead *a)
{
    Chunk *chunk = &a->chunks[a->emptied % CHUNKS];

    (void)pthread_mutex_lock(&a->mutex);
    if (a->at == CHUNK_FILES) {
        a->at = 0;
        a->emptied++;
        chunk = &a->chunks[a->emptied % CHUNKS];
        (void)pthread_cond_signal(&a->changed);
    }
    while (a->filled == a->emptied) {
        (void)pthread_cond_wait(&a->changed, &a->mutex);
    }
    (void)pthread_mutex_unlock(&a->mutex);
    return chunk;
}

void read_ahead_next(ReadAhead *a, ReadAheadFile *ret)
{
    Chunk *chunk = a->at > 0 && a->at < CHUNK_FILES ? &a->chunks[a->emptied % CHUNKS] : current(a);

    assert(a->at < chunk->n_files);
    *ret = chunk->files[a->at];
    chunk->files[a->at++].fd = -1;
}

/* Signals are for the threads that somebody knows of. */
static int start_thread(ReadAhead *a)
{
    sigset_t all, before;
    int r;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&a->thread, NULL, work, a);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    a->has_thread = r == 0;
    return -r;
}

int read_ahead_new(int root_fd, char *const *names, size_t n_names, ReadAhead **ret)
{
    ReadAhead *a = malloc(sizeof(*a)); /* a megabyte, of which few files touch all */
    int r;

    if (!a) {
        return -ENOMEM;
    }
    memset(a, 0, offsetof(ReadAhead, chunks));
    a->root_fd = root_fd;
    a->names = names;
    a->n_names = n_names;
    (void)pthread_mutex_init(&a->mutex, NULL);
    (void)pthread_cond_init(&a->changed, NULL);
    r = start_thread(a);
    if (r < 0) {
        (void)read_ahead_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

ReadAhead *read_ahead_free(ReadAhead *a)
{
    if (!a) {
        return NULL;
    }
    if (a->has_thread) {
        (void)pthread_mutex_lock(&a->mutex);
        a->is_over = true;
        (void)pthread_cond_signal(&a->changed);
        (void)pthread_mutex_unlock(&a->mutex);
        (void)pthread_join(a->thread, NULL);
    }
    for (; a->emptied < a->filled; a->emptied++, a->at = 0) {
        Chunk *chunk = &a->chunks[a->emptied % CHUNKS];

        for (size_t i = a->at; i < chunk->n_files; i++) {
            (void)fd_close(chunk->files[i].fd);
        }
    }
    (void)pthread_cond_destroy(&a->changed);
    (void)pthread_mutex_destroy(&a->mutex);
    free(a);
    return NULL;
}
