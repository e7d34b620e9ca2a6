/* SPDX-License-Identifier: MIT */
/* A file is itself what lies between the two threads: nothing of it waits in memory, however much
 * faster one is than the other, and what was fetched survives whatever becomes of either. What is
 * given lies in a ring: it is copied twice, which is far less than writing and reading a file, but
 * the faster one has to wait. */
#include "plugin/client/unpack.h"

#include "protocol/artifact/archive.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Some pieces, so that the two need not take turns. */
#define RING_SIZE ((int64_t)2 << 20)

#define DRAIN_SIZE ((size_t)256 << 10)

struct Unpack {
    pthread_t thread;
    bool has_thread;

    /* Of the thread, until it has ended. */
    int fd; /* -1: the bytes are given */
    int parent_fd;
    char *name;
    char *directory;
    int64_t size;
    char wanted[DIGEST_HEX_SIZE];
    Digest *digest;
    bool is_digested; /* all of it: the result has the digest */
    UnpackResult result;

    char *ring; /* the byte at `n` of all is at `n % RING_SIZE`; NULL: there is a file */

    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    int64_t available; /* so far came */
    int64_t position;  /* so far was taken; set by the thread alone */
    bool is_stopped;
    bool has_ended;
};

void unpack_result_done(UnpackResult *result)
{
    error_done(&result->error);
    *result = (UnpackResult){0};
}

/* ---- the thread -------------------------------------------------------------------------------
 */

/* How many bytes there are from the position on; 0 at the end, -ECANCELED. */
static int64_t wait_for_bytes(Unpack *u)
{
    int64_t n;

    (void)pthread_mutex_lock(&u->mutex);
    while (!u->is_stopped && u->available == u->position && u->position < u->size) {
        (void)pthread_cond_wait(&u->changed, &u->mutex);
    }
    n = u->is_stopped ? -ECANCELED : u->available - u->position;
    (void)pthread_mutex_unlock(&u->mutex);
    return n;
}

static void set_position(Unpack *u, int64_t position)
{
    (void)pthread_mutex_lock(&u->mutex);
    u->position = position;
    if (u->ring) {
        (void)pthread_cond_signal(&u->changed);
    }
    (void)pthread_mutex_unlock(&u->mutex);
}

/* Up to `n` bytes, or to the ring's end. */
static size_t take_from_ring(const Unpack *u, void *data, size_t n)
{
    int64_t at = u->position % RING_SIZE;

    n = (size_t)MIN((int64_t)n, RING_SIZE - at);
    memcpy(data, u->ring + at, n);
    return n;
}

static ssize_t read_more(void *data, size_t n, void *userdata)
{
    Unpack *u = userdata;
    int64_t available = wait_for_bytes(u);
    ssize_t got;
    int r;

    if (available <= 0) {
        return (ssize_t)available;
    }
    n = (size_t)MIN((int64_t)n, available);
    got =
        u->ring ? (ssize_t)take_from_ring(u, data, n) : fd_pread_full(u->fd, data, n, u->position);
    if (got <= 0) {
        return got < 0 ? got : -EIO; /* somebody made it shorter */
    }
    set_position(u, u->position + got);
    r = digest_update(u->digest, data, (size_t)got);
    return r < 0 ? r : got;
}

/* What stands behind the archive's end, or behind the place where unpacking failed, belongs to the
 * digest too. */
static int digest_rest(Unpack *u)
{
    _cleanup_free_ char *block = malloc(DRAIN_SIZE);
    ssize_t got;
    int r;

    if (!block) {
        return -ENOMEM;
    }
    do {
        got = read_more(block, DRAIN_SIZE, u);
    } while (got > 0);
    if (got < 0) {
        return (int)got;
    }
    r = digest_finish(u->digest, u->result.sha256);
    if (r == 0) {
        u->is_digested = true;
        u->result.is_right = strcmp(u->result.sha256, u->wanted) == 0;
    }
    return r;
}

static int may_keep(void *userdata, Error *err)
{
    Unpack *u = userdata;
    int r = digest_rest(u);

    if (r < 0) {
        return error_set_errno(err, r, "cannot verify it");
    }
    return u->result.is_right ? 0 : error_set(err, -EBADMSG, "is not what was announced");
}

static void *run(void *userdata)
{
    Unpack *u = userdata;
    const ArchiveSource source = {.read = read_more, .may_keep = may_keep, .userdata = u};
    UnpackResult *result = &u->result;

    result->code = archive_unpack_from(&source, u->parent_fd, u->name, &(ArchiveLimits){0}, NULL,
                                       NULL, &result->error);
    if (result->code < 0) {
        (void)error_wrap(&result->error, "unpacking into '%s'", u->directory);
        if (!u->is_digested) {
            (void)!digest_rest(u); /* then nobody knows, and it is not right */
        }
    }
    (void)pthread_mutex_lock(&u->mutex);
    u->has_ended = true;
    (void)pthread_cond_signal(&u->changed);
    (void)pthread_mutex_unlock(&u->mutex);
    return NULL;
}

