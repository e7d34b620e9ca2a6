/* SPDX-License-Identifier: MIT */
#include "agent/reach/reach.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What one process may say: a reason has an address in it, and no address is that long. */
#define ANSWER_MAX ((size_t)4096)

/* ---- an address -------------------------------------------------------------------------------
 */

static const struct {
    const char *prefix;
    const char *port; /* NULL: has to be said */
} schemes[] = {
    {"http://", "80"},
    {"https://", "443"},
    {"ssh://", "22"},
    {"tcp://", NULL},
};

void reach_place_done(ReachPlace *place)
{
    free(place->path);
    free(place->host);
    free(place->port);
    *place = (ReachPlace){0};
}

static int parse_unix(const char *path, ReachPlace *ret, Error *err)
{
    path += text_has_prefix(path, "///") ? 2 : 0;
    if (path[0] != '/' || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        return error_set(err, -EINVAL, "'%s' is no absolute path of a socket", path);
    }
    ret->path = strdup(path);
    return ret->path ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* HOST, HOST:PORT, [V6] or [V6]:PORT, of `n` bytes. */
static int parse_authority(const char *text, size_t n, const char *default_port, ReachPlace *ret,
                           Error *err)
{
    const char *at = memrchr(text, '@', n), *end = text + n, *host_end, *port;

    text = at ? at + 1 : text;
    if (text < end && *text == '[') {
        host_end = memchr(text, ']', (size_t)(end - text));
        port = host_end ? host_end + 1 : end;
        text++;
    } else {
        host_end = memchr(text, ':', (size_t)(end - text));
        host_end = host_end ? host_end : end;
        port = host_end;
    }
    if (!host_end || host_end == text || (port < end && *port != ':')) {
        return error_set(err, -EINVAL, "it names no host");
    }
    ret->host = strndup(text, (size_t)(host_end - text));
    if (port + 1 < end) {
        ret->port = strndup(port + 1, (size_t)(end - port - 1));
    } else if (default_port) {
        ret->port = strdup(default_port);
    } else {
        return error_set(err, -EINVAL, "it names no port");
    }
    return ret->host && ret->port ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int reach_parse(const char *address, ReachPlace *ret, Error *err)
{
    ReachPlace place = {0};
    int r = 1;

    if (text_has_prefix(address, "unix:")) {
        r = parse_unix(address + strlen("unix:"), &place, err);
    }
    for (size_t i = 0; r > 0 && i < ARRAY_SIZE(schemes); i++) {
        if (text_has_prefix(address, schemes[i].prefix)) {
            const char *rest = address + strlen(schemes[i].prefix);

            r = parse_authority(rest, strcspn(rest, "/?#"), schemes[i].port, &place, err);
        }
    }
    if (r > 0) {
        r = error_set(err, -EINVAL, "there is no way to connect to an address of this kind");
    }
    if (r < 0) {
        reach_place_done(&place);
        return r;
    }
    *ret = place;
    return 0;
}

/* ---- connecting -------------------------------------------------------------------------------
 */

static int connect_unix(const char *path, Error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path)); /* reach_parse saw to the length */
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        return error_set_errno(err, -errno, "'%s'", path);
    }
    return 0;
}

static int connect_to(const struct addrinfo *found)
{
    _cleanup_fd_ int fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);

    return fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0 ? -errno : 0;
}

int reach_connect(const ReachPlace *place, Error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int r;

    if (place->path) {
        return connect_unix(place->path, err);
    }
    r = getaddrinfo(place->host, place->port, &hints, &found);
    if (r != 0) {
        return error_set(err, -EHOSTUNREACH, "'%s' port %s: %s", place->host, place->port,
                         gai_strerror(r));
    }
    r = -EHOSTUNREACH;
    for (const struct addrinfo *a = found; a && r < 0; a = a->ai_next) {
        r = connect_to(a);
    }
    freeaddrinfo(found);
    return r < 0 ? error_set_errno(err, r, "'%s' port %s", place->host, place->port) : 0;
}

/* ---- one process for each ---------------------------------------------------------------------
 */

typedef struct Looking {
    pid_t pid;
    int fd; /* where its answer comes; -1 once it is there, or never will be */
    Buffer answer;
} Looking;

static int append_reason(Buffer *out, const char *before, const char *reason)
{
    int r = buffer_append_format(out, "{%s\"reason\":", before);

    r = r < 0 ? r : text_append_json(out, reason, strlen(reason));
    return r < 0 ? r : buffer_append_text(out, "}");
}

