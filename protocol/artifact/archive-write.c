/* SPDX-License-Identifier: MIT */
/* Two libarchive writers in a row: the first makes the tar, the second compresses it. Between them
 * stands the tar as it is inside, whose digest an OCI image needs, and behind them the archive as
 * it is outside, whose digest everybody needs. */
#include "protocol/artifact/archive.h"

#include "protocol/artifact/archive-name.h"
#include "protocol/artifact/read-ahead.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is read of a file at once; it stays in the cache on its way through tar, digest, compressor.
 */
#define WRITE_BLOCK_SIZE ((size_t)256 << 10)

/* What libarchive gathers of the tar before it hands it on: the headers and contents of some small
 * files; of a large one it is not copied. */
#define TAR_BLOCK_SIZE ((size_t)32 << 10)

#define PROGRESS_STEP_BYTES ((int64_t)1 << 20)

/* The digest of the tar inside costs as much as everything else together, so it is made only where
 * somebody asks for it: of OCI layers, which are gzip, and of a plain tar, which is itself. */
typedef struct FormatRow {
    int (*set_format)(struct archive *a); /* NULL: pax, as "restricted" below */
    int (*add_filter)(struct archive *a); /* NULL: none */
    const char *options;                  /* what makes the output depend on the input alone */
    int level;                            /* default */
    bool has_contents_digest;
    bool has_root; /* "./" is an entry like any other */
} FormatRow;

/* Levels: of the machine code that builds make, gzip at 2 takes a third of the time of 6 and a
 * tenth more room, zstd at 3 less of both than any gzip. zstd with a worker cuts its input into
 * jobs by size alone, so the output is the same on every machine, and compressing goes on beside
 * reading and digesting. gzip would write the time. xz cuts its
 * input into blocks as soon as it may use more than one thread, always the same ones; one number of
 * threads for all machines keeps it so. At 1 it is as fast as gzip at 6 and a seventh smaller. */
static const FormatRow format_rows[] = {
    [ARCHIVE_TAR] = {.has_contents_digest = true},
    [ARCHIVE_TAR_ZSTD] = {.add_filter = archive_write_add_filter_zstd,
                          .options = "zstd:threads=1",
                          .level = 3},
    [ARCHIVE_TAR_GZIP] = {.add_filter = archive_write_add_filter_gzip,
                          .options = "gzip:!timestamp",
                          .level = 2,
                          .has_contents_digest = true},
    [ARCHIVE_GNUTAR_XZ] = {.set_format = archive_write_set_format_gnutar,
                           .add_filter = archive_write_add_filter_xz,
                           .options = "xz:threads=4",
                           .level = 1,
                           .has_root = true},
    [ARCHIVE_GNUTAR_GZIP] = {archive_write_set_format_gnutar, archive_write_add_filter_gzip,
                             "gzip:!timestamp", 6, .has_root = true},
    [ARCHIVE_GNUTAR_ZSTD] = {archive_write_set_format_gnutar, archive_write_add_filter_zstd,
                             "zstd:threads=1", 3, .has_root = true},
    [ARCHIVE_AR] = {archive_write_set_format_ar_bsd, .has_contents_digest = true},
};

struct ArchiveWriter {
    struct archive *tar;
    struct archive *compressor; /* NULL: none */
    struct archive_entry *entry;
    Digest *contents_digest; /* NULL: not wanted */
    Digest *archive_digest;  /* NULL: the same */
    char *block;
    locale_t locale;
    int out_fd; /* unused where there is a sink */
    ArchiveSink sink;
    void *sink_userdata;
    int64_t mtime;
    bool refuses_links_out;
    bool has_root;
    ArchiveExtras extras;
    bool is_over;    /* it is being freed */
    int write_error; /* of a callback below */
    int64_t size_bytes;
    int64_t entries;
    int64_t done_bytes;
    int64_t told_bytes;
    ArchiveProgress progress;
    void *progress_userdata;
};

ArchiveWriter *archive_writer_free(ArchiveWriter *w)
{
    if (w) {
        w->is_over = true;
        (void)archive_write_free(w->tar);
        (void)archive_write_free(w->compressor);
        archive_entry_free(w->entry);
        (void)digest_free(w->contents_digest);
        (void)digest_free(w->archive_digest);
        archive_locale_free(w->locale);
        free(w->block);
        free(w);
    }
    return NULL;
}

