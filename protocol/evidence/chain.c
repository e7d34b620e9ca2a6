/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/chain.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHAIN_HEAD_MAX 256
#define CHAIN_ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

struct Chain {
    int dir_fd; /* owned */
    char *name;
    char *head_name;
    int fd;
    off_t size;
    ChainHead head;
};

/* ---- one record -------------------------------------------------------------------------------
 */

static int wrong(Error *err, uint64_t seq, const char *what)
{
    return error_set(err, -EBADMSG, "record %" PRIu64 ": %s", seq, what);
}

/* Checks a line against the record before it and makes it the head. */
static int check_line(const char *line, size_t n, ChainHead *head, Json **ret, Error *err)
{
    _cleanup_json_ Json *record = NULL;
    _cleanup_error_ Error problem = {0};
    const char *previous;
    int64_t seq;
    int r = json_parse_strict(line, n, &record, &problem);

    if (r == -ENOMEM) {
        return error_set(err, r, "out of memory");
    }
    if (r < 0 || json_type_of(record) != JSON_OBJECT) {
        return error_set(err, -EBADMSG, "record %" PRIu64 ": no record: %s", head->seq + 1,
                         r < 0 ? error_text(&problem) : "not an object");
    }
    seq = json_get_int(record, "seq", -1);
    previous = json_get_string(record, "previous");
    if (seq < 1 || !previous || !json_get_string(record, "time")) {
        return wrong(err, head->seq + 1, "it lacks seq, time or previous");
    }
    if ((uint64_t)seq != head->seq + 1) {
        return error_set(err, -EBADMSG,
                         "record %" PRIu64 " is missing: record %" PRId64 " stands in its place",
                         head->seq + 1, seq);
    }
    if (strcmp(previous, head->seq > 0 ? head->sha256 : CHAIN_ZEROS) != 0) {
        return error_set(err, -EBADMSG,
                         "record %" PRIu64 " was changed: it is not the one that record %" PRId64
                         " was written after",
                         head->seq, seq);
    }
    head->seq++;
    r = digest_bytes(line, n, head->sha256);
    if (r < 0) {
        return error_set_errno(err, r, "cannot digest");
    }
    *ret = TAKE_PTR(record);
    return 0;
}

static bool is_own_member(const char *name)
{
    return strcmp(name, "seq") == 0 || strcmp(name, "time") == 0 || strcmp(name, "previous") == 0;
}

static int format_record(const Chain *chain, const Json *members, Buffer *out, Error *err)
{
    char time[CLOCK_TEXT_SIZE];
    int r = buffer_append_format(out, "{\"seq\":%" PRIu64 ",\"time\":\"%s\",\"previous\":\"%s\"",
                                 chain->head.seq + 1, clock_format(clock_wall_us(), time),
                                 chain->head.seq > 0 ? chain->head.sha256 : CHAIN_ZEROS);

    for (JsonMember m = {0}; r == 0 && json_next_member(members, &m);) {
        if (is_own_member(m.name)) {
            return error_set(err, -EINVAL, "a record has a \"%s\" of its own already", m.name);
        }
        r = buffer_append(out, ",", 1);
        r = r == 0 ? text_append_json(out, m.name, strlen(m.name)) : r;
        r = r == 0 ? buffer_append(out, ":", 1) : r;
        r = r == 0 ? json_format(m.value, out) : r;
    }
    r = r == 0 ? buffer_append_text(out, "}\n") : r;
    if (r == 0 && out->len > CHAIN_RECORD_MAX) {
        r = -EMSGSIZE;
    }
    return r < 0 ? error_set_errno(err, r, "cannot write an audit record") : 0;
}

/* ---- the head ---------------------------------------------------------------------------------
 */

int chain_read_head(int dir_fd, const char *name, ChainHead *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(CHAIN_HEAD_MAX);
    _cleanup_free_ char *head_name = NULL;
    _cleanup_json_ Json *root = NULL;
    const char *sha256;
    int r;

    *ret = (ChainHead){0};
    if (asprintf(&head_name, "%s.head", name) < 0) {
        head_name = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!file_exists(dir_fd, head_name)) {
        return 0;
    }
    r = file_read(dir_fd, head_name, &text, err);
    r = r == 0 ? json_parse_strict(buffer_text(&text), text.len, &root, err) : r;
    sha256 = json_get_string(root, "sha256");
    if (r == 0 &&
        (!sha256 || strlen(sha256) != DIGEST_HEX_SIZE - 1 || json_get_int(root, "seq", -1) < 1)) {
        r = error_set(err, -EBADMSG, "it has no seq and sha256");
    }
    if (r < 0) {
        return error_wrap(err, "'%s'", head_name);
    }
    ret->seq = (uint64_t)json_get_int(root, "seq", 0);
    memcpy(ret->sha256, sha256, DIGEST_HEX_SIZE);
    return 0;
}

static int write_head(const Chain *chain, Error *err)
{
    char text[CHAIN_HEAD_MAX];
    int n = snprintf(text, sizeof(text), "{\"seq\":%" PRIu64 ",\"sha256\":\"%s\"}\n",
                     chain->head.seq, chain->head.sha256);

    return file_replace(chain->dir_fd, chain->head_name, text, (size_t)n, 0600, err);
}

