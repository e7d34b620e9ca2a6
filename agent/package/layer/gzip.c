/* SPDX-License-Identifier: MIT */
/* A ring of blocks. The caller fills one after the other; threads take the full ones in order and
 * compress them; whoever finishes the oldest hands it on, with all that are done behind it:
 *
 *     written          taken           filled
 *        | DONE … BUSY …  | FULL … FULL  |  the caller's
 */
#include "agent/package/layer/gzip.h"

#include <errno.h>
#include <libdeflate.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

/* Of libdeflate's scale to 12: five times as fast as zlib at 6, and two per cent larger. */
#define GZIP_LEVEL 4

/* The macro's value, not its name. */
#define TEXT_OF(macro) TEXT_OF_VALUE(macro)
#define TEXT_OF_VALUE(value) #value

#define GZIP_THREADS_MAX 16

typedef enum BlockState {
    BLOCK_FREE,
    BLOCK_FULL,
    BLOCK_BUSY,
    BLOCK_DONE,
} BlockState;

typedef struct Block {
    BlockState state;
    size_t in_len, out_len;
    char *in, *out;
} Block;

struct Gzip {
    CompressSink sink;
    void *userdata;
    size_t out_size; /* of Block.out */
    size_t n_threads_wanted;

    pthread_mutex_t mutex;  /* of what follows */
    pthread_cond_t changed; /* any of it */
    Block *blocks;
    size_t n_blocks;
    uint64_t filled, taken, written; /* counts of blocks */
    bool is_in_sink;
    bool is_over; /* no more blocks come */
    int problem;

    pthread_t threads[GZIP_THREADS_MAX];
    size_t n_threads;
};

const char *gzip_version(void)
{
    return "libdeflate " LIBDEFLATE_VERSION_STRING " level " TEXT_OF(GZIP_LEVEL);
}

static size_t count_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

static Block *block_of(const Gzip *g, uint64_t number)
{
    return &g->blocks[number % g->n_blocks];
}

static void join_threads(Gzip *g)
{
    (void)pthread_mutex_lock(&g->mutex);
    g->is_over = true;
    (void)pthread_cond_broadcast(&g->changed);
    (void)pthread_mutex_unlock(&g->mutex);
    while (g->n_threads > 0) {
        (void)pthread_join(g->threads[--g->n_threads], NULL);
    }
}

Gzip *gzip_free(Gzip *g)
{
    if (g) {
        (void)pthread_mutex_lock(&g->mutex);
        g->problem = g->problem ? g->problem : -ECANCELED; /* what waits is not worth the work */
        (void)pthread_mutex_unlock(&g->mutex);
        join_threads(g);
        for (size_t i = 0; i < g->n_blocks; i++) {
            free(g->blocks[i].in);
            free(g->blocks[i].out);
        }
        free(g->blocks);
        (void)pthread_cond_destroy(&g->changed);
        (void)pthread_mutex_destroy(&g->mutex);
        free(g);
    }
    return NULL;
}

int gzip_new(CompressSink sink, void *userdata, Gzip **ret)
{
    Gzip *g = calloc(1, sizeof(*g));

    if (!g) {
        return -ENOMEM;
    }
    g->sink = sink;
    g->userdata = userdata;
    g->out_size = libdeflate_gzip_compress_bound(NULL, GZIP_BLOCK_SIZE);
    g->n_threads_wanted = MIN(count_processors(), (size_t)GZIP_THREADS_MAX);
    (void)pthread_mutex_init(&g->mutex, NULL);
    (void)pthread_cond_init(&g->changed, NULL);
    g->n_blocks = 2 * g->n_threads_wanted + 1;
    g->blocks = calloc(g->n_blocks, sizeof(*g->blocks));
    if (!g->blocks) {
        g->n_blocks = 0;
        (void)gzip_free(g);
        return -ENOMEM;
    }
    *ret = g;
    return 0;
}

/* ---- compressing ------------------------------------------------------------------------------
 */

static int compress_block(const Gzip *g, struct libdeflate_compressor *compressor, Block *block)
{
    if (!block->out) {
        block->out = malloc(g->out_size);
    }
    if (!block->out || !compressor) {
        return -ENOMEM;
    }
    block->out_len =
        libdeflate_gzip_compress(compressor, block->in, block->in_len, block->out, g->out_size);
    return block->out_len > 0 ? 0 : -EIO;
}