/* What became of a call of libarchive's. */
static int check(ArchiveWriter *w, struct archive *a, bool is_done, Error *err)
{
    if (w->write_error) {
        return error_set_errno(err, w->write_error, "cannot write the archive");
    }
    if (is_done) {
        return 0;
    }
    if (archive_errno(a) == ENOMEM) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return error_set(err, -EIO, "cannot write the archive: %s", archive_error_string(a));
}

/* An error is kept here and told by check(): libarchive never frees a writer of which it knows that
 * it failed. When the writer is freed in the middle, though, libarchive would finish the archive,
 * and pad a file that is not all there, so then it is told. */
static la_ssize_t keep_error(ArchiveWriter *w, int r, size_t n)
{
    if (r < 0 && !w->write_error) {
        w->write_error = r;
    }
    return w->is_over ? -1 : (la_ssize_t)n;
}

static la_ssize_t on_archive_bytes(struct archive *a, void *userdata, const void *data, size_t n)
{
    ArchiveWriter *w = userdata;
    int r = 0;

    if (!w->is_over && !w->write_error) {
        r = w->sink ? w->sink(data, n, w->sink_userdata) : fd_write_all(w->out_fd, data, n);
        if (r == 0 && w->archive_digest) {
            r = digest_update(w->archive_digest, data, n);
        }
        w->size_bytes += (int64_t)n;
    }
    return keep_error(w, r, n);
}

static la_ssize_t on_tar_bytes(struct archive *a, void *userdata, const void *data, size_t n)
{
    ArchiveWriter *w = userdata;
    int r = 0;

    if (!w->is_over && !w->write_error) {
        if (w->contents_digest) {
            r = digest_update(w->contents_digest, data, n);
        }
        if (w->compressor && archive_write_data(w->compressor, data, n) != (la_ssize_t)n) {
            r = -EIO;
        }
        if (!w->compressor) {
            return on_archive_bytes(a, w, data, n);
        }
    }
    return keep_error(w, r, n);
}

static int open_compressor(ArchiveWriter *w, const FormatRow *row, int level, Error *err)
{
    struct archive *a = w->compressor = archive_write_new();
    char level_text[16];

    if (!a) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    (void)snprintf(level_text, sizeof(level_text), "%d", level ? level : row->level);
    if (archive_write_set_format_raw(a) != ARCHIVE_OK || row->add_filter(a) != ARCHIVE_OK ||
        archive_write_set_options(a, row->options) != ARCHIVE_OK ||
        archive_write_set_filter_option(a, NULL, "compression-level", level_text) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(a, 0) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
        archive_write_open(a, w, NULL, on_archive_bytes, NULL) != ARCHIVE_OK) {
        return check(w, a, false, err);
    }
    archive_entry_set_filetype(w->entry, AE_IFREG);
    archive_entry_set_pathname(w->entry, "tar");
    return check(w, a, archive_write_header(a, w->entry) == ARCHIVE_OK, err);
}

static int open_tar(ArchiveWriter *w, const FormatRow *row, Error *err)
{
    /* "Restricted": pax headers only where ustar cannot say it, and none with inode numbers. */
    int (*set_format)(struct archive *) =
        row->set_format ? row->set_format : archive_write_set_format_pax_restricted;
    struct archive *a = w->tar = archive_write_new();

    if (!a) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (set_format(a) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(a, (int)TAR_BLOCK_SIZE) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
        archive_write_open(a, w, NULL, on_tar_bytes, NULL) != ARCHIVE_OK) {
        return check(w, a, false, err);
    }
    return 0;
}