/* ---- appending --------------------------------------------------------------------------------
 */

/* The last line of the log: its offset, and whether it has its line feed. */
static int read_last_line(int fd, off_t size, Buffer *line, bool *ret_is_whole, Error *err)
{
    size_t want = (size_t)MIN(size, (off_t)CHAIN_RECORD_MAX + 1), start;
    ssize_t got;
    int r = buffer_reserve(line, want);

    if (r < 0) {
        return error_set_errno(err, r, "cannot read the log");
    }
    got = fd_pread_full(fd, line->data, want, size - (off_t)want);
    if (got != (ssize_t)want) {
        return error_set_errno(err, got < 0 ? (int)got : -EIO, "cannot read the log");
    }
    line->len = want;
    *ret_is_whole = want > 0 && line->data[want - 1] == '\n';
    start = want - *ret_is_whole;
    while (start > 0 && line->data[start - 1] != '\n') {
        start--;
    }
    if (start == 0 && (off_t)want < size) {
        return error_set(err, -EBADMSG, "its last line is too long for a record");
    }
    buffer_consume(line, start);
    buffer_truncate(line, line->len - *ret_is_whole);
    return 0;
}

static int adopt_last_line(Chain *chain, const Buffer *line, Error *err)
{
    _cleanup_json_ Json *record = NULL;
    int r = json_parse_strict(buffer_text(line), line->len, &record, err);

    if (r < 0 || json_get_int(record, "seq", -1) < 1 || !json_get_string(record, "previous")) {
        return error_set(err, -EBADMSG, "its last line is no record");
    }
    chain->head.seq = (uint64_t)json_get_int(record, "seq", 0);
    r = digest_bytes(line->data, line->len, chain->head.sha256);
    return r < 0 ? error_set_errno(err, r, "cannot digest") : 0;
}

/* A line without its line feed: the feed is put to a whole record, anything else was never written.
 */
static int mend_end(Chain *chain, const Buffer *line, Error *err)
{
    _cleanup_json_ Json *record = NULL;
    bool is_record = json_parse_strict(buffer_text(line), line->len, &record, NULL) == 0;
    int r = 0;

    if (is_record) {
        r = pwrite(chain->fd, "\n", 1, chain->size) == 1 ? 0 : -errno;
        chain->size += r == 0;
    } else {
        r = ftruncate(chain->fd, chain->size - (off_t)line->len) < 0 ? -errno : 0;
        chain->size -= r == 0 ? (off_t)line->len : 0;
    }
    if (r == 0 && fsync(chain->fd) < 0) {
        r = -errno;
    }
    return r < 0 ? error_set_errno(err, r, "cannot mend its torn end") : 0;
}

