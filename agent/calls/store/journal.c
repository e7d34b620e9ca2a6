/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/journal.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_NAME "journal.ndjson"

/* What is read at once: some two hundred log records. */
#define READ_SIZE ((size_t)16 << 10)

/* Closer than this, reading on costs less than another step of the search. */
#define SEEK_NEAR ((off_t)4 << 10)

/* ---- one record -------------------------------------------------------------------------------
 */

static bool take_text(const char **p, const char *end, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(end - *p) < n || memcmp(*p, text, n) != 0) {
        return false;
    }
    *p += n;
    return true;
}

/* Eighteen digits are less than 2^63 and more than any of these numbers. */
static bool take_number(const char **p, const char *end, int64_t *ret)
{
    const char *start = *p;
    int64_t value = 0;

    while (*p < end && **p >= '0' && **p <= '9' && *p - start < 18) {
        value = value * 10 + (*(*p)++ - '0');
    }
    *ret = value;
    return *p > start;
}

static bool parse_log(const char *p, const char *end, JournalRecord *ret)
{
    int64_t seq, time_us, offset, length;
    const char *stream;

    if (!take_text(&p, end, "{\"seq\":") || !take_number(&p, end, &seq) ||
        !take_text(&p, end, ",\"time\":") || !take_number(&p, end, &time_us) ||
        !take_text(&p, end, ",\"type\":\"log\",\"stream\":\"std")) {
        return false;
    }
    if (take_text(&p, end, "out")) {
        stream = "stdout";
    } else if (take_text(&p, end, "err")) {
        stream = "stderr";
    } else {
        return false;
    }
    if (!take_text(&p, end, "\",\"offset\":") || !take_number(&p, end, &offset) ||
        !take_text(&p, end, ",\"length\":") || !take_number(&p, end, &length) ||
        !take_text(&p, end, "}") || p != end) {
        return false;
    }
    *ret = (JournalRecord){
        .type = JOURNAL_LOG,
        .seq = (uint64_t)seq,
        .time_us = time_us,
        .stream = stream,
        .offset = offset,
        .length = length,
    };
    return true;
}

static int parse_type(const char *name, JournalType *ret)
{
    static const char *const names[_JOURNAL_TYPE_MAX] = {
        [JOURNAL_STARTED] = "started",
        [JOURNAL_LOG] = "log",
        [JOURNAL_REPORT] = "report",
        [JOURNAL_FINISHED] = "finished",
    };

    for (int type = 0; name && type < _JOURNAL_TYPE_MAX; type++) {
        if (strcmp(name, names[type]) == 0) {
            *ret = (JournalType)type;
            return 0;
        }
    }
    return -EBADMSG;
}

static int parse_any(const Json *json, JournalRecord *ret)
{
    const char *stream = json_get_string(json, "stream");
    JournalRecord record = {
        .seq = (uint64_t)json_get_int(json, "seq", 0),
        .time_us = json_get_int(json, "time", 0),
        .json = json,
    };
    int r = parse_type(json_get_string(json, "type"), &record.type);

    if (r < 0 || json_get_int(json, "seq", 0) <= 0) {
        return -EBADMSG;
    }
    if (record.type == JOURNAL_LOG) {
        record.offset = json_get_int(json, "offset", -1);
        record.length = json_get_int(json, "length", -1);
        record.stream = stream && strcmp(stream, "stderr") == 0 ? "stderr" : "stdout";
        record.json = NULL;
        if (!stream || record.offset < 0 || record.length < 0) {
            return -EBADMSG;
        }
    }
    *ret = record;
    return 0;
}