int archive_writer_new(ArchiveFormat format, int level, int out_fd, int64_t mtime,
                       ArchiveWriter **ret, Error *err)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *w = calloc(1, sizeof(*w));
    const FormatRow *row = &format_rows[format];
    int r;

    if (!w) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    w->out_fd = out_fd;
    w->mtime = mtime;
    w->has_root = row->has_root;
    w->locale = archive_locale_new(ARCHIVE_LOCALE_WRITE);
    w->block = malloc(WRITE_BLOCK_SIZE);
    w->entry = archive_entry_new();
    if (!w->block || !w->entry) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = row->has_contents_digest ? digest_new(&w->contents_digest, err) : 0;
    if (r == 0 && row->add_filter) {
        r = digest_new(&w->archive_digest, err);
        if (r == 0) {
            r = open_compressor(w, row, level, err);
        }
    }
    if (r == 0) {
        r = open_tar(w, row, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(w);
    return 0;
}

int archive_writer_new_to(ArchiveSink sink, void *userdata, int64_t mtime, ArchiveWriter **ret,
                          Error *err)
{
    int r = archive_writer_new(ARCHIVE_TAR, 0, -1, mtime, ret, err);

    if (r == 0) {
        (*ret)->sink = sink;
        (*ret)->sink_userdata = userdata;
    }
    return r;
}

void archive_writer_set_progress(ArchiveWriter *w, ArchiveProgress progress, void *userdata)
{
    w->progress = progress;
    w->progress_userdata = userdata;
}

void archive_writer_set_extras(ArchiveWriter *w, const ArchiveExtras *extras)
{
    w->extras = *extras;
    w->extras.special_bits &= S_ISUID | S_ISGID | S_ISVTX;
}

static void tell_progress(ArchiveWriter *w, int64_t step_bytes)
{
    if (w->progress && w->done_bytes - w->told_bytes >= step_bytes) {
        w->told_bytes = w->done_bytes;
        w->progress(w->done_bytes, w->progress_userdata);
    }
}

/* One header; what follows of a regular file is written by the caller. */
static int put_header(ArchiveWriter *w, const char *to, const struct stat *st, const char *target,
                      Error *err)
{
    _cleanup_archive_locale_ _unused_ locale_t before = archive_locale_enter(w->locale);
    _cleanup_(archive_name_done) ArchiveName name = {0};
    int r = archive_name_parse(to, &name, err);

    if (r == 0 && name.count == 0 && !w->has_root) {
        r = error_set(err, -EBADMSG, "names the root");
    }
    if (r == 0 && target && w->refuses_links_out) {
        r = archive_name_check_link(&name, target, err);
    }
    if (r < 0) { /* a mistake of whoever gave the name, where a reader says that of the archive */
        if (r == -EBADMSG && err) {
            err->code = -EINVAL;
        }
        return r == -EBADMSG ? -EINVAL : r;
    }
    archive_entry_clear(w->entry);
    archive_entry_set_pathname(w->entry, to);
    archive_entry_set_mode(w->entry, st->st_mode & (S_IFMT | 0777 | w->extras.special_bits));
    archive_entry_set_mtime(w->entry, w->mtime >= 0 ? w->mtime : st->st_mtim.tv_sec, 0);
    archive_entry_set_size(w->entry, S_ISREG(st->st_mode) ? st->st_size : 0);
    archive_entry_set_uname(w->entry, w->extras.user);
    archive_entry_set_gname(w->entry, w->extras.group);
    if (target) {
        archive_entry_set_symlink(w->entry, target);
    }
    w->entries++;
    return check(w, w->tar, archive_write_header(w->tar, w->entry) == ARCHIVE_OK, err);
}

static int put_data(ArchiveWriter *w, const void *data, size_t n, Error *err)
{
    int r = check(w, w->tar, archive_write_data(w->tar, data, n) == (la_ssize_t)n, err);

    if (r == 0 && w->extras.content_digest) {
        r = digest_update(w->extras.content_digest, data, n);
        r = r < 0 ? error_set_errno(err, r, "cannot digest it") : 0;
    }
    if (r < 0) {
        return r;
    }
    w->done_bytes += (int64_t)n;
    tell_progress(w, PROGRESS_STEP_BYTES);
    return 0;
}

static ssize_t read_some(int fd, void *data, size_t n)
{
    ssize_t got;

    do {
        got = read(fd, data, n);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

/* Always one byte more is asked for than there should be, which tells whether it grew: of a small
 * file a single read tells all. */
static int put_file_content(ArchiveWriter *w, int fd, int64_t size, Error *err)
{
    int64_t left = size;
    ssize_t got, wanted;
    int r;

    do {
        wanted = (ssize_t)MIN((int64_t)WRITE_BLOCK_SIZE, left + 1);
        got = read_some(fd, w->block, (size_t)wanted);
        if (got < 0) {
            return error_set_errno(err, (int)got, "cannot read it");
        }
        if (got > left || (got == 0 && left > 0)) {
            return error_set(err, -EAGAIN, "changed its size while it was packed");
        }
        r = got > 0 ? put_data(w, w->block, (size_t)got, err) : 0;
        if (r < 0) {
            return r;
        }
        left -= got;
    } while (left > 0 || got == wanted);
    return 0;
}

static int put_read_content(ArchiveWriter *w, const ReadAheadFile *file, Error *err)
{
    if (file->read_problem < 0) {
        return error_set_errno(err, file->read_problem, "cannot read it");
    }
    if ((off_t)file->n != file->st.st_size) {
        return error_set(err, -EAGAIN, "changed its size while it was packed");
    }
    return file->n > 0 ? put_data(w, file->data, file->n, err) : 0;
}

static int add_file(ArchiveWriter *w, ReadAheadFile *file, const char *to, mode_t mode, Error *err)
{
    int r;

    file->st.st_mode = S_IFREG | (mode != (mode_t)-1 ? mode : file->st.st_mode & 0777);
    r = put_header(w, to, &file->st, NULL, err);
    if (r < 0) {
        return r;
    }
    return file->is_read ? put_read_content(w, file, err)
                         : put_file_content(w, file->fd, file->st.st_size, err);
}

static int add_link(ArchiveWriter *w, int root_fd, const char *from, const char *to,
                    const struct stat *st, Error *err)
{
    char target[ARCHIVE_NAME_MAX + 2];
    ssize_t n = readlinkat(root_fd, from, target, sizeof(target));

    if (n < 0) {
        return error_set_errno(err, -errno, "cannot read it");
    }
    if (n == (ssize_t)sizeof(target)) {
        return error_set(err, -EINVAL, "is a link with a target of more than %d bytes",
                         ARCHIVE_NAME_MAX);
    }
    target[n] = '\0';
    return put_header(w, to, st, target, err);
}

/* What was opened is closed. */
static int add_opened_take(ArchiveWriter *w, int root_fd, const char *from, const char *to,
                           mode_t mode, ReadAheadFile *file, Error *err)
{
    _cleanup_fd_ _unused_ int fd = file->fd; /* for its end alone */

    if (file->stat_problem < 0) {
        return error_set_errno(err, file->stat_problem, "cannot read it");
    }
    if (S_ISREG(file->st.st_mode)) {
        return file->open_problem < 0 ? error_set_errno(err, file->open_problem, "cannot read it")
                                      : add_file(w, file, to, mode, err);
    }
    if (S_ISLNK(file->st.st_mode)) {
        return add_link(w, root_fd, from, to, &file->st, err);
    }
    if (S_ISDIR(file->st.st_mode)) {
        file->st.st_mode = S_IFDIR | (mode != (mode_t)-1 ? mode : file->st.st_mode & 0777);
        return put_header(w, to, &file->st, NULL, err);
    }
    return error_set(err, -EINVAL, "is neither a file nor a link nor a directory");
}

int archive_writer_add(ArchiveWriter *w, int root_fd, const char *from, const char *to, mode_t mode,
                       Error *err)
{
    ReadAheadFile file;
    int r;

    read_ahead_open(root_fd, from, NULL, &file);
    r = add_opened_take(w, root_fd, from, to, mode, &file, err);
    return r < 0 ? error_wrap(err, "'%s'", from) : 0;
}

/* In turn where there is no thread to be had: it is as good, and slower. */
static int add_names(ArchiveWriter *w, int root_fd, char *const *names, size_t n_names, Error *err)
{
    _cleanup_(read_ahead_freep) ReadAhead *ahead = NULL;
    int r = 0;

    if (n_names >= READ_AHEAD_MIN && read_ahead_new(root_fd, names, n_names, &ahead) < 0) {
        log_debug("nothing is read ahead");
    }
    for (size_t i = 0; r == 0 && i < n_names; i++) {
        ReadAheadFile file;

        if (ahead) {
            read_ahead_next(ahead, &file);
        } else {
            read_ahead_open(root_fd, names[i], NULL, &file);
        }
        r = add_opened_take(w, root_fd, names[i], names[i], (mode_t)-1, &file, err);
        if (r < 0) {
            return error_wrap(err, "'%s'", names[i]);
        }
    }
    return 0;
}

int archive_writer_add_bytes(ArchiveWriter *w, const char *to, const void *data, size_t n,
                             mode_t mode, Error *err)
{
    struct stat st = {.st_mode = S_IFREG | (mode & 07777), .st_size = (off_t)n};
    int r = put_header(w, to, &st, NULL, err);

    if (r == 0 && n > 0) {
        r = put_data(w, data, n, err);
    }
    return r < 0 ? error_wrap(err, "'%s'", to) : 0;
}

int archive_writer_add_directory(ArchiveWriter *w, const char *to, mode_t mode, Error *err)
{
    struct stat st = {.st_mode = S_IFDIR | (mode & 07777)};
    int r = put_header(w, to, &st, NULL, err);

    return r < 0 ? error_wrap(err, "'%s'", to) : 0;
}

int archive_writer_finish(ArchiveWriter *w, ArchiveSummary *ret, Error *err)
{
    ArchiveSummary summary = {0};
    int r;

    r = check(w, w->tar, archive_write_close(w->tar) == ARCHIVE_OK, err);
    if (r == 0 && w->compressor) {
        r = check(w, w->compressor, archive_write_close(w->compressor) == ARCHIVE_OK, err);
    }
    if (r < 0) {
        return r;
    }
    summary.size_bytes = w->size_bytes;
    summary.entries = w->entries;
    r = w->contents_digest ? digest_finish(w->contents_digest, summary.contents_sha256) : 0;
    if (r == 0 && w->archive_digest) {
        r = digest_finish(w->archive_digest, summary.sha256);
    } else if (r == 0) {
        memcpy(summary.sha256, summary.contents_sha256, sizeof(summary.sha256));
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot finish the archive's digest");
    }
    tell_progress(w, 1);
    *ret = summary;
    return 0;
}

/* ---- bytes alone ------------------------------------------------------------------------------
 */

typedef struct Gathering {
    Buffer *out;
    int problem;
} Gathering;

static la_ssize_t on_gzip_bytes(struct archive *a, void *userdata, const void *data, size_t n)
{
    Gathering *g = userdata;

    g->problem = g->problem < 0 ? g->problem : buffer_append(g->out, data, n);
    return (la_ssize_t)n;
}

static bool write_gzip(struct archive *a, struct archive_entry *entry, const void *data, size_t n,
                       const char *level, Gathering *g)
{
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_pathname(entry, "bytes");
    return archive_write_set_format_raw(a) == ARCHIVE_OK &&
           archive_write_add_filter_gzip(a) == ARCHIVE_OK &&
           archive_write_set_options(a, "gzip:!timestamp") == ARCHIVE_OK &&
           archive_write_set_filter_option(a, NULL, "compression-level", level) == ARCHIVE_OK &&
           archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK &&
           archive_write_open(a, g, NULL, on_gzip_bytes, NULL) == ARCHIVE_OK &&
           archive_write_header(a, entry) == ARCHIVE_OK &&
           archive_write_data(a, data, n) == (la_ssize_t)n && archive_write_close(a) == ARCHIVE_OK;
}

int archive_gzip_bytes(const void *data, size_t n, int level, Buffer *out, Error *err)
{
    struct archive *a = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    Gathering g = {.out = out};
    size_t before = out->len;
    char level_text[16];
    int r = 0;

    (void)snprintf(level_text, sizeof(level_text), "%d", level);
    if (!a || !entry) {
        r = error_set(err, -ENOMEM, "out of memory");
    } else if (!write_gzip(a, entry, data, n, level_text, &g)) {
        r = error_set(err, -EIO, "cannot compress: %s", archive_error_string(a));
    } else if (g.problem < 0) {
        r = error_set_errno(err, g.problem, "cannot compress");
    }
    archive_entry_free(entry);
    (void)archive_write_free(a);
    if (r < 0) {
        buffer_truncate(out, before);
    }
    return r;
}

int archive_pack(int root_fd, char *const *names, size_t n_names, int64_t mtime, int out_fd,
                 ArchiveProgress progress, void *userdata, ArchiveSummary *ret, Error *err)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *w = NULL;
    int r = archive_writer_new(ARCHIVE_TAR_ZSTD, 0, out_fd, mtime, &w, err);

    if (r < 0) {
        return r;
    }
    /* Whoever unpacks it refuses such a link: better said here, where it can be mended. */
    w->refuses_links_out = true;
    archive_writer_set_progress(w, progress, userdata);
    r = add_names(w, root_fd, names, n_names, err);
    return r < 0 ? r : archive_writer_finish(w, ret, err);
}