static int read_end(Chain *chain, Error *err)
{
    bool is_whole = false;

    while (chain->size > 0 && !is_whole) {
        _cleanup_buffer_ Buffer line = {0};
        int r = read_last_line(chain->fd, chain->size, &line, &is_whole, err);

        if (r == 0) {
            r = is_whole ? adopt_last_line(chain, &line, err) : mend_end(chain, &line, err);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* The head may be one record behind (a crash between the two writes), and never ahead. */
static int compare_with_head(const Chain *chain, Error *err)
{
    ChainHead said;
    int r = chain_read_head(chain->dir_fd, chain->name, &said, err);

    if (r < 0) {
        return r;
    }
    if (said.seq > chain->head.seq || (said.seq == chain->head.seq && said.seq > 0 &&
                                       strcmp(said.sha256, chain->head.sha256) != 0)) {
        return error_set(err, -EBADMSG,
                         "it ends with record %" PRIu64 ", but '%s' says that record %" PRIu64
                         " was written; look at it with 'slipway audit verify'",
                         chain->head.seq, chain->head_name, said.seq);
    }
    return 0;
}

static int open_files(Chain *chain, int dir_fd, Error *err)
{
    struct stat st;

    chain->dir_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    chain->fd = chain->dir_fd < 0 ? -1
                                  : openat(chain->dir_fd, chain->name,
                                           O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (chain->fd < 0 || flock(chain->fd, LOCK_EX) < 0 || fstat(chain->fd, &st) < 0) {
        return error_set_errno(err, -errno, "cannot open it");
    }
    chain->size = st.st_size;
    return 0;
}

int chain_open(int dir_fd, const char *name, Chain **ret, Error *err)
{
    _cleanup_(chain_freep) Chain *chain = calloc(1, sizeof(*chain));
    int r;

    if (!chain) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    chain->dir_fd = chain->fd = -1;
    chain->name = strdup(name);
    if (!chain->name || asprintf(&chain->head_name, "%s.head", name) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = open_files(chain, dir_fd, err);
    r = r == 0 ? read_end(chain, err) : r;
    r = r == 0 ? compare_with_head(chain, err) : r;
    if (r < 0) {
        return error_wrap(err, "the log '%s'", name);
    }
    *ret = TAKE_PTR(chain);
    return 0;
}

Chain *chain_free(Chain *chain)
{
    if (chain) {
        (void)fd_close(chain->fd);
        (void)fd_close(chain->dir_fd);
        free(chain->name);
        free(chain->head_name);
        free(chain);
    }
    return NULL;
}

static int write_record(Chain *chain, const Buffer *line)
{
    int r = lseek(chain->fd, chain->size, SEEK_SET) < 0 ? -errno : 0;

    r = r < 0 ? r : fd_write_all(chain->fd, line->data, line->len);
    return r == 0 && fsync(chain->fd) < 0 ? -errno : r;
}

int chain_append(Chain *chain, const Json *members, Error *err)
{
    _cleanup_buffer_ Buffer line = {0};
    ChainHead before = chain->head;
    int r = format_record(chain, members, &line, err);

    if (r < 0) {
        return r;
    }
    r = write_record(chain, &line);
    if (r < 0) {
        (void)!ftruncate(chain->fd, chain->size); /* what is there of it would be a torn end */
        return error_set_errno(err, r, "cannot write to the log '%s'", chain->name);
    }
    chain->head.seq++;
    r = digest_bytes(line.data, line.len - 1, chain->head.sha256);
    r = r < 0 ? error_set_errno(err, r, "cannot digest") : write_head(chain, err);
    if (r < 0) {
        chain->head = before;
        (void)!ftruncate(chain->fd, chain->size);
        return r;
    }
    chain->size += (off_t)line.len;
    return 0;
}

const ChainHead *chain_head(const Chain *chain)
{
    return &chain->head;
}

/* ---- checking ---------------------------------------------------------------------------------
 */

typedef struct Checking {
    const ChainHead *expected;
    size_t n_expected;
    ChainVisit visit;
    void *userdata;
    ChainHead head;
} Checking;

static int check_expected(const Checking *c, Error *err)
{
    for (size_t i = 0; i < c->n_expected; i++) {
        if (c->expected[i].seq == c->head.seq &&
            strcmp(c->expected[i].sha256, c->head.sha256) != 0) {
            return wrong(err, c->head.seq,
                         "it is not the one that was written: its hash was said to be another");
        }
    }
    return 0;
}

static int check_end(const Checking *c, Error *err)
{
    for (size_t i = 0; i < c->n_expected; i++) {
        if (c->expected[i].seq == c->head.seq + 1) {
            return error_set(err, -EBADMSG,
                             "record %" PRIu64 " is missing: the log was cut off before it",
                             c->head.seq + 1);
        }
        if (c->expected[i].seq > c->head.seq) {
            return error_set(err, -EBADMSG,
                             "records %" PRIu64 " to %" PRIu64
                             " are missing: the log was cut off after record %" PRIu64,
                             c->head.seq + 1, c->expected[i].seq, c->head.seq);
        }
    }
    return 0;
}

static int take_line(Checking *c, const char *line, size_t n, Error *err)
{
    _cleanup_json_ Json *record = NULL;
    int r = check_line(line, n, &c->head, &record, err);

    r = r == 0 ? check_expected(c, err) : r;
    return r == 0 && c->visit ? c->visit(record, &c->head, c->userdata) : r;
}

/* Takes the whole lines of the buffer, leaves the rest. */
static int take_lines(Checking *c, Buffer *buffer, Error *err)
{
    size_t start = 0;
    int r = 0;

    while (r == 0) {
        const char *line = buffer->data + start;
        const char *feed = memchr(line, '\n', buffer->len - start);

        if (!feed) {
            break;
        }
        r = take_line(c, line, (size_t)(feed - line), err);
        start = (size_t)(feed - buffer->data) + 1;
    }
    buffer_consume(buffer, start);
    if (r == 0 && buffer->len > CHAIN_RECORD_MAX) {
        return wrong(err, c->head.seq + 1, "longer than any record");
    }
    return r;
}

int chain_check(int fd, const ChainHead *expected, size_t n_expected, ChainVisit visit,
                void *userdata, ChainHead *ret, bool *ret_torn, Error *err)
{
    _cleanup_buffer_ Buffer buffer = {0};
    Checking c = {
        .expected = expected, .n_expected = n_expected, .visit = visit, .userdata = userdata};
    ssize_t got = 1;
    int r = 0;

    while (r == 0 && got > 0) {
        r = buffer_reserve(&buffer, CHAIN_RECORD_MAX);
        if (r < 0) {
            return error_set_errno(err, r, "cannot read the log");
        }
        got = fd_read_full(fd, buffer.data + buffer.len, CHAIN_RECORD_MAX);
        if (got < 0) {
            return error_set_errno(err, (int)got, "cannot read the log");
        }
        buffer.len += (size_t)got;
        buffer.data[buffer.len] = '\0';
        r = take_lines(&c, &buffer, err);
    }
    r = r == 0 ? check_end(&c, err) : r;
    if (r == 0) {
        *ret = c.head;
        if (ret_torn) {
            *ret_torn = buffer.len > 0;
        }
    }
    return r;
}
