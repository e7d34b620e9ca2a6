/* SPDX-License-Identifier: MIT */
/* Batches in a bounded queue. Who finds the queue full makes the files of the batch itself, so that
 * neither thread waits for the other before the end. */
#include "protocol/artifact/write-behind.h"

#include "protocol/base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define BATCH_FILES 64
#define BATCH_BYTES (4 * WRITE_BEHIND_FILE_MAX)
#define QUEUE_MAX 4

typedef struct BatchFile {
    size_t dir;  /* of Batch.dir_fds */
    size_t path; /* these three: where it begins in Batch.bytes */
    size_t name;
    size_t data;
    size_t n;
    mode_t mode;
    bool sets_mode;
    int64_t mtime;
} BatchFile;

typedef struct Batch {
    struct Batch *next;
    BatchFile files[BATCH_FILES];
    size_t n_files;
    int dir_fds[BATCH_FILES]; /* its own */
    size_t n_dirs;
    Buffer bytes; /* texts with their NUL, and contents */
} Batch;

struct WriteBehind {
    Batch *current;  /* the caller's, being filled; never NULL */
    int current_dir; /* the caller's descriptor of the last of its dir_fds; -1: none */
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t mutex;  /* of what follows */
    pthread_cond_t changed; /* any of it */
    Batch *first, **last;   /* the queue */
    size_t n_queued;
    Batch *spare;
    bool is_busy; /* the thread has a batch */
    bool is_over;
    Error problem; /* the first */
};

/* ---- one batch --------------------------------------------------------------------------------
 */

static void batch_clear(Batch *batch)
{
    while (batch->n_dirs > 0) {
        (void)fd_close(batch->dir_fds[--batch->n_dirs]);
    }
    batch->n_files = 0;
    buffer_clear(&batch->bytes);
}

static Batch *batch_free(Batch *batch)
{
    while (batch) {
        Batch *next = batch->next;

        batch_clear(batch);
        buffer_done(&batch->bytes);
        free(batch);
        batch = next;
    }
    return NULL;
}

static int make_file(const Batch *batch, const BatchFile *file, Error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = file->mtime}};
    const char *bytes = buffer_text(&batch->bytes);
    _cleanup_fd_ int fd = openat(batch->dir_fds[file->dir], bytes + file->name,
                                 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, file->mode);
    int r;

    if (fd < 0) {
        return errno == EEXIST ? error_set(err, -EBADMSG, "is there twice")
                               : error_set_errno(err, -errno, "cannot make it");
    }
    r = fd_write_all(fd, bytes + file->data, file->n);
    if (r < 0) {
        return error_set_errno(err, r, "cannot write it");
    }
    if ((file->sets_mode && fchmod(fd, file->mode) < 0) || futimens(fd, times) < 0) {
        return error_set_errno(err, -errno, "cannot set its mode and time");
    }
    return 0;
}

static int make_files(const Batch *batch, Error *err)
{
    for (size_t i = 0; i < batch->n_files; i++) {
        int r = make_file(batch, &batch->files[i], err);

        if (r < 0) {
            return error_wrap(err, "'%s'", buffer_text(&batch->bytes) + batch->files[i].path);
        }
    }
    return 0;
}

/* ---- both threads -----------------------------------------------------------------------------
 */

/* Makes the files of a batch, unless something has failed before, and empties it. With the mutex,
 * which is given away meanwhile. */
static void run(WriteBehind *w, Batch *batch)
{
    _cleanup_error_ Error problem = {0};
    bool is_wanted = !w->problem.code;

    (void)pthread_mutex_unlock(&w->mutex);
    if (is_wanted) {
        (void)make_files(batch, &problem);
    }
    batch_clear(batch);
    (void)pthread_mutex_lock(&w->mutex);
    if (problem.code && !w->problem.code) {
        w->problem = problem;
        problem = (Error){0};
    }
}