int journal_parse(const char *line, size_t n, JournalRecord *ret, Json **ret_json, Error *err)
{
    _cleanup_json_ Json *json = NULL;
    _cleanup_error_ Error problem = {0};
    int r;

    if (parse_log(line, line + n, ret)) {
        *ret_json = NULL;
        return ret->seq > 0 ? 0 : error_set(err, -EBADMSG, "a record has the number 0");
    }
    r = json_parse(line, n, &json, &problem);
    if (r < 0) {
        return r == -ENOMEM
                   ? error_set(err, r, "out of memory")
                   : error_set(err, -EBADMSG, "a record is no JSON: %s", error_text(&problem));
    }
    if (parse_any(json, ret) < 0) {
        return error_set(err, -EBADMSG, "a record lacks its number, or is of no known type");
    }
    *ret_json = ret->json ? TAKE_PTR(json) : NULL;
    return 0;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

int journal_open(Journal *journal, int call_fd, Error *err)
{
    int fd = openat(call_fd, JOURNAL_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0) {
        return error_set_errno(err, -errno, "opening the journal");
    }
    *journal = JOURNAL_EMPTY;
    journal->fd = fd;
    return 0;
}

void journal_done(Journal *journal)
{
    journal->fd = fd_close(journal->fd);
    buffer_done(&journal->buffer);
    journal->json = json_unref(journal->json);
    *journal = JOURNAL_EMPTY;
}

/* The next whole line in the buffer, without its line feed. */
static bool take_line(Journal *journal, const char **ret_line, size_t *ret_len)
{
    Buffer *b = &journal->buffer;
    const char *line = buffer_text(b) + journal->start;
    const char *end = memchr(line, '\n', b->len - journal->start);

    if (!end) {
        return false;
    }
    *ret_line = line;
    *ret_len = (size_t)(end - line);
    journal->start += *ret_len + 1;
    return true;
}

/* 1: the buffer has more than before, 0: the file has not. */
static int fill_buffer(Journal *journal, Error *err)
{
    Buffer *b = &journal->buffer;
    size_t want = MAX(READ_SIZE, b->len - journal->start);
    ssize_t got;
    int r;

    buffer_consume(b, journal->start);
    journal->start = 0;
    want = MIN(want, JOURNAL_LINE_MAX - b->len);
    if (want == 0) {
        return error_set(err, -EBADMSG, "the journal has a record of more than %zu bytes",
                         JOURNAL_LINE_MAX);
    }
    r = buffer_reserve(b, want);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    got = fd_pread_full(journal->fd, b->data + b->len, want, journal->position);
    if (got < 0) {
        return error_set_errno(err, (int)got, "reading the journal");
    }
    b->len += (size_t)got;
    b->data[b->len] = '\0';
    journal->position += got;
    return got > 0;
}

/* Nothing more for now: the beginning of a record is read again next time, so that a thousand idle
 * readers hold no buffer. */
static void rest(Journal *journal)
{
    journal->position -= (off_t)(journal->buffer.len - journal->start);
    journal->start = 0;
    buffer_done(&journal->buffer);
    journal->json = json_unref(journal->json);
}

static int next_record(Journal *journal, JournalRecord *ret, Error *err)
{
    const char *line;
    size_t n;
    int r;

    while (!take_line(journal, &line, &n)) {
        r = fill_buffer(journal, err);
        if (r <= 0) {
            return r;
        }
    }
    journal->json = json_unref(journal->json);
    r = journal_parse(line, n, ret, &journal->json, err);
    if (r == 0 && journal->seq > 0 && ret->seq != journal->seq + 1) {
        r = error_set(err, -EBADMSG, "record %llu follows record %llu",
                      (unsigned long long)ret->seq, (unsigned long long)journal->seq);
    }
    if (r < 0) {
        return r;
    }
    journal->seq = ret->seq;
    return 1;
}

int journal_next(Journal *journal, JournalRecord *ret, Error *err)
{
    int r;

    do {
        r = next_record(journal, ret, err);
    } while (r > 0 && ret->seq <= journal->after);
    if (r == 0) {
        rest(journal);
    }
    return r < 0 ? error_wrap(err, "the journal") : r;
}

/* ---- finding a place --------------------------------------------------------------------------
 */

/* Finds the first line that begins at or after `from` and before `limit`. 1: *ret_start and
 * *ret_seq; 0: no record begins there. */
static int find_record(int fd, off_t from, off_t limit, off_t *ret_start, int64_t *ret_seq)
{
    char window[4096];
    bool is_at_line = from == 0;

    while (from < limit) {
        ssize_t got = fd_pread_full(fd, window, sizeof(window), from);
        const char *p = window, *end = window + MAX(got, 0);

        if (got <= 0) {
            return (int)got;
        }
        if (!is_at_line) {
            p = memchr(window, '\n', (size_t)got);
            if (!p) {
                from += got;
                continue;
            }
            p++;
            from += p - window;
            is_at_line = true;
            if (end - p < 64 && from < limit) { /* the number may be cut: look again from here */
                continue;
            }
        }
        *ret_start = from;
        return from < limit && take_text(&p, end, "{\"seq\":") && take_number(&p, end, ret_seq) &&
               p < end;
    }
    return 0;
}

int journal_seek(Journal *journal, uint64_t after, Error *err)
{
    struct stat st;
    off_t low = 0, high;

    if (fstat(journal->fd, &st) < 0) {
        return error_set_errno(err, -errno, "reading the journal");
    }
    /* The record at `low` is not past the one that is wanted; no record that begins at `high` or
     * later is wanted first. */
    for (high = after > 0 ? st.st_size : 0; high - low > SEEK_NEAR;) {
        off_t middle = low + (high - low) / 2, start = 0;
        int64_t seq = 0;
        int r = find_record(journal->fd, middle, high, &start, &seq);

        if (r < 0) {
            return error_set_errno(err, r, "reading the journal");
        }
        if (r > 0 && (uint64_t)seq <= after) {
            low = start;
        } else {
            high = middle;
        }
    }
    buffer_clear(&journal->buffer);
    journal->start = 0;
    journal->position = low;
    journal->seq = 0;
    journal->after = after;
    return 0;
}

/* ---- writing what no shim can write any more --------------------------------------------------
 */

static off_t place(const Journal *journal)
{
    return journal->position - (off_t)(journal->buffer.len - journal->start);
}

/* Cuts a torn last line off, and whatever else is no record, and tells the number of the last one
 * before. Where that is `finished` already, because its writer died before status.json, *ret_end
 * gets its line. */
static int mend(int fd, uint64_t *ret_seq, Buffer *ret_end, Error *err)
{
    _cleanup_journal_ Journal journal = JOURNAL_EMPTY;
    JournalRecord record = {0};
    off_t good = 0;
    int r;

    journal.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (journal.fd < 0) {
        return error_set_errno(err, -errno, "reading the journal");
    }
    r = journal_seek(&journal, UINT64_MAX, err); /* to the last few, at the end */
    for (good = place(&journal); r == 0; good = place(&journal)) {
        r = next_record(&journal, &record, NULL);
        if (r <= 0) {
            break;
        }
        buffer_clear(ret_end);
        r = record.type == JOURNAL_FINISHED ? json_format(record.json, ret_end) : 0;
    }
    if (r < 0 && r != -EBADMSG) {
        return error_set_errno(err, r, "reading the journal");
    }
    *ret_seq = journal.seq;
    return ftruncate(fd, good) < 0 ? error_set_errno(err, -errno, "mending the journal") : 0;
}

static int format_end(Buffer *line, uint64_t seq, const JournalEnd *end)
{
    int r = buffer_append_format(
        line,
        "{\"seq\":%llu,\"time\":%lld,\"type\":\"finished\",\"status\":\"%s\",\"exitCode\":-1,"
        "\"signal\":0,\"reason\":",
        (unsigned long long)seq, (long long)clock_wall_us(), end->status);

    r = r == 0 ? text_append_json(line, end->reason, strlen(end->reason)) : r;
    return r == 0 ? buffer_append_format(line,
                                         ",\"survivors\":-1,\"leftovers\":%lld,\"userUs\":0,"
                                         "\"systemUs\":0,\"maxRssBytes\":0,\"logBytes\":%lld}\n",
                                         (long long)end->leftovers, (long long)end->log_bytes)
                  : r;
}

static int append_line(int fd, const Buffer *line)
{
    int r = fd_write_all(fd, line->data, line->len);

    return r == 0 && fdatasync(fd) < 0 ? -errno : r;
}

int journal_finish(int call_fd, const JournalEnd *end, Error *err)
{
    _cleanup_buffer_ Buffer line = {0};
    _cleanup_fd_ int fd = -1;
    uint64_t seq = 0;
    int r;

    fd = openat(call_fd, JOURNAL_NAME, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return error_set_errno(err, -errno, "opening the journal");
    }
    r = mend(fd, &seq, &line, err);
    if (r < 0) {
        return r;
    }
    if (line.len > 0) {
        r = buffer_append(&line, "\n", 1);
    } else {
        r = format_end(&line, seq + 1, end);
        r = r == 0 ? append_line(fd, &line) : r;
    }
    if (r < 0) {
        return error_set_errno(err, r, "writing the journal");
    }
    return file_replace(call_fd, "status.json", line.data, line.len, 0600, err);
}
