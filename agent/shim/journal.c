/* SPDX-License-Identifier: MIT */
#include "agent/shim/journal.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_NAME "output.log"
#define JOURNAL_NAME "journal.ndjson"
#define STATUS_NAME "status.json"

/* Held on disk from the start and given back at the end, so that a full disk still takes the last
 * record. It has the name of the file that status.json is written to first. */
#define RESERVE_NAME STATUS_NAME ".tmp"
#define RESERVE_SIZE ((off_t)32 << 10)

#define FILE_MODE 0640

static int open_append(int dir_fd, const char *name, Error *err)
{
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);

    return fd < 0 ? error_set_errno(err, -errno, "cannot open '%s'", name) : fd;
}

static int drop_torn_record(int fd, Error *err)
{
    char block[4096];
    off_t at = 0;
    ssize_t got;

    while ((got = fd_pread_full(fd, block, sizeof(block), at)) > 0) {
        if (memchr(block, '\n', (size_t)got)) {
            return error_set(err, -EEXIST, "'%s' has records: the call has run already",
                             JOURNAL_NAME);
        }
        at += got;
    }
    if (got < 0 || (at > 0 && ftruncate(fd, 0) < 0)) {
        return error_set_errno(err, got < 0 ? (int)got : -errno, "cannot read '%s'", JOURNAL_NAME);
    }
    return 0;
}

/* Best effort: a file system that cannot reserve fails no call. */
static void make_reserve(int dir_fd)
{
    _cleanup_fd_ int fd =
        openat(dir_fd, RESERVE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);

    if (fd >= 0) {
        (void)fallocate(fd, 0, 0, RESERVE_SIZE);
    }
}

int journal_open(Journal *journal, int dir_fd, Error *err)
{
    int r;

    journal->fd = open_append(dir_fd, JOURNAL_NAME, err);
    if (journal->fd < 0) {
        return journal->fd;
    }
    r = drop_torn_record(journal->fd, err);
    if (r < 0) {
        return r;
    }
    journal->log_fd = open_append(dir_fd, LOG_NAME, err);
    if (journal->log_fd < 0) {
        return journal->log_fd;
    }
    if (ftruncate(journal->log_fd, 0) < 0) {
        return error_set_errno(err, -errno, "cannot empty '%s'", LOG_NAME);
    }
    journal->dir_fd = dir_fd;
    make_reserve(dir_fd);
    return 0;
}

/* Keeps the first failure. Returns `r`. */
static int note(Journal *journal, const char *name, int r)
{
    if (r < 0 && journal->error == 0) {
        journal->error = r;
        journal->failed_write = name;
    }
    return r;
}

/* Writes all of it or leaves the file as it was. */
static int append(Journal *journal, int fd, const char *name, int64_t *size, const char *data,
                  size_t n)
{
    int r = fd_write_all(fd, data, n);

    if (r < 0) {
        (void)!ftruncate(fd, *size);
        return note(journal, name, r);
    }
    *size += (int64_t)n;
    return 0;
}

static int append_records(Journal *journal, const Buffer *records, uint64_t n_records)
{
    int r =
        append(journal, journal->fd, JOURNAL_NAME, &journal->bytes, records->data, records->len);

    if (r == 0) {
        journal->seq += n_records;
    }
    return r;
}

static int format_head(Buffer *b, uint64_t seq, const char *type)
{
    return buffer_append_format(b, "{\"seq\":%" PRIu64 ",\"time\":%" PRId64 ",\"type\":\"%s\"", seq,
                                clock_wall_us(), type);
}

int journal_started(Journal *journal, pid_t pid)
{
    _cleanup_buffer_ Buffer b = {0};
    int r = format_head(&b, journal->seq + 1, "started");

    r = r == 0 ? buffer_append_format(&b, ",\"pid\":%d}\n", (int)pid) : r;
    r = r == 0 ? append_records(journal, &b, 1) : r;
    if (r == 0 && fdatasync(journal->fd) < 0) {
        r = -errno;
    }
    r = r == 0 ? file_sync_dir(journal->dir_fd) : r;
    return note(journal, JOURNAL_NAME, r);
}

void journal_log(Journal *journal, const char *stream, const char *data, size_t n)
{
    _cleanup_buffer_ Buffer b = {0};
    int64_t start = journal->log_bytes, offset = start;
    uint64_t n_records = 0;
    int r = journal->error;

    r = r == 0 ? append(journal, journal->log_fd, LOG_NAME, &journal->log_bytes, data, n) : r;
    while (r == 0 && n > 0) {
        size_t len = MIN(n, JOURNAL_LOG_MAX);

        len -= len < n ? text_utf8_incomplete_tail(data, len) : 0;
        r = format_head(&b, journal->seq + ++n_records, "log");
        r = r == 0 ? buffer_append_format(
                         &b, ",\"stream\":\"%s\",\"offset\":%" PRId64 ",\"length\":%zu}\n", stream,
                         offset, len)
                   : r;
        offset += (int64_t)len;
        data += len;
        n -= len;
    }
    r = r == 0 ? append_records(journal, &b, n_records) : r;
    if (r < 0 && journal->log_bytes != start) {
        (void)!ftruncate(journal->log_fd, start);
        journal->log_bytes = start;
    }
    (void)note(journal, JOURNAL_NAME, r);
}

void journal_report(Journal *journal, const char *line, size_t n)
{
    _cleanup_buffer_ Buffer b = {0};
    int r = journal->error;

    r = r == 0 ? format_head(&b, journal->seq + 1, "report") : r;
    r = r == 0 ? buffer_append_text(&b, ",\"line\":") : r;
    r = r == 0 ? text_append_json(&b, line, n) : r;
    r = r == 0 ? buffer_append_text(&b, "}\n") : r;
    r = r == 0 ? append_records(journal, &b, 1) : r;
    (void)note(journal, JOURNAL_NAME, r);
}

static int format_end(Buffer *b, const Journal *journal, const JournalEnd *end)
{
    int r = format_head(b, journal->seq + 1, "finished");

    r = r == 0 ? buffer_append_format(
                     b, ",\"status\":\"%s\",\"exitCode\":%d,\"signal\":%d,\"reason\":", end->status,
                     end->exit_code, end->signal)
               : r;
    r = r == 0 ? text_append_json(b, end->reason, strlen(end->reason)) : r;
    return r == 0 ? buffer_append_format(b,
                                         ",\"survivors\":%d,\"leftovers\":%d,\"userUs\":%" PRId64
                                         ",\"systemUs\":%" PRId64 ",\"maxRssBytes\":%" PRId64
                                         ",\"logBytes\":%" PRId64 "}\n",
                                         end->survivors, end->leftovers, end->user_us,
                                         end->system_us, end->max_rss_bytes, journal->log_bytes)
                  : r;
}

int journal_finished(Journal *journal, const JournalEnd *end, Error *err)
{
    _cleanup_buffer_ Buffer b = {0};
    int r = format_end(&b, journal, end);

    (void)unlinkat(journal->dir_fd, RESERVE_NAME, 0);
    r = r == 0 ? append_records(journal, &b, 1) : r;
    if (r == 0 && ((journal->log_bytes > 0 && fdatasync(journal->log_fd) < 0) ||
                   fdatasync(journal->fd) < 0)) {
        r = -errno;
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot write the last record of '%s'", JOURNAL_NAME);
    }
    return file_replace(journal->dir_fd, STATUS_NAME, b.data, b.len, FILE_MODE, err);
}

void journal_done(Journal *journal)
{
    journal->log_fd = fd_close(journal->log_fd);
    journal->fd = fd_close(journal->fd);
}
