/* SPDX-License-Identifier: MIT */
#include "agent/forward/forward.h"

#include "agent/http/http-url.h"
#include "agent/http/http.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/evidence/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOG "log"
#define LOCK "forward.lock"
#define STATE_MAX ((size_t)16 << 10)
#define TOKEN_MAX ((size_t)8 << 10)
#define REQUEST_TIMEOUT_MS ((int64_t)60000)
/* Of an answer that is no success, what a person is shown. */
#define ANSWER_SHOWN 200

/* The last record that was sent, and where it stands in the log. */
typedef struct Position {
    uint64_t seq; /* 0: none */
    char sha256[DIGEST_HEX_SIZE];
    int64_t begin, end; /* of its line, with its line feed */
} Position;

typedef struct Forward {
    const ForwardTarget *target;
    int dir_fd;
    int lock_fd;
    int log_fd;
    Http *http;
    Buffer authorization; /* a header, with the secret; empty: none */
    Buffer agent;         /* a header */
    Position sent;
    ChainHead head;                      /* what is on disk for certain */
    char sent_at[CLOCK_TEXT_SIZE];       /* "": never */
    char waiting_since[CLOCK_TEXT_SIZE]; /* of the first record that was not sent; "": none */
} Forward;

static void forward_done(Forward *f)
{
    f->http = http_close(f->http);
    if (f->authorization.data) {
        explicit_bzero(f->authorization.data, f->authorization.len);
    }
    buffer_done(&f->authorization);
    buffer_done(&f->agent);
    (void)fd_close(f->log_fd);
    (void)fd_close(f->lock_fd);
    (void)fd_close(f->dir_fd);
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- what is remembered -----------------------------------------------------------------------
 */

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* What cannot be read is as nothing: then all is sent once more. */
static void read_state(Forward *f)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(STATE_MAX);
    _cleanup_json_ Json *state = NULL;
    const char *sha256, *at;

    if (file_read(f->dir_fd, FORWARD_STATE, &text, NULL) < 0 ||
        json_parse(buffer_text(&text), text.len, &state, NULL) < 0 ||
        !is_same(json_get_string(state, "url"), f->target->url)) {
        return;
    }
    sha256 = json_get_string(state, "sha256");
    at = json_get_string(state, "sentAt");
    if (sha256 && strlen(sha256) == DIGEST_HEX_SIZE - 1) {
        f->sent.seq = (uint64_t)json_get_int(state, "seq", 0);
        f->sent.begin = json_get_int(state, "begin", 0);
        f->sent.end = json_get_int(state, "end", 0);
        memcpy(f->sent.sha256, sha256, DIGEST_HEX_SIZE);
    }
    (void)snprintf(f->sent_at, sizeof(f->sent_at), "%s", at ? at : "");
}

static int set_unless_empty(Json *object, const char *name, const char *text)
{
    return *text ? json_set_string(object, name, text) : 0;
}

static int describe(const Forward *f, const char *problem, Json *state)
{
    char now[CLOCK_TEXT_SIZE];
    int r = json_set_string(state, "url", f->target->url);

    if (r == 0 && f->sent.seq > 0) {
        r = json_set_int(state, "seq", (int64_t)f->sent.seq);
        r = r < 0 ? r : json_set_string(state, "sha256", f->sent.sha256);
        r = r < 0 ? r : json_set_int(state, "begin", f->sent.begin);
        r = r < 0 ? r : json_set_int(state, "end", f->sent.end);
    }
    r = r < 0 ? r : set_unless_empty(state, "sentAt", f->sent_at);
    r = r < 0 ? r : set_unless_empty(state, "waitingSince", f->waiting_since);
    if (r == 0 && problem) {
        r = json_set_string(state, "problem", problem);
        r = r < 0 ? r : json_set_string(state, "problemAt", clock_format(clock_wall_us(), now));
    }
    return r;
}

static int write_state(const Forward *f, const char *problem, Error *err)
{
    _cleanup_json_ Json *state = json_new_object();
    _cleanup_buffer_ Buffer text = BUFFER_INIT(STATE_MAX);
    int r = state ? describe(f, problem, state) : -ENOMEM;

    r = r < 0 ? r : json_format(state, &text);
    r = r < 0 ? r : buffer_append(&text, "\n", 1);
    if (r < 0) {
        return error_set_errno(err, r, "cannot remember what was sent");
    }
    return file_replace(f->dir_fd, FORWARD_STATE, text.data, text.len, 0600, err);
}

/* ---- reading the log --------------------------------------------------------------------------
 */

