/* SPDX-License-Identifier: MIT */
/* Trees to archives and back, by libarchive; archive-write.c and archive-read.c are its only users.
 *
 * Writing is reproducible: the caller gives the order, owners are 0:0, times are what the caller
 * says. Reading trusts nothing: what an archive may contain is listed at archive_unpack. */
#pragma once

#include "protocol/artifact/digest.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum ArchiveFormat {
    ARCHIVE_TAR,      /* pax, uncompressed */
    ARCHIVE_TAR_ZSTD, /* pax + zstd: artifacts */
    ARCHIVE_TAR_GZIP, /* pax + gzip without name and time: OCI layers */
    /* Debian packages (deb(5)). dpkg reads GNU tar and no pax; its root is an entry "./". */
    ARCHIVE_GNUTAR_XZ,
    ARCHIVE_GNUTAR_GZIP,
    ARCHIVE_GNUTAR_ZSTD,
    ARCHIVE_AR, /* BSD's ar: regular files with short names */
} ArchiveFormat;

/* Of the finished archive. */
typedef struct ArchiveSummary {
    int64_t size_bytes;
    int64_t entries;
    char sha256[DIGEST_HEX_SIZE];          /* of the archive as it stands */
    char contents_sha256[DIGEST_HEX_SIZE]; /* of the uncompressed tar (an OCI diff_id); "" where a
                                            * format has no use for it */
} ArchiveSummary;

typedef struct ArchiveWriter ArchiveWriter;

/* Called now and then with the bytes of content that went through. */
typedef void (*ArchiveProgress)(int64_t done_bytes, void *userdata);

/* Writes to `out_fd` (borrowed, at its current offset). `mtime` >= 0 (seconds) is every entry's
 * time; -1 keeps each file's own. `level` 0 is the default of the format. */
int archive_writer_new(ArchiveFormat format, int level, int out_fd, int64_t mtime,
                       ArchiveWriter **ret, Error *err) _must_check_;

/* The same for a plain tar that somebody takes piece by piece: -errno of theirs ends the writing.
 */
typedef int (*ArchiveSink)(const void *data, size_t n, void *userdata);
int archive_writer_new_to(ArchiveSink sink, void *userdata, int64_t mtime, ArchiveWriter **ret,
                          Error *err) _must_check_;

ArchiveWriter *archive_writer_free(ArchiveWriter *w);
DEFINE_CLEANUP(ArchiveWriter, archive_writer_free)
void archive_writer_set_progress(ArchiveWriter *w, ArchiveProgress progress, void *userdata);

/* What else the next entries are to have, until it is set again. */
typedef struct ArchiveExtras {
    const char *user, *group; /* names, beside the ids, which stay 0:0; NULL: none. Borrowed */
    mode_t special_bits;      /* which of setuid, setgid and sticky of a given mode are kept */
    Digest *content_digest;   /* gets the content of files too; NULL: none. Borrowed */
} ArchiveExtras;
void archive_writer_set_extras(ArchiveWriter *w, const ArchiveExtras *extras);

/* One file, link or directory `from` below `root_fd`, named `to` in the archive. `mode` (mode_t)-1
 * keeps the file's own permission bits (setuid, setgid and sticky are dropped). A socket, device or
 * fifo is -EINVAL. A file that changes its size meanwhile is -EAGAIN, said so. */
int archive_writer_add(ArchiveWriter *w, int root_fd, const char *from, const char *to, mode_t mode,
                       Error *err) _must_check_;
int archive_writer_add_bytes(ArchiveWriter *w, const char *to, const void *data, size_t n,
                             mode_t mode, Error *err) _must_check_;
int archive_writer_add_directory(ArchiveWriter *w, const char *to, mode_t mode,
                                 Error *err) _must_check_;
int archive_writer_finish(ArchiveWriter *w, ArchiveSummary *ret, Error *err) _must_check_;

/* Compresses bytes as gzip without name and time, at `level` (1 to 9), and appends them. */
int archive_gzip_bytes(const void *data, size_t n, int level, Buffer *out, Error *err) _must_check_;

/* All that `names` (as from file_list_match) name below `root_fd`, as an artifact: tar.zst, own
 * modes, `mtime` as above. */
int archive_pack(int root_fd, char *const *names, size_t n_names, int64_t mtime, int out_fd,
                 ArchiveProgress progress, void *userdata, ArchiveSummary *ret,
                 Error *err) _must_check_;

typedef struct ArchiveLimits {
    int64_t max_bytes;   /* of content; 0: ARCHIVE_BYTES_MAX */
    int64_t max_entries; /* 0: ARCHIVE_ENTRIES_MAX */
} ArchiveLimits;

#define ARCHIVE_BYTES_MAX ((int64_t)64 << 30)
#define ARCHIVE_ENTRIES_MAX ((int64_t)2000000)

/* Unpacks a tar (plain, gzip, zstd) from `in_fd` into the fresh directory `name` of `parent_fd`:
 * into `name.tmp` first, renamed when all of it is there. -EEXIST if `name` is there. Refused with
 * -EBADMSG and the entry's name: absolute names, `..`, names that are not UTF-8, links (hard or
 * symbolic) that lead out, anything written through a symbolic link, devices, fifos, sockets, more
 * than the limits, a cut archive. Nothing is ever written outside `name.tmp`, which is removed on
 * failure. Owners, setuid, setgid, ACLs and extended attributes are not restored. */
int archive_unpack(int in_fd, int parent_fd, const char *name, const ArchiveLimits *limits,
                   ArchiveProgress progress, void *userdata, Error *err) _must_check_;

/* An archive that comes piece by piece, perhaps from another thread. */
typedef struct ArchiveSource {
    /* Up to `n` of the next bytes, waiting for them; 0 at the end, or a negative errno. */
    ssize_t (*read)(void *data, size_t n, void *userdata);
    /* All is unpacked: whether it may be put in place. What it says fails the unpacking. */
    int (*may_keep)(void *userdata, Error *err);
    void *userdata;
} ArchiveSource;

/* The same. What is unpacked is `name.tmp`, which nobody but its owner can enter, until the source
 * has said that it may be kept: its bytes need not have been verified before. */
int archive_unpack_from(const ArchiveSource *source, int parent_fd, const char *name,
                        const ArchiveLimits *limits, ArchiveProgress progress, void *userdata,
                        Error *err) _must_check_;
