/* SPDX-License-Identifier: MIT */
#include "agent/package/layer/compress.h"

#include "agent/package/layer/gzip.h"

#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

/* The library's own default: less time and less room than any gzip. */
#define ZSTD_LEVEL 3

/* With workers zstd cuts its input into jobs by size alone: one worker or many, the output is the
 * same. The size is the library's choice for the level unless it is given. */
#define ZSTD_JOB_BYTES (4 << 20)
#define ZSTD_WORKERS_MAX 16

struct Compress {
    CompressKind kind;
    CompressSink sink;
    void *userdata;
    Gzip *gzip;
    ZSTD_CCtx *zstd;
    char *out;
    size_t out_size;
};

static const struct {
    const char *name, *version;
} kinds[_COMPRESS_KIND_MAX] = {
    [COMPRESS_GZIP] = {"gzip", NULL},
    [COMPRESS_ZSTD] = {"zstd", "zstd " ZSTD_VERSION_STRING},
    [COMPRESS_NONE] = {"none", "none"},
};

const char *compress_kind_name(CompressKind kind)
{
    return kinds[kind].name;
}

CompressKind compress_kind_of(const char *name)
{
    for (CompressKind kind = 0; kind < _COMPRESS_KIND_MAX; kind++) {
        if (strcmp(kinds[kind].name, name) == 0) {
            return kind;
        }
    }
    return _COMPRESS_KIND_INVALID;
}

const char *compress_kind_version(CompressKind kind)
{
    return kind == COMPRESS_GZIP ? gzip_version() : kinds[kind].version;
}

Compress *compress_free(Compress *c)
{
    if (c) {
        (void)gzip_free(c->gzip);
        (void)ZSTD_freeCCtx(c->zstd);
        free(c->out);
        free(c);
    }
    return NULL;
}

/* ---- zstd -------------------------------------------------------------------------------------
 */

static int count_workers(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? MIN(CPU_COUNT(&set), ZSTD_WORKERS_MAX)
                                                        : 1;
}

static int open_zstd(Compress *c)
{
    const struct {
        ZSTD_cParameter name;
        int value;
    } parameters[] = {
        {ZSTD_c_compressionLevel, ZSTD_LEVEL},
        {ZSTD_c_checksumFlag, 1},
        {ZSTD_c_nbWorkers, count_workers()},
        {ZSTD_c_jobSize, ZSTD_JOB_BYTES},
    };

    c->zstd = ZSTD_createCCtx();
    c->out_size = ZSTD_CStreamOutSize();
    c->out = malloc(c->out_size);
    if (!c->zstd || !c->out) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        if (ZSTD_isError(
                ZSTD_CCtx_setParameter(c->zstd, parameters[i].name, parameters[i].value))) {
            return -ENOTSUP; /* a libzstd without threads would give other bytes */
        }
    }
    return 0;
}

static int run_zstd(Compress *c, const void *data, size_t n, ZSTD_EndDirective directive)
{
    ZSTD_inBuffer in = {data, n, 0};
    bool is_over;

    do {
        ZSTD_outBuffer out = {c->out, c->out_size, 0};
        size_t left = ZSTD_compressStream2(c->zstd, &out, &in, directive);
        int r = ZSTD_isError(left) ? -EIO : out.pos ? c->sink(c->out, out.pos, c->userdata) : 0;

        if (r < 0) {
            return r;
        }
        is_over = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
    } while (!is_over);
    return 0;
}

/* ---- all kinds --------------------------------------------------------------------------------
 */

int compress_new(CompressKind kind, CompressSink sink, void *userdata, Compress **ret)
{
    _cleanup_(compress_freep) Compress *c = calloc(1, sizeof(*c));
    int r = 0;

    if (!c) {
        return -ENOMEM;
    }
    c->kind = kind;
    c->sink = sink;
    c->userdata = userdata;
    if (kind == COMPRESS_GZIP) {
        r = gzip_new(sink, userdata, &c->gzip);
    } else if (kind == COMPRESS_ZSTD) {
        r = open_zstd(c);
    }
    if (r == 0) {
        *ret = TAKE_PTR(c);
    }
    return r;
}

int compress_write(Compress *c, const void *data, size_t n)
{
    switch (c->kind) {
    case COMPRESS_GZIP:
        return gzip_write(c->gzip, data, n);
    case COMPRESS_ZSTD:
        return run_zstd(c, data, n, ZSTD_e_continue);
    default:
        return n > 0 ? c->sink(data, n, c->userdata) : 0;
    }
}

int compress_finish(Compress *c)
{
    switch (c->kind) {
    case COMPRESS_GZIP:
        return gzip_finish(c->gzip);
    case COMPRESS_ZSTD:
        return run_zstd(c, NULL, 0, ZSTD_e_end);
    default:
        return 0;
    }
}
