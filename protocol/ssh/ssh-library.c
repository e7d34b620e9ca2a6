/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-library.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/ssh/ssh-connect.h"
#include "protocol/ssh/ssh-host-key.h"

#include <errno.h>
#include <libssh2.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* What waits to be sent: beyond the first no more is taken from who writes, and the second is never
 * reached, since what libssh2 says of its own accord is small. */
#define OUT_HIGH ((size_t)256 << 10)
#define OUT_MAX ((size_t)8 << 20)
/* How much the host may send before we have read: a fast network's worth. */
#define WINDOW_SIZE (4u << 20)
/* A host that is asked to run a command says yes or no. */
#define CHANNEL_OPEN_MS 30000

typedef struct LibraryChannel {
    SshChannel base;
    LIBSSH2_CHANNEL *raw;
} LibraryChannel;

static const SshBackend backend;

static SshLibrary *library_of(const SshChannel *channel)
{
    return CONTAINER_OF(channel->session, SshLibrary, base);
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

/* libssh2 talks to ssh-agent by the same functions, over a socket of its own that blocks; not for
 * longer than we have time. */
static bool is_agent_ready(const SshLibrary *l, int fd, short events)
{
    struct pollfd wait = {.fd = fd, .events = events};
    int64_t left = l->deadline_ms - clock_monotonic_ms();

    return poll(&wait, 1, (int)MAX(left, (int64_t)0)) > 0;
}

static LIBSSH2_SEND_FUNC(on_send)
{
    SshLibrary *l = *abstract;
    ssize_t n;
    int r;

    if (socket != l->fd) {
        n = is_agent_ready(l, socket, POLLOUT) ? send(socket, buffer, length, MSG_NOSIGNAL) : -1;
        return n < 0 ? -EIO : n;
    }
    r = l->broken ? l->broken : buffer_append(&l->out, buffer, length);
    return r < 0 ? r : (ssize_t)length;
}

static LIBSSH2_RECV_FUNC(on_receive)
{
    SshLibrary *l = *abstract;
    ssize_t n;

    if (socket != l->fd) {
        n = is_agent_ready(l, socket, POLLIN) ? recv(socket, buffer, length, flags) : -1;
        return n < 0 ? -EIO : n;
    }
    if (l->broken) {
        return l->broken;
    }
    do {
        n = recv(socket, buffer, length, flags);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        l->last_heard_ms = clock_monotonic_ms();
        l->n_asked = 0;
    } else if (n == 0) {
        l->broken = SSH_BROKEN;
    } else if (errno != EAGAIN) {
        l->broken = -errno;
    }
    return n < 0 ? -errno : n;
}

static int flush(SshLibrary *l, Error *err)
{
    while (l->sent < l->out.len && !l->broken) {
        ssize_t n = send(l->fd, l->out.data + l->sent, l->out.len - l->sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            l->broken = -errno;
            return error_set_errno(err, SSH_BROKEN, "the connection to '%s'", l->base.name);
        }
        l->sent += n > 0 ? (size_t)n : 0;
    }
    buffer_clear(&l->out);
    l->sent = 0;
    return 0;
}

int ssh_library_await(SshLibrary *l, Error *err)
{
    int64_t left = l->deadline_ms - clock_monotonic_ms();
    struct pollfd wait = {.fd = l->fd, .events = POLLIN};
    int r = flush(l, err);

    if (r < 0) {
        return r;
    }
    if (l->sent < l->out.len) {
        wait.events |= POLLOUT;
    }
    if (left <= 0 || poll(&wait, 1, (int)left) == 0) {
        return error_set(err, SSH_TIMED_OUT,
                         "'%s' took the connection, but does not answer in time", l->base.name);
    }
    return flush(l, err);
}

int ssh_library_fail(SshLibrary *l, int rc, const char *what, Error *err)
{
    char *text = NULL;

    (void)libssh2_session_last_error(l->raw, &text, NULL, 0);
    switch (l->broken ? LIBSSH2_ERROR_SOCKET_DISCONNECT : rc) {
    case LIBSSH2_ERROR_ALLOC:
        return error_set(err, -ENOMEM, "out of memory");
    case LIBSSH2_ERROR_SOCKET_SEND:
    case LIBSSH2_ERROR_SOCKET_RECV:
    case LIBSSH2_ERROR_SOCKET_DISCONNECT:
    case LIBSSH2_ERROR_BANNER_RECV:
    case LIBSSH2_ERROR_BANNER_SEND:
        return error_set(err, SSH_BROKEN, "the connection to '%s' broke: %s%s%s", l->base.name,
                         what, l->broken && l->broken != SSH_BROKEN ? ": " : ": the host hung up",
                         l->broken && l->broken != SSH_BROKEN ? strerror(-l->broken) : "");
    case LIBSSH2_ERROR_TIMEOUT:
    case LIBSSH2_ERROR_SOCKET_TIMEOUT:
        return error_set(err, SSH_TIMED_OUT, "'%s' does not answer in time: %s", l->base.name,
                         what);
    default:
        return error_set(err, -EPROTO, "'%s': %s: %s (libssh2 %d)", l->base.name, what,
                         text && *text ? text : "it failed", rc);
    }
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static SshSession *library_free(SshSession *session)
{
    SshLibrary *l = CONTAINER_OF(session, SshLibrary, base);

    if (l->raw) {
        /* Before it has a socket, libssh2 takes 0 for it, which is our standard input. */
        if (l->has_greeted) {
            (void)libssh2_session_disconnect(l->raw, "bye");
            (void)flush(l, NULL);
        }
        l->broken = l->broken ? l->broken : SSH_BROKEN; /* so that nothing waits for answers */
        (void)libssh2_session_free(l->raw);
    }
    if (l->is_initialized) {
        libssh2_exit();
    }
    l->fd = fd_close(l->fd);
    buffer_done(&l->out);
    free(l->base.name);
    free(l);
    return NULL;
}

static void library_freep(SshLibrary **l)
{
    if (*l) {
        (void)library_free(&(*l)->base);
    }
}

static int new_library(const SshConfig *config, SshLibrary **ret, Error *err)
{
    _cleanup_(library_freep) SshLibrary *l = calloc(1, sizeof(*l));
    int r;

    if (!l) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *l = (SshLibrary){
        .base.backend = &backend,
        .out = BUFFER_INIT(OUT_MAX),
        .fd = -1,
        .alive_interval_ms = config->alive_interval_ms,
        .alive_count = config->alive_count,
        .last_heard_ms = clock_monotonic_ms(),
    };
    r = config->port == SSH_PORT
            ? asprintf(&l->base.name, "%s@%s", config->user, config->host_name)
            : asprintf(&l->base.name, "%s@%s:%u", config->user, config->host_name, config->port);
    if (r < 0) {
        l->base.name = NULL;
    }
    l->is_initialized = libssh2_init(0) == 0;
    l->raw = l->is_initialized ? libssh2_session_init_ex(NULL, NULL, NULL, l) : NULL;
    if (!l->base.name || !l->raw) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    libssh2_session_set_blocking(l->raw, 0);
    (void)libssh2_session_callback_set(l->raw, LIBSSH2_CALLBACK_SEND, (void *)on_send);
    (void)libssh2_session_callback_set(l->raw, LIBSSH2_CALLBACK_RECV, (void *)on_receive);
    *ret = TAKE_PTR(l);
    return 0;
}

/* 1: the host is known by a key that libssh2 cannot check. */
static int prefer_host_keys(SshLibrary *l, const SshConfig *config, char **ret_obstacle, Error *err)
{
    const char **algorithms = NULL;
    SshHostKeyPreference preference = {0};
    int n = libssh2_session_supported_algs(l->raw, LIBSSH2_METHOD_HOSTKEY, &algorithms);
    int r;

    if (n <= 0) {
        return ssh_library_fail(l, n, "listing algorithms", err);
    }
    r = ssh_host_key_prefer(config, algorithms, (size_t)n, &preference, err);
    libssh2_free(l->raw, algorithms);
    if (r == 0 && preference.is_out_of_reach) {
        *ret_obstacle = strdup("the host is known by a type of key that libssh2 cannot check");
        r = 1;
    }
    if (r == 0 &&
        libssh2_session_method_pref(l->raw, LIBSSH2_METHOD_HOSTKEY, preference.algorithms) != 0) {
        r = error_set(err, -ENOMEM, "out of memory");
    }
    free(preference.algorithms);
    return r;
}

/* 1: no algorithms in common. */
static int shake_hands(SshLibrary *l, char **ret_obstacle, Error *err)
{
    int rc, r = 0;

    l->has_greeted = true;
    while ((rc = libssh2_session_handshake(l->raw, l->fd)) == LIBSSH2_ERROR_EAGAIN) {
        r = ssh_library_await(l, err);
        if (r < 0) {
            return r;
        }
    }
    switch (rc) {
    case 0:
        return flush(l, err);
    case LIBSSH2_ERROR_KEX_FAILURE:
    case LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE:
    case LIBSSH2_ERROR_METHOD_NONE:
    case LIBSSH2_ERROR_METHOD_NOT_SUPPORTED:
    case LIBSSH2_ERROR_HOSTKEY_INIT:
        *ret_obstacle = strdup("libssh2 and the host have no algorithms in common");
        return 1;
    default:
        return ssh_library_fail(l, rc, "greeting the SSH server", err);
    }
}

static int check_host_key(SshLibrary *l, const SshConfig *config, char **ret_obstacle, Error *err)
{
    size_t len = 0;
    int type, r;
    const char *key = libssh2_session_hostkey(l->raw, &len, &type);

    r = key ? ssh_host_key_check(config, key, len, err)
            : error_set(err, -EPROTO, "'%s' has no host key", l->base.name);
    if (r > 0) {
        *ret_obstacle = strdup("the host is known by an authority, or by keys that it did not use");
    }
    return r;
}

int ssh_library_open(const SshConfig *config, SshSession **ret, char **ret_obstacle, Error *err)
{
    _cleanup_(library_freep) SshLibrary *l = NULL;
    int r = new_library(config, &l, err);

    *ret_obstacle = NULL;
    r = r == 0 ? prefer_host_keys(l, config, ret_obstacle, err) : r;
    r = r == 0 ? ssh_connect(config->host_name, config->port, config->address_family,
                             config->connect_timeout_ms, &l->fd, err)
               : r;
    if (r != 0) {
        return r;
    }
    l->deadline_ms = clock_monotonic_ms() + config->connect_timeout_ms;
    r = shake_hands(l, ret_obstacle, err);
    r = r == 0 ? check_host_key(l, config, ret_obstacle, err) : r;
    r = r == 0 ? ssh_auth(l, config, ret_obstacle, err) : r;
    if (r != 0) {
        return r;
    }
    /* We say when; libssh2 would not hear whether there was an answer. */
    libssh2_keepalive_config(l->raw, 1, 2);
    log_debug("%s: %s, %s, %s", l->base.name, libssh2_session_methods(l->raw, LIBSSH2_METHOD_KEX),
              libssh2_session_methods(l->raw, LIBSSH2_METHOD_HOSTKEY),
              libssh2_session_methods(l->raw, LIBSSH2_METHOD_CRYPT_SC));
    *ret = &TAKE_PTR(l)->base;
    return 0;
}

/* ---- keeping alive ----------------------------------------------------------------------------
 */

static int64_t next_question(const SshLibrary *l)
{
    return l->last_heard_ms + l->alive_interval_ms * (l->n_asked + 1);
}

static int library_get_timeout_ms(const SshSession *session)
{
    const SshLibrary *l = CONTAINER_OF(session, SshLibrary, base);
    int64_t left = next_question(l) - clock_monotonic_ms();

    return l->alive_interval_ms == 0 ? -1 : (int)MAX(left, (int64_t)0);
}

/* Who takes nothing out of a channel for a while (a slow reader) hears nothing either; but what the
 * host said lies there. */
static bool has_unread(const SshLibrary *l)
{
    struct pollfd look = {.fd = l->fd, .events = POLLIN};

    return poll(&look, 1, 0) > 0;
}

static int library_process(SshSession *session, Error *err)
{
    SshLibrary *l = CONTAINER_OF(session, SshLibrary, base);
    int seconds, rc;

    if (l->alive_interval_ms == 0 || clock_monotonic_ms() < next_question(l)) {
        return flush(l, err);
    }
    if (has_unread(l)) {
        l->last_heard_ms = clock_monotonic_ms();
        l->n_asked = 0;
        return flush(l, err);
    }
    if (l->n_asked >= l->alive_count) {
        l->broken = SSH_TIMED_OUT;
        return error_set(err, SSH_TIMED_OUT, "'%s' has not been heard of for %lld s", l->base.name,
                         (long long)(l->alive_interval_ms * (l->n_asked + 1) / 1000));
    }
    l->n_asked++;
    rc = libssh2_keepalive_send(l->raw, &seconds);
    return rc == 0 ? flush(l, err) : ssh_library_fail(l, rc, "asking whether it is there", err);
}

/* ---- channels ---------------------------------------------------------------------------------
 */

static SshChannel *library_free_channel(SshChannel *channel)
{
    LibraryChannel *c = CONTAINER_OF(channel, LibraryChannel, base);

    if (c->raw) {
        /* Where the host's answer is still to come, the session frees the rest of it. */
        (void)libssh2_channel_free(c->raw);
        (void)flush(library_of(channel), NULL);
    }
    free(c);
    return NULL;
}
DEFINE_CLEANUP(SshChannel, library_free_channel)

static int open_raw(SshLibrary *l, LibraryChannel *c, Error *err)
{
    for (;;) {
        int rc, r;

        c->raw = libssh2_channel_open_ex(l->raw, "session", strlen("session"), WINDOW_SIZE,
                                         LIBSSH2_CHANNEL_PACKET_DEFAULT, NULL, 0);
        if (c->raw) {
            return 0;
        }
        rc = libssh2_session_last_errno(l->raw);
        r = rc == LIBSSH2_ERROR_EAGAIN ? ssh_library_await(l, err)
                                       : ssh_library_fail(l, rc, "opening a channel", err);
        if (r < 0) {
            return r;
        }
    }
}

static int library_open_channel(SshSession *session, const char *command, SshChannel **ret,
                                Error *err)
{
    SshLibrary *l = CONTAINER_OF(session, SshLibrary, base);
    _cleanup_(library_free_channelp) SshChannel *channel = NULL;
    LibraryChannel *c = calloc(1, sizeof(*c));
    int rc, r;

    if (!c) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    c->base = (SshChannel){.backend = &backend, .session = session};
    channel = &c->base;
    l->deadline_ms = clock_monotonic_ms() + CHANNEL_OPEN_MS;
    r = open_raw(l, c, err);
    if (r < 0) {
        return r;
    }
    while ((rc = libssh2_channel_process_startup(c->raw, "exec", strlen("exec"), command,
                                                 (unsigned)strlen(command))) ==
           LIBSSH2_ERROR_EAGAIN) {
        r = ssh_library_await(l, err);
        if (r < 0) {
            return r;
        }
    }
    if (rc != 0) {
        return ssh_library_fail(l, rc, "running a command", err);
    }
    r = flush(l, err);
    if (r == 0) {
        *ret = TAKE_PTR(channel);
    }
    return r;
}

/* Both of reading and of writing may have made libssh2 say something (a larger window). */
static ssize_t finish_io(SshLibrary *l, ssize_t n, const char *what, Error *err)
{
    int r = flush(l, err);

    if (n >= 0) {
        return n;
    }
    if (n == LIBSSH2_ERROR_EAGAIN) {
        return r < 0 ? r : -EAGAIN;
    }
    return r < 0 ? r : ssh_library_fail(l, (int)n, what, err);
}

static ssize_t library_read(SshChannel *channel, SshStream stream, void *data, size_t n, Error *err)
{
    LibraryChannel *c = CONTAINER_OF(channel, LibraryChannel, base);
    SshLibrary *l = library_of(channel);
    ssize_t got = libssh2_channel_read_ex(
        c->raw, stream == SSH_STDERR ? SSH_EXTENDED_DATA_STDERR : 0, data, n);

    got = finish_io(l, got, "reading", err);
    if (got != 0) {
        return got;
    }
    if (libssh2_channel_eof(c->raw) == 1) {
        return 0;
    }
    return l->broken ? ssh_library_fail(l, LIBSSH2_ERROR_SOCKET_DISCONNECT, "reading", err)
                     : -EAGAIN;
}

static ssize_t library_write(SshChannel *channel, const void *data, size_t n, Error *err)
{
    LibraryChannel *c = CONTAINER_OF(channel, LibraryChannel, base);
    SshLibrary *l = library_of(channel);
    ssize_t taken;

    if (l->out.len - l->sent > OUT_HIGH) {
        int r = flush(l, err);

        return r < 0 ? r : -EAGAIN;
    }
    taken = libssh2_channel_write_ex(c->raw, 0, data, n);
    if (taken == LIBSSH2_ERROR_CHANNEL_CLOSED || taken == LIBSSH2_ERROR_CHANNEL_EOF_SENT) {
        return error_set(err, -EPIPE, "the command on '%s' reads no more", l->base.name);
    }
    taken = finish_io(l, taken, "writing", err);
    return taken == 0 ? -EAGAIN : taken;
}

static int library_end_input(SshChannel *channel, Error *err)
{
    LibraryChannel *c = CONTAINER_OF(channel, LibraryChannel, base);
    int rc = libssh2_channel_send_eof(c->raw);

    rc = rc == LIBSSH2_ERROR_CHANNEL_CLOSED || rc == LIBSSH2_ERROR_CHANNEL_EOF_SENT ? 0 : rc;
    return (int)finish_io(library_of(channel), rc, "ending the input", err);
}

static int library_get_status(SshChannel *channel, SshStatus *ret, Error *err)
{
    LibraryChannel *c = CONTAINER_OF(channel, LibraryChannel, base);
    SshLibrary *l = library_of(channel);
    char *name = NULL;
    size_t name_len = 0;
    int rc;

    if (libssh2_channel_eof(c->raw) != 1) {
        return l->broken ? ssh_library_fail(l, LIBSSH2_ERROR_SOCKET_DISCONNECT, "reading", err) : 0;
    }
    rc = (int)finish_io(l, libssh2_channel_wait_closed(c->raw), "waiting for its end", err);
    if (rc < 0) {
        return rc == -EAGAIN ? 0 : rc;
    }
    *ret = (SshStatus){.exit_code = libssh2_channel_get_exit_status(c->raw)};
    (void)libssh2_channel_get_exit_signal(c->raw, &name, &name_len, NULL, NULL, NULL, NULL);
    if (name) {
        ret->is_signalled = true;
        (void)snprintf(ret->signal, sizeof(ret->signal), "%.*s", (int)name_len, name);
        libssh2_free(l->raw, name);
    }
    return 1;
}

static size_t library_watch(const SshChannel *channel, bool wants_write,
                            struct pollfd fds[static SSH_CHANNEL_WATCH_MAX])
{
    const SshLibrary *l = library_of(channel);

    /* Whoever wants to write waits for room in `out`, or for a larger window: something to read. */
    fds[0] = (struct pollfd){.fd = l->fd, .events = POLLIN};
    if (l->sent < l->out.len) {
        fds[0].events |= POLLOUT;
    }
    return 1;
}

static int library_flush(SshChannel *channel, Error *err)
{
    return flush(library_of(channel), err);
}

static const SshBackend backend = {
    .free = library_free,
    .get_timeout_ms = library_get_timeout_ms,
    .process = library_process,
    .open_channel = library_open_channel,
    .free_channel = library_free_channel,
    .read = library_read,
    .write = library_write,
    .end_input = library_end_input,
    .get_status = library_get_status,
    .watch = library_watch,
    .flush = library_flush,
};
