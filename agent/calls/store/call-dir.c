/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/call-dir.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A request of the protocol is at most 1 MiB, its spec little more. */
#define CALL_FILE_MAX ((size_t)4 << 20)

/* The agent and whoever looks over its shoulder. */
#define CONTROL_BACKLOG 4

/* ---- making -----------------------------------------------------------------------------------
 */

/* The first fsync carries the new directory with it on the file systems that we know (their
 * journals keep the order), the second makes that a promise and then costs next to nothing. */
static int write_spec(int fd, const Json *spec)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(CALL_FILE_MAX);
    _cleanup_fd_ int file = -1;
    int r = json_format(spec, &text);

    r = r == 0 ? buffer_append(&text, "\n", 1) : r;
    if (r < 0) {
        return r;
    }
    if (mkdirat(fd, "artifacts", 0700) < 0) {
        return -errno;
    }
    file = openat(fd, "spec.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) {
        return -errno;
    }
    r = fd_write_all(file, text.data, text.len);
    if (r < 0) {
        return r;
    }
    if (fsync(file) < 0 || fsync(fd) < 0) {
        return -errno;
    }
    return 0;
}

int call_dir_create(int calls_fd, const char *id, const Json *spec, Error *err)
{
    _cleanup_fd_ int fd = -1;
    int r;

    if (mkdirat(calls_fd, id, 0700) < 0) {
        return error_set_errno(err, -errno, "making the directory of call '%s'", id);
    }
    r = call_dir_open(calls_fd, id, &fd, err);
    r = r == 0 ? write_spec(fd, spec) : r;
    r = r == 0 ? file_sync_dir(calls_fd) : r;
    if (r < 0) {
        if (file_remove_tree(calls_fd, id, NULL) < 0) {
            log_debug("what there is of call '%s' goes at the next start", id);
        }
        return error_set_errno(err, r, "writing call '%s'", id);
    }
    return 0;
}

int call_dir_open(int calls_fd, const char *id, int *ret_fd, Error *err)
{
    int fd = openat(calls_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return error_set_errno(err, -errno, "opening the directory of call '%s'", id);
    }
    *ret_fd = fd;
    return 0;
}

/* ---- what it means ----------------------------------------------------------------------------
 */

/* A journal counts once it has a whole record. */
static bool has_record(int fd)
{
    _cleanup_fd_ int journal = openat(fd, "journal.ndjson", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char start[256];
    ssize_t n = journal < 0 ? 0 : fd_read_full(journal, start, sizeof(start));

    /* A first record longer than this is whole or torn; the shim wrote it either way. */
    return n > 0 && (n == (ssize_t)sizeof(start) || memchr(start, '\n', (size_t)n));
}

int call_dir_lock(int fd, int *ret_lock_fd, Error *err)
{
    _cleanup_fd_ int lock = openat(fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) {
        return error_set_errno(err, -errno, "taking the lock of the call");
    }
    *ret_lock_fd = TAKE_FD(lock);
    return 0;
}

int call_dir_examine(int fd, CallDirState *ret, int *ret_lock_fd, Error *err)
{
    _cleanup_fd_ int lock = -1;
    _cleanup_error_ Error problem = {0};
    bool is_finished = file_exists(fd, "status.json");
    int r = 0;

    if (!is_finished) {
        r = call_dir_lock(fd, &lock, &problem);
        if (r < 0 && r != -EWOULDBLOCK) {
            return error_set(err, r, "%s", error_text(&problem));
        }
        is_finished = file_exists(fd, "status.json"); /* between the two looks */
    }
    if (is_finished) {
        *ret = CALL_DIR_FINISHED;
        lock = fd_close(lock);
    } else if (r == -EWOULDBLOCK) {
        *ret = CALL_DIR_RUNNING;
    } else {
        *ret = has_record(fd) ? CALL_DIR_LOST : CALL_DIR_QUEUED;
    }
    if (ret_lock_fd) {
        *ret_lock_fd = TAKE_FD(lock);
    }
    return 0;
}

/* ---- the control socket -----------------------------------------------------------------------
 */

/* By way of /proc, because the path of a state directory may be longer than sun_path. */
static int control_socket(int fd, struct sockaddr_un *address, Error *err)
{
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (s < 0) {
        return error_set_errno(err, -errno, "making the control socket");
    }
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/control.sock",
                   fd);
    return s;
}