/* ---- the other side ---------------------------------------------------------------------------
 */

static void join(Unpack *u)
{
    if (u->has_thread) {
        (void)pthread_join(u->thread, NULL);
        u->has_thread = false;
    }
}

Unpack *unpack_free(Unpack *u)
{
    if (!u) {
        return NULL;
    }
    (void)pthread_mutex_lock(&u->mutex);
    u->is_stopped = true;
    (void)pthread_cond_signal(&u->changed);
    (void)pthread_mutex_unlock(&u->mutex);
    join(u);
    (void)pthread_cond_destroy(&u->changed);
    (void)pthread_mutex_destroy(&u->mutex);
    u->fd = fd_close(u->fd);
    u->parent_fd = fd_close(u->parent_fd);
    (void)digest_free(u->digest);
    free(u->ring);
    unpack_result_done(&u->result);
    free(u->directory);
    free(u->name);
    free(u);
    return NULL;
}

void unpack_tell(Unpack *u, int64_t n_bytes)
{
    (void)pthread_mutex_lock(&u->mutex);
    u->available = n_bytes;
    (void)pthread_cond_signal(&u->changed);
    (void)pthread_mutex_unlock(&u->mutex);
}

/* How much of the ring from `available` on is free, waiting for some; 0: nobody takes any more. */
static size_t wait_for_room(Unpack *u)
{
    int64_t room;

    (void)pthread_mutex_lock(&u->mutex);
    while (!u->has_ended && u->available - u->position == RING_SIZE) {
        (void)pthread_cond_wait(&u->changed, &u->mutex);
    }
    room = u->has_ended ? 0 : RING_SIZE - (u->available - u->position);
    (void)pthread_mutex_unlock(&u->mutex);
    return (size_t)MIN(room, RING_SIZE - u->available % RING_SIZE);
}

void unpack_give(Unpack *u, const char *data, size_t n)
{
    while (n > 0) {
        size_t part = MIN(wait_for_room(u), n);

        if (part == 0) {
            return;
        }
        memcpy(u->ring + u->available % RING_SIZE, data, part);
        unpack_tell(u, u->available + (int64_t)part);
        data += part;
        n -= part;
    }
}

void unpack_finish(Unpack *u, UnpackResult *ret)
{
    join(u);
    *ret = u->result;
    u->result = (UnpackResult){0};
    (void)unpack_free(u);
}

static int open_parent(Unpack *u, Error *err)
{
    _cleanup_free_ char *parent_text = strdup(u->directory), *name_text = strdup(u->directory);
    const char *parent;

    if (!parent_text || !name_text) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    parent = dirname(parent_text);
    u->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->parent_fd < 0) {
        return error_set_errno(err, -errno, "'%s'", parent);
    }
    u->name = strdup(basename(name_text));
    if (!u->name) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return file_exists(u->parent_fd, u->name)
               ? error_set(err, -EEXIST, "'%s' is there already", u->directory)
               : 0;
}

/* Signals are for the program's own threads. */
static int start_thread(Unpack *u)
{
    sigset_t all, before;
    int r;

    (void)sigfillset(&all);
    r = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (r != 0) {
        return -r;
    }
    r = pthread_create(&u->thread, NULL, run, u);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    u->has_thread = r == 0;
    return -r;
}

static int duplicate(Unpack *u, int file_fd, Error *err)
{
    u->fd = fcntl(file_fd, F_DUPFD_CLOEXEC, 3);
    return u->fd < 0 ? error_set_errno(err, -errno, "the file to unpack") : 0;
}

static int make_ring(Unpack *u, Error *err)
{
    u->ring = malloc((size_t)RING_SIZE);
    return u->ring ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int unpack_start(int file_fd, int64_t size, const char *sha256, const char *directory, Unpack **ret,
                 Error *err)
{
    _cleanup_(unpack_freep) Unpack *u = calloc(1, sizeof(*u));
    int r;

    if (!u) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    (void)pthread_mutex_init(&u->mutex, NULL); /* cannot fail, nor can the next */
    (void)pthread_cond_init(&u->changed, NULL);
    u->size = size;
    u->parent_fd = -1;
    u->fd = -1;
    r = file_fd >= 0 ? duplicate(u, file_fd, err) : make_ring(u, err);
    if (r < 0) {
        return r;
    }
    (void)stpncpy(u->wanted, sha256, sizeof(u->wanted) - 1);
    u->directory = strdup(directory);
    r = u->directory ? digest_new(&u->digest, err) : error_set(err, -ENOMEM, "out of memory");
    r = r == 0 ? open_parent(u, err) : r;
    if (r < 0) {
        return r;
    }
    r = start_thread(u);
    if (r < 0) {
        return error_set_errno(err, r, "starting a thread");
    }
    *ret = TAKE_PTR(u);
    return 0;
}
