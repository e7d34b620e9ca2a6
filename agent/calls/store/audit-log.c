/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/audit-log.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_NAME "audit/log"
#define HEAD_NAME "audit/log.head"
#define HEAD_SIZE_MAX ((size_t)4096)
#define FORWARDED_NAME "audit/forwarded.json"
#define FORWARDED_SIZE_MAX ((size_t)16 << 10)

/* What the writer says the log's end is. It may be a record behind the log, never ahead of it. */
static int read_head(int state_fd, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(HEAD_SIZE_MAX);
    _cleanup_json_ Json *head = NULL;
    int r;

    if (!file_exists(state_fd, HEAD_NAME)) {
        return 0;
    }
    r = file_read(state_fd, HEAD_NAME, &text, err);
    if (r == 0 && (json_parse(buffer_text(&text), text.len, &head, NULL) < 0 ||
                   json_get_int(head, "seq", 0) < 1 || !json_get_string(head, "sha256"))) {
        r = error_set(err, -EIO, "'%s' does not say seq and sha256", HEAD_NAME);
    }
    if (r == 0) {
        *ret = TAKE_PTR(head);
    }
    return r;
}

/* 0 and -1 where there is no log. */
static int open_log(int state_fd, int *ret_fd, int64_t *ret_size, Error *err)
{
    _cleanup_fd_ int fd =
        openat(state_fd, LOG_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st = {0};

    if (fd < 0 && errno == ENOENT) {
        *ret_fd = -1;
        *ret_size = 0;
        return 0;
    }
    if (fd < 0 && errno != ELOOP) {
        return error_set_errno(err, -errno, "'%s'", LOG_NAME);
    }
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return error_set(err, -EIO, "'%s' is no regular file", LOG_NAME);
    }
    *ret_fd = TAKE_FD(fd);
    *ret_size = st.st_size;
    return 0;
}

int audit_log_read(int state_fd, int64_t offset, void *data, size_t n, size_t *ret_n,
                   int64_t *ret_size, Json **ret_head, Error *err)
{
    _cleanup_json_ Json *head = NULL;
    _cleanup_fd_ int fd = -1;
    int64_t size = 0;
    ssize_t got = 0;
    int r = read_head(state_fd, &head, err); /* first: then what it names is in `size` */

    r = r == 0 ? open_log(state_fd, &fd, &size, err) : r;
    if (r < 0) {
        return r;
    }
    if (offset < 0 || offset > size) {
        return error_set(err, -EILSEQ, "the audit log has %lld bytes; there is no offset %lld",
                         (long long)size, (long long)offset);
    }
    if (fd >= 0) {
        got = fd_pread_full(fd, data, (size_t)MIN((int64_t)n, size - offset), offset);
    }
    if (got < 0) {
        return error_set(err, -EIO, "reading the audit log: %s", strerror((int)-got));
    }
    *ret_n = (size_t)got;
    *ret_size = size;
    *ret_head = TAKE_PTR(head);
    return 0;
}

/* ---- how far it is forwarded ------------------------------------------------------------------
 */

static int64_t count_records(int state_fd)
{
    _cleanup_json_ Json *head = NULL;

    return read_head(state_fd, &head, NULL) < 0 ? 0 : json_get_int(head, "seq", 0);
}

/* What slipway-audit-forward has noted about this collector; NULL: nothing. The caller's. */
static Json *read_forwarded(int state_fd, const char *url)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(FORWARDED_SIZE_MAX);
    Json *noted = NULL;
    const char *noted_url;

    if (file_read(state_fd, FORWARDED_NAME, &text, NULL) < 0 ||
        json_parse(buffer_text(&text), text.len, &noted, NULL) < 0) {
        return NULL;
    }
    noted_url = json_get_string(noted, "url");
    return noted_url && url && strcmp(noted_url, url) == 0 ? noted : json_unref(noted);
}

int64_t audit_log_count_waiting(int state_fd, const char *url)
{
    _cleanup_json_ Json *noted = read_forwarded(state_fd, url);

    return MAX(count_records(state_fd) - json_get_int(noted, "seq", 0), (int64_t)0);
}

static int say_late(const char *since, int64_t waiting, const char *why, int64_t now_us,
                    char **ret_problem)
{
    int64_t since_us;

    if (clock_parse(since, &since_us) < 0 || now_us - since_us < AUDIT_LOG_LATE_US) {
        return 0;
    }
    if (asprintf(ret_problem, "%lld record%s of the audit log could not be forwarded since %s: %s",
                 (long long)waiting, waiting == 1 ? "" : "s", since, why) < 0) {
        *ret_problem = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int describe_forward(int state_fd, const char *url, int64_t n_records, int64_t now_us,
                            Json *forward, char **ret_problem)
{
    _cleanup_json_ Json *noted = read_forwarded(state_fd, url);
    int64_t waiting = MAX(n_records - json_get_int(noted, "seq", 0), (int64_t)0);
    const char *since = waiting > 0 ? json_get_string(noted, "waitingSince") : NULL;
    const char *why = waiting > 0 ? json_get_string(noted, "problem") : NULL;
    int r = json_set_string(forward, "url", url);

    r = r < 0 ? r : json_set_int(forward, "waiting", waiting);
    r = r < 0 ? r : json_set_string(forward, "sentAt", json_get_string(noted, "sentAt"));
    r = r < 0 ? r : json_set_string(forward, "waitingSince", since);
    r = r < 0 ? r : json_set_string(forward, "problem", why);
    return r == 0 && since && why ? say_late(since, waiting, why, now_us, ret_problem) : r;
}

int audit_log_describe(int state_fd, const char *url, int64_t now_us, Json **ret,
                       char **ret_problem)
{
    _cleanup_json_ Json *audit = json_new_object(), *forward = json_new_object();
    int64_t n_records = count_records(state_fd);
    int r = audit && forward ? json_set_int(audit, "records", n_records) : -ENOMEM;

    *ret_problem = NULL;
    if (r == 0 && url) {
        r = describe_forward(state_fd, url, n_records, now_us, forward, ret_problem);
        r = r < 0 ? r : json_set_take(audit, "forward", TAKE_PTR(forward));
    }
    if (r == 0) {
        *ret = TAKE_PTR(audit);
    }
    return r;
}