static void *work(void *userdata)
{
    WriteBehind *w = userdata;

    (void)pthread_mutex_lock(&w->mutex);
    for (;;) {
        Batch *batch;

        while (!w->first && !w->is_over) {
            (void)pthread_cond_wait(&w->changed, &w->mutex);
        }
        batch = w->first;
        if (!batch) {
            break;
        }
        w->first = batch->next;
        w->last = w->first ? w->last : &w->first;
        w->n_queued--;
        w->is_busy = true;
        run(w, batch);
        w->is_busy = false;
        batch->next = w->spare;
        w->spare = batch;
        (void)pthread_cond_broadcast(&w->changed);
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* ---- the caller -------------------------------------------------------------------------------
 */

/* Signals are for the threads that somebody knows of. Without a thread it works, in turn. */
static void start_thread(WriteBehind *w)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    w->has_thread = pthread_create(&w->thread, NULL, work, w) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int tell(const WriteBehind *w, Error *err)
{
    return w->problem.code ? error_set(err, w->problem.code, "%s", error_text(&w->problem)) : 0;
}

/* An empty batch to fill next, if one can be had; with the mutex. */
static Batch *take_spare(WriteBehind *w)
{
    Batch *spare = w->spare;

    if (spare) {
        w->spare = spare->next;
        spare->next = NULL;
        return spare;
    }
    return calloc(1, sizeof(*spare));
}

static int submit(WriteBehind *w, Error *err)
{
    Batch *next = NULL;
    int r;

    if (!w->has_thread) {
        start_thread(w);
    }
    (void)pthread_mutex_lock(&w->mutex);
    if (w->has_thread && w->n_queued < QUEUE_MAX) {
        next = take_spare(w);
    }
    if (next) {
        *w->last = w->current;
        w->last = &w->current->next;
        w->n_queued++;
        w->current = next;
        (void)pthread_cond_signal(&w->changed);
    } else {
        run(w, w->current);
    }
    w->current_dir = -1;
    r = tell(w, err);
    (void)pthread_mutex_unlock(&w->mutex);
    return r;
}

static int keep_directory(WriteBehind *w, int dir_fd)
{
    Batch *batch = w->current;
    int fd;

    if (w->current_dir == dir_fd) {
        return 0;
    }
    fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        return -errno;
    }
    batch->dir_fds[batch->n_dirs++] = fd;
    w->current_dir = dir_fd;
    return 0;
}

static int append(Buffer *bytes, const void *data, size_t n, size_t *ret_at)
{
    *ret_at = bytes->len;
    return n > 0 ? buffer_append(bytes, data, n) : 0;
}

static int remember(WriteBehind *w, const WriteBehindFile *file)
{
    Batch *batch = w->current;
    BatchFile *kept = &batch->files[batch->n_files];
    int r = keep_directory(w, file->dir_fd);

    *kept = (BatchFile){
        .n = file->n,
        .mode = file->mode,
        .sets_mode = file->sets_mode,
        .mtime = file->mtime,
    };
    r = r < 0 ? r : append(&batch->bytes, file->path, strlen(file->path) + 1, &kept->path);
    r = r < 0 ? r : append(&batch->bytes, file->name, strlen(file->name) + 1, &kept->name);
    r = r < 0 ? r : append(&batch->bytes, file->data, file->n, &kept->data);
    if (r < 0) {
        return r;
    }
    kept->dir = batch->n_dirs - 1;
    batch->n_files++;
    return 0;
}

int write_behind_add(WriteBehind *w, const WriteBehindFile *file, Error *err)
{
    int r;

    assert(file->n <= WRITE_BEHIND_FILE_MAX);
    r = remember(w, file);
    if (r < 0) {
        (void)error_set_errno(err, r, "cannot make it");
        return error_wrap(err, "'%s'", file->path);
    }
    return w->current->n_files == BATCH_FILES || w->current->bytes.len >= BATCH_BYTES
               ? submit(w, err)
               : 0;
}

void write_behind_leave(WriteBehind *w)
{
    w->current_dir = -1;
}

int write_behind_wait(WriteBehind *w, Error *err)
{
    int r;

    (void)pthread_mutex_lock(&w->mutex);
    run(w, w->current); /* the last ones, while the thread makes those before */
    w->current_dir = -1;
    while (w->n_queued > 0 || w->is_busy) {
        (void)pthread_cond_wait(&w->changed, &w->mutex);
    }
    r = tell(w, err);
    (void)pthread_mutex_unlock(&w->mutex);
    return r;
}

int write_behind_new(WriteBehind **ret)
{
    WriteBehind *w = calloc(1, sizeof(*w));

    if (!w || !(w->current = calloc(1, sizeof(*w->current)))) {
        free(w);
        return -ENOMEM;
    }
    w->current_dir = -1;
    w->last = &w->first;
    (void)pthread_mutex_init(&w->mutex, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    *ret = w;
    return 0;
}

WriteBehind *write_behind_free(WriteBehind *w)
{
    if (!w) {
        return NULL;
    }
    if (w->has_thread) {
        (void)pthread_mutex_lock(&w->mutex);
        if (!w->problem.code) {
            (void)error_set(&w->problem, -ECANCELED, "given up");
        }
        w->is_over = true;
        (void)pthread_cond_broadcast(&w->changed);
        (void)pthread_mutex_unlock(&w->mutex);
        (void)pthread_join(w->thread, NULL);
    }
    (void)batch_free(w->current);
    (void)batch_free(w->first);
    (void)batch_free(w->spare);
    error_done(&w->problem);
    (void)pthread_cond_destroy(&w->changed);
    (void)pthread_mutex_destroy(&w->mutex);
    free(w);
    return NULL;
}