/* Is the record that was sent last where it was remembered to be? */
static int check_position(const Forward *f, Error *err)
{
    int64_t size = f->sent.end - f->sent.begin;
    _cleanup_buffer_ Buffer line = {0};
    char sha256[DIGEST_HEX_SIZE];
    ssize_t got = -1;

    if (f->sent.seq == 0) {
        return 0;
    }
    if (f->sent.begin >= 0 && size > 1 && size <= (int64_t)CHAIN_RECORD_MAX &&
        buffer_reserve(&line, (size_t)size) == 0) {
        got = fd_pread_full(f->log_fd, line.data, (size_t)size, f->sent.begin);
    }
    if (got != size || line.data[size - 1] != '\n' ||
        digest_bytes(line.data, (size_t)size - 1, sha256) < 0 ||
        strcmp(sha256, f->sent.sha256) != 0) {
        return error_set(err, -EBADMSG,
                         "record %" PRIu64 ", which was sent, is not in the log any more as it "
                         "was; look at it with 'slipway audit verify'. Remove '" FORWARD_STATE
                         "' beside it to send all of the log",
                         f->sent.seq);
    }
    return 0;
}

/* One line of a batch, which becomes the last one. */
static int take_line(const char *line, size_t n, Position *last, char *first_time, Error *err)
{
    _cleanup_json_ Json *record = NULL;
    const char *time;
    int r = json_parse(line, n, &record, NULL);

    time = r < 0 ? NULL : json_get_string(record, "time");
    if (!time || json_get_int(record, "seq", 0) != (int64_t)last->seq + 1) {
        return error_set(err, -EBADMSG,
                         "what stands behind record %" PRIu64 " in the log is not the next one; "
                         "look at it with 'slipway audit verify'",
                         last->seq);
    }
    if (!*first_time) {
        (void)snprintf(first_time, CLOCK_TEXT_SIZE, "%s", time);
    }
    last->seq++;
    last->begin = last->end;
    last->end += (int64_t)n + 1;
    r = digest_bytes(line, n, last->sha256);
    return r < 0 ? error_set_errno(err, r, "cannot digest") : 0;
}

/* The next lines, up to what the head says is on disk. *ret_last is the last of them. */
static int read_batch(Forward *f, Buffer *batch, Position *ret_last, Error *err)
{
    Position last = f->sent;
    size_t used = 0;
    ssize_t got;
    int r = buffer_reserve(batch, FORWARD_BATCH_MAX);

    if (r < 0) {
        return out_of_memory(err);
    }
    got = fd_pread_full(f->log_fd, batch->data, FORWARD_BATCH_MAX, last.end);
    if (got < 0) {
        return error_set_errno(err, (int)got, "cannot read the log");
    }
    f->waiting_since[0] = '\0';
    while (r == 0 && last.seq < f->head.seq) {
        const char *line = batch->data + used;
        const char *feed = memchr(line, '\n', (size_t)got - used);

        if (!feed) {
            break;
        }
        r = take_line(line, (size_t)(feed - line), &last, f->waiting_since, err);
        used = (size_t)(feed - batch->data) + 1;
    }
    if (r == 0 && used == 0) {
        r = error_set(err, -EBADMSG,
                      "the log ends behind record %" PRIu64 ", but record %" PRIu64
                      " was written; look at it with 'slipway audit verify'",
                      f->sent.seq, f->head.seq);
    }
    batch->len = used;
    *ret_last = last;
    return r;
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static int not_taken(const Forward *f, const HttpResponse *response, Error *err)
{
    _cleanup_buffer_ Buffer shown = BUFFER_INIT(0), said = BUFFER_INIT(0);
    size_t n = MIN(response->body.len, (size_t)ANSWER_SHOWN);

    n -= n > 0 ? text_utf8_incomplete_tail(response->body.data, n) : 0;
    if (http_url_append_shown(&shown, f->target->url) < 0 ||
        (n > 0 && text_append_utf8(&said, response->body.data, n) < 0)) {
        return out_of_memory(err);
    }
    for (size_t i = 0; i < said.len; i++) { /* it becomes a line of a person's */
        said.data[i] = (unsigned char)said.data[i] < ' ' ? ' ' : said.data[i];
    }
    return error_set(err, -EREMOTEIO, "%s answered %d%s%s", buffer_text(&shown), response->status,
                     said.len > 0 ? ": " : "", buffer_text(&said));
}

static int send_batch(const Forward *f, const Buffer *batch, Error *err)
{
    const char *headers[3] = {0};
    _cleanup_http_response_ HttpResponse response = {0};
    HttpContent content = {
        .data = batch->data, .size_bytes = (int64_t)batch->len, .type = "application/x-ndjson"};
    HttpRequest request = {.method = "POST",
                           .url = f->target->url,
                           .content = &content,
                           .headers = headers,
                           .timeout_ms = REQUEST_TIMEOUT_MS};
    size_t n = 0;
    int r;

    if (f->authorization.len > 0) {
        headers[n++] = f->authorization.data;
    }
    if (f->agent.len > 0) {
        headers[n++] = f->agent.data;
    }
    r = http_request(f->http, &request, &response, err);
    if (r != 0) {
        return r > 0 ? -EHOSTUNREACH : r;
    }
    return http_status_is_success(response.status) ? 0 : not_taken(f, &response, err);
}

static int send_all(Forward *f, Error *err)
{
    int r = check_position(f, err);

    while (r == 0 && f->sent.seq < f->head.seq) {
        _cleanup_buffer_ Buffer batch = BUFFER_INIT(FORWARD_BATCH_MAX + 1);
        Position last;

        r = read_batch(f, &batch, &last, err);
        r = r < 0 ? r : send_batch(f, &batch, err);
        if (r < 0) {
            return r;
        }
        f->sent = last;
        f->waiting_since[0] = '\0';
        (void)clock_format(clock_wall_us(), f->sent_at);
        r = write_state(f, NULL, err);
    }
    return r;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static int read_token(Forward *f, Error *err)
{
    const char *path = f->target->token_file;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(TOKEN_MAX);
    int r = path ? file_read(AT_FDCWD, path, &text, err) : 0;

    if (r < 0 || !path) {
        return r < 0 ? error_wrap(err, "the token in '%s'", path) : 0;
    }
    while (text.len > 0 && strchr("\r\n \t", text.data[text.len - 1])) {
        buffer_truncate(&text, text.len - 1);
    }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] <= ' ' || (unsigned char)text.data[i] >= 0x7f) {
            r = -EINVAL; /* nothing of it is shown */
        }
    }
    if (r < 0 || text.len == 0) {
        r = error_set(err, -EINVAL, "'%s' holds no token: one word in one line", path);
    } else if (buffer_append_format(&f->authorization, "Authorization: Bearer %s",
                                    buffer_text(&text)) < 0) {
        r = out_of_memory(err);
    }
    if (text.data) {
        explicit_bzero(text.data, text.len);
    }
    return r;
}

