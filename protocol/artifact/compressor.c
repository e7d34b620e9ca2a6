/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/compressor.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct Compressor {
    struct archive *archive; /* NULL: the bytes pass through */
    CompressorSink sink;
    void *userdata;
    bool is_over; /* it is being freed */
    int sink_error;
};

/* Levels: what a package is compressed with once and unpacked everywhere. zstd with a worker cuts
 * its input into jobs by size alone; xz has one thread; gzip would write the time. */
static const struct {
    const char *name;
    int (*add_filter)(struct archive *a);
    const char *options;
    int level;
} rows[_COMPRESSION_MAX] = {
    [COMPRESSION_NONE] = {.name = "none"},
    [COMPRESSION_GZIP] = {"gzip", archive_write_add_filter_gzip, "gzip:!timestamp", 6},
    [COMPRESSION_XZ] = {"xz", archive_write_add_filter_xz, "xz:threads=1", 6},
    [COMPRESSION_ZSTD] = {"zstd", archive_write_add_filter_zstd, "zstd:threads=1", 9},
};

const char *compression_name(Compression kind)
{
    return rows[kind].name;
}

Compression compression_from_name(const char *name)
{
    for (int i = 0; i < _COMPRESSION_MAX; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return (Compression)i;
        }
    }
    return _COMPRESSION_INVALID;
}

int compression_level(Compression kind)
{
    return rows[kind].level;
}

Compressor *compressor_free(Compressor *c)
{
    if (c) {
        c->is_over = true;
        (void)archive_write_free(c->archive);
        free(c);
    }
    return NULL;
}

static int check(Compressor *c, bool is_done, Error *err)
{
    if (c->sink_error) {
        return error_set_errno(err, c->sink_error, "cannot write what is compressed");
    }
    if (is_done) {
        return 0;
    }
    if (archive_errno(c->archive) == ENOMEM) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return error_set(err, -EIO, "cannot compress: %s", archive_error_string(c->archive));
}

/* As in archive-write.c: libarchive never frees a writer that it knows has failed, so an error is
 * kept here; and when one is freed in the middle, it must not finish. */
static la_ssize_t on_bytes(struct archive *a, void *userdata, const void *data, size_t n)
{
    Compressor *c = userdata;

    if (!c->is_over && !c->sink_error) {
        c->sink_error = c->sink(c->userdata, data, n);
    }
    return c->is_over ? -1 : (la_ssize_t)n;
}

static int open_archive(Compressor *c, Compression kind, struct archive_entry *entry, Error *err)
{
    struct archive *a = c->archive;
    char level[16];

    (void)snprintf(level, sizeof(level), "%d", rows[kind].level);
    if (archive_write_set_format_raw(a) != ARCHIVE_OK || rows[kind].add_filter(a) != ARCHIVE_OK ||
        archive_write_set_options(a, rows[kind].options) != ARCHIVE_OK ||
        archive_write_set_filter_option(a, NULL, "compression-level", level) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(a, 0) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
        archive_write_open(a, c, NULL, on_bytes, NULL) != ARCHIVE_OK) {
        return check(c, false, err);
    }
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_pathname(entry, "data");
    return check(c, archive_write_header(a, entry) == ARCHIVE_OK, err);
}

int compressor_new(Compression kind, CompressorSink sink, void *userdata, Compressor **ret,
                   Error *err)
{
    _cleanup_(compressor_freep) Compressor *c = calloc(1, sizeof(*c));
    struct archive_entry *entry;
    int r;

    if (!c) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    c->sink = sink;
    c->userdata = userdata;
    if (rows[kind].add_filter) {
        c->archive = archive_write_new();
        entry = archive_entry_new();
        r = c->archive && entry ? open_archive(c, kind, entry, err)
                                : error_set(err, -ENOMEM, "out of memory");
        archive_entry_free(entry);
        if (r < 0) {
            return r;
        }
    }
    *ret = TAKE_PTR(c);
    return 0;
}

int compressor_write(Compressor *c, const void *data, size_t n, Error *err)
{
    if (c->archive) {
        return check(c, archive_write_data(c->archive, data, n) == (la_ssize_t)n, err);
    }
    c->sink_error = c->sink_error ? c->sink_error : c->sink(c->userdata, data, n);
    return check(c, true, err);
}

int compressor_finish(Compressor *c, Error *err)
{
    return check(c, !c->archive || archive_write_close(c->archive) == ARCHIVE_OK, err);
}