int call_dir_listen(int fd, int *ret_socket, Error *err)
{
    struct sockaddr_un address;
    _cleanup_fd_ int s = control_socket(fd, &address, err);

    if (s < 0) {
        return s;
    }
    (void)unlinkat(fd, "control.sock",
                   0); /* of an agent that died before it had started the shim */
    if (bind(s, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(s, CONTROL_BACKLOG) < 0) {
        return error_set_errno(err, -errno, "making the control socket");
    }
    *ret_socket = TAKE_FD(s);
    return 0;
}

int call_dir_connect(int fd, int *ret_socket, Error *err)
{
    struct sockaddr_un address;
    _cleanup_fd_ int s = control_socket(fd, &address, err);

    if (s < 0) {
        return s;
    }
    if (connect(s, (struct sockaddr *)&address, sizeof(address)) < 0) {
        return error_set_errno(err, -errno, "connecting to the control socket");
    }
    *ret_socket = TAKE_FD(s);
    return 0;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

int call_dir_read_json(int fd, const char *name, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(CALL_FILE_MAX);
    _cleanup_json_ Json *value = NULL;
    _cleanup_error_ Error problem = {0};
    int r = file_read(fd, name, &text, err);

    if (r < 0) {
        return r;
    }
    r = json_parse(buffer_text(&text), text.len, &value, &problem);
    if (r == 0 && json_type_of(value) != JSON_OBJECT) {
        r = error_set(&problem, -EINVAL, "not an object");
    }
    if (r < 0) {
        return error_set(err, r == -EINVAL ? -EBADMSG : r, "'%s': %s", name, error_text(&problem));
    }
    *ret = TAKE_PTR(value);
    return 0;
}

static int64_t get_ms(const Json *spec, const char *name)
{
    return (int64_t)(json_as_number(json_get(spec, name), 0) * 1000 + 0.5);
}

int call_dir_read_spec(int fd, CallSpec *ret, Error *err)
{
    _cleanup_json_ Json *root = NULL;
    const char *created;
    CallSpec spec;
    int r = call_dir_read_json(fd, "spec.json", &root, err);

    if (r < 0) {
        return r;
    }
    spec = (CallSpec){
        .root = root,
        .action = json_get_string(root, "action"),
        .run = json_get_string(root, "run"),
        .key = json_get_string(root, "idempotencyKey"),
        .workspace = json_get_string(json_get(root, "directories"), "workspace"),
        .traceparent = json_get_string(root, "traceparent"),
        .timeout_ms = get_ms(root, "timeoutSeconds"),
        .silence_timeout_ms = get_ms(root, "silenceTimeoutSeconds"),
        .grace_ms = get_ms(root, "graceSeconds"),
        .is_terminal = json_get_bool(root, "terminal", false),
    };
    created = json_get_string(root, "createdAt");
    if (!spec.action || !spec.key || !spec.workspace || !created ||
        clock_parse(created, &spec.created_us) < 0) {
        return error_set(err, -EBADMSG, "'spec.json' is not whole");
    }
    root = NULL;
    *ret = spec;
    return 0;
}

void call_spec_done(CallSpec *spec)
{
    (void)json_unref(spec->root);
    *spec = (CallSpec){0};
}

int64_t call_dir_log_size(int fd)
{
    struct stat st;

    return fstatat(fd, "output.log", &st, AT_SYMLINK_NOFOLLOW) == 0 ? (int64_t)st.st_size : 0;
}

void call_dir_tidy(int fd)
{
    (void)unlinkat(fd, "control.sock", 0);
    (void)unlinkat(fd, "lock", 0);
}

int call_dir_set_seconds(Json *object, const char *name, int64_t duration_us)
{
    int64_t us = duration_us > 0 ? duration_us : 0; /* a clock that was set back */
    _cleanup_json_ Json *value = NULL;
    char text[40];
    int n, r;

    if (us % 1000000 == 0) {
        return json_set_int(object, name, us / 1000000);
    }
    n = snprintf(text, sizeof(text), "%lld.%06lld", (long long)(us / 1000000),
                 (long long)(us % 1000000));
    r = json_parse(text, (size_t)n, &value, NULL);
    return r < 0 ? r : json_set_take(object, name, TAKE_PTR(value));
}