static int look(const char *address, Buffer *out)
{
    _cleanup_(reach_place_done) ReachPlace place = {0};
    _cleanup_error_ Error problem = {0};
    struct timespec began, now;
    int r;

    if (reach_parse(address, &place, &problem) < 0) {
        return append_reason(out, "", error_text(&problem));
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &began);
    r = reach_connect(&place, &problem);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (r < 0) {
        return append_reason(out, "\"isReachable\":false,", error_text(&problem));
    }
    return buffer_append_format(out, "{\"isReachable\":true,\"seconds\":%.6f}",
                                (double)(now.tv_sec - began.tv_sec) +
                                    (double)(now.tv_nsec - began.tv_nsec) / 1e9);
}

static int begin(Looking *looking, const char *address)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    looking->pid = fork();
    if (looking->pid == 0) {
        _cleanup_buffer_ Buffer answer = BUFFER_INIT(ANSWER_MAX);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (look(address, &answer) < 0 || fd_write_all(fds[1], answer.data, answer.len) < 0) {
            _exit(1);
        }
        _exit(0);
    }
    (void)close(fds[1]);
    if (looking->pid < 0) {
        int r = -errno;

        (void)close(fds[0]);
        looking->pid = 0;
        return r;
    }
    looking->fd = fds[0];
    looking->answer = BUFFER_INIT(ANSWER_MAX);
    return 0;
}

/* The end of its pipe is the end of its answer. */
static void hear(Looking *looking)
{
    char data[ANSWER_MAX];
    ssize_t n = read(looking->fd, data, sizeof(data));

    if (n <= 0 || buffer_append(&looking->answer, data, (size_t)n) < 0) {
        looking->fd = fd_close(looking->fd);
    }
}

static size_t poll_once(Looking *looking, size_t n, struct pollfd *polls, int timeout_ms)
{
    size_t n_open = 0;

    for (size_t i = 0; i < n; i++) {
        polls[i] = (struct pollfd){.fd = looking[i].fd, .events = POLLIN};
        n_open += looking[i].fd >= 0;
    }
    if (n_open > 0 && poll(polls, n, timeout_ms) > 0) {
        for (size_t i = 0; i < n; i++) {
            if (looking[i].fd >= 0 && polls[i].revents != 0) {
                hear(&looking[i]);
            }
        }
    }
    return n_open;
}

/* What is still open here had its time. */
static int end(Looking *looking, int timeout_ms, Buffer *out)
{
    bool is_late = looking->fd >= 0;
    char reason[64];
    int r;

    looking->fd = fd_close(looking->fd);
    if (looking->pid > 0) {
        (void)kill(looking->pid, SIGKILL);
        (void)waitpid(looking->pid, NULL, 0);
    }
    if (is_late || looking->answer.len == 0) {
        (void)snprintf(reason, sizeof(reason),
                       is_late ? "no answer within %d ms" : "it could not be looked at",
                       timeout_ms);
        r = append_reason(out, is_late ? "\"isReachable\":false," : "", reason);
    } else {
        r = buffer_append(out, looking->answer.data, looking->answer.len);
    }
    buffer_done(&looking->answer);
    return r;
}

int reach_all(const ReachTarget *targets, size_t n, int timeout_ms, Buffer *out)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms, left_ms = timeout_ms;
    _cleanup_free_ Looking *looking = NULL;
    _cleanup_free_ struct pollfd *polls = NULL;
    int r;

    if (n > REACH_TARGETS_MAX) {
        return -E2BIG;
    }
    looking = calloc(n + 1, sizeof(*looking));
    polls = calloc(n + 1, sizeof(*polls));
    if (!looking || !polls) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        looking[i].fd = -1;
        (void)begin(&looking[i], targets[i].address); /* one that fails has no answer */
    }
    while (left_ms > 0 && poll_once(looking, n, polls, (int)left_ms) > 0) {
        left_ms = deadline - clock_monotonic_ms();
    }
    r = buffer_append_text(out, "{");
    for (size_t i = 0; i < n; i++) {
        const char *name = targets[i].name;

        r = r < 0 || i == 0 ? r : buffer_append_text(out, ",");
        r = r < 0 ? r : text_append_json(out, name, strlen(name));
        r = r < 0 ? r : buffer_append_text(out, ":");
        if (end(&looking[i], timeout_ms, out) < 0) {
            r = -ENOMEM;
        }
    }
    return r < 0 ? r : buffer_append_text(out, "}\n");
}
