/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/decompress.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

#define READ_STEP ((size_t)64 << 10)

static void archive_donep(struct archive **a)
{
    (void)archive_read_free(*a);
}

static int explain(struct archive *a, Error *err)
{
    if (archive_errno(a) == ENOMEM) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return error_set(err, -EBADMSG, "cannot be decompressed: %s", archive_error_string(a));
}

static int open_archive(struct archive *a, const void *data, size_t n, Error *err)
{
    struct archive_entry *entry;

    if (archive_read_support_filter_gzip(a) < ARCHIVE_WARN ||
        archive_read_support_filter_xz(a) < ARCHIVE_WARN ||
        archive_read_support_filter_zstd(a) < ARCHIVE_WARN ||
        archive_read_support_filter_bzip2(a) < ARCHIVE_WARN ||
        archive_read_support_filter_lz4(a) < ARCHIVE_WARN ||
        archive_read_support_format_raw(a) != ARCHIVE_OK ||
        archive_read_open_memory(a, data, n) != ARCHIVE_OK ||
        archive_read_next_header(a, &entry) != ARCHIVE_OK) {
        return explain(a, err);
    }
    return 0;
}

static int read_all(struct archive *a, Buffer *out, Error *err)
{
    _cleanup_free_ char *block = malloc(READ_STEP);
    la_ssize_t n;

    if (!block) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    while ((n = archive_read_data(a, block, READ_STEP)) > 0) {
        int r = buffer_append(out, block, (size_t)n);

        if (r < 0) {
            return error_set(err, r, "decompressed, it is larger than the %zu bytes allowed",
                             out->limit ? out->limit : BUFFER_LIMIT_DEFAULT);
        }
    }
    return n < 0 ? explain(a, err) : 0;
}

int decompress_bytes(const void *data, size_t n, Buffer *out, Error *err)
{
    _cleanup_(archive_donep) struct archive *a = NULL;
    size_t before = out->len;
    int r;

    if (n == 0) {
        return 0; /* which libarchive takes for the end of an archive */
    }
    a = archive_read_new();
    if (!a) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = open_archive(a, data, n, err);
    r = r == 0 ? read_all(a, out, err) : r;
    if (r < 0) {
        buffer_truncate(out, before);
    }
    return r;
}