/* With the mutex held, which is given away while the sink works. */
static void hand_on(Gzip *g)
{
    while (!g->is_in_sink && g->written < g->taken &&
           block_of(g, g->written)->state == BLOCK_DONE) {
        Block *block = block_of(g, g->written);

        if (g->problem == 0) {
            int r;

            g->is_in_sink = true;
            (void)pthread_mutex_unlock(&g->mutex);
            r = g->sink(block->out, block->out_len, g->userdata);
            (void)pthread_mutex_lock(&g->mutex);
            g->is_in_sink = false;
            g->problem = g->problem ? g->problem : MIN(r, 0);
        }
        block->state = BLOCK_FREE;
        block->in_len = 0;
        g->written++;
        (void)pthread_cond_broadcast(&g->changed);
    }
}

static void *work(void *userdata)
{
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(GZIP_LEVEL);
    Gzip *g = userdata;

    (void)pthread_mutex_lock(&g->mutex);
    for (;;) {
        Block *block;
        bool is_wanted;
        int r = 0;

        while (g->taken == g->filled && !g->is_over) {
            (void)pthread_cond_wait(&g->changed, &g->mutex);
        }
        if (g->taken == g->filled) {
            break;
        }
        block = block_of(g, g->taken++);
        block->state = BLOCK_BUSY;
        is_wanted = g->problem == 0;
        (void)pthread_mutex_unlock(&g->mutex);
        if (is_wanted) {
            r = compress_block(g, compressor, block);
        }
        (void)pthread_mutex_lock(&g->mutex);
        block->state = BLOCK_DONE;
        g->problem = g->problem ? g->problem : r;
        hand_on(g);
    }
    (void)pthread_mutex_unlock(&g->mutex);
    libdeflate_free_compressor(compressor);
    return NULL;
}

/* As many as there may be; one will do. */
static int start_threads(Gzip *g)
{
    while (g->n_threads < g->n_threads_wanted) {
        int r = pthread_create(&g->threads[g->n_threads], NULL, work, g);

        if (r != 0) {
            return g->n_threads > 0 ? 0 : -r;
        }
        g->n_threads++;
    }
    return 0;
}

/* ---- the caller's side ------------------------------------------------------------------------
 */

/* The block that is being filled, once its turn has come. */
static int get_block(Gzip *g, Block **ret)
{
    Block *block = block_of(g, g->filled);
    int r;

    (void)pthread_mutex_lock(&g->mutex);
    while (block->state != BLOCK_FREE) {
        (void)pthread_cond_wait(&g->changed, &g->mutex);
    }
    r = g->problem;
    (void)pthread_mutex_unlock(&g->mutex);
    if (r == 0 && !block->in) {
        block->in = malloc(GZIP_BLOCK_SIZE);
        r = block->in ? 0 : -ENOMEM;
    }
    if (r == 0) {
        *ret = block;
    }
    return r;
}

static int give_block(Gzip *g, Block *block)
{
    int r = start_threads(g);

    (void)pthread_mutex_lock(&g->mutex);
    if (r == 0) {
        block->state = BLOCK_FULL;
        g->filled++;
    }
    r = g->problem ? g->problem : r;
    (void)pthread_cond_broadcast(&g->changed);
    (void)pthread_mutex_unlock(&g->mutex);
    return r;
}

int gzip_write(Gzip *g, const void *data, size_t n)
{
    const char *p = data;

    while (n > 0) {
        Block *block = NULL;
        size_t part;
        int r = get_block(g, &block);

        if (r < 0) {
            return r;
        }
        part = MIN(n, GZIP_BLOCK_SIZE - block->in_len);
        memcpy(block->in + block->in_len, p, part);
        block->in_len += part;
        p += part;
        n -= part;
        if (block->in_len == GZIP_BLOCK_SIZE) {
            r = give_block(g, block);
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

/* Less than one block in all: not worth a thread. */
static int finish_small(Gzip *g, Block *block)
{
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(GZIP_LEVEL);
    int r = compress_block(g, compressor, block);

    libdeflate_free_compressor(compressor);
    return r == 0 ? MIN(g->sink(block->out, block->out_len, g->userdata), 0) : r;
}

int gzip_finish(Gzip *g)
{
    Block *block = NULL;
    int r = get_block(g, &block);

    if (r == 0 && g->filled == 0) {
        return finish_small(g, block);
    }
    if (r == 0 && block->in_len > 0) {
        r = give_block(g, block);
    }
    join_threads(g);
    return r == 0 ? g->problem : r;
}