static int open_target(Forward *f, Error *err)
{
    const ForwardTarget *t = f->target;
    _cleanup_free_ char *origin = NULL, *host = NULL;
    HttpOptions options = {
        .ca_file = t->ca_file, .certificate_file = t->certificate_file, .key_file = t->key_file};
    int r = http_url_host(t->url, &host, err);

    if (r < 0) {
        return r;
    }
    if (!http_url_is_https(t->url) && !http_url_is_loopback(t->url)) {
        return error_set(err, -EINVAL,
                         "the audit log goes to '%s' by https alone; plain http is for this "
                         "machine itself",
                         host);
    }
    if (asprintf(&origin, "%s://%s", http_url_is_https(t->url) ? "https" : "http", host) < 0) {
        origin = NULL;
        return out_of_memory(err);
    }
    if (t->agent && buffer_append_format(&f->agent, "Slipway-Agent: %s", t->agent) < 0) {
        return out_of_memory(err);
    }
    r = read_token(f, err);
    return r < 0 ? r : http_open_with(origin, &options, &f->http, err);
}

/* 1: another process is at it. */
static int open_log(Forward *f, const char *directory, Error *err)
{
    f->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->lock_fd = f->dir_fd < 0
                     ? -1
                     : openat(f->dir_fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->lock_fd < 0) {
        return error_set_errno(err, -errno, "'%s'", directory);
    }
    if (flock(f->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK ? 1 : error_set_errno(err, -errno, "'%s/" LOCK "'", directory);
    }
    f->log_fd = openat(f->dir_fd, LOG, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (f->log_fd < 0 && errno != ENOENT) {
        return error_set_errno(err, -errno, "'%s/" LOG "'", directory);
    }
    return chain_read_head(f->dir_fd, LOG, &f->head, err);
}

int forward_run(const char *audit_directory, const ForwardTarget *target, Error *err)
{
    _cleanup_(forward_done)
        Forward f = {.target = target, .dir_fd = -1, .lock_fd = -1, .log_fd = -1};
    int r = open_log(&f, audit_directory, err);

    if (r != 0) {
        return MIN(r, 0);
    }
    read_state(&f);
    r = open_target(&f, err);
    r = r < 0 ? r : send_all(&f, err);
    if (r < 0) {
        _cleanup_error_ Error problem = {0};

        (void)write_state(&f, error_text(err), &problem); /* then health knows less */
    }
    return r;
}
